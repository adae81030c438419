"""Every row of the table of errors, and of the table of close codes, as a client sees it on a real socket."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from palaver.chat.errors import CLOSES, ERRORS
from palaver.server import clock
from palaver.server.drain import drain
from tests.integration.chat.clients import Client, Frame, dial, guest
from tests.unit.server.http.site import Site, serving
from tests.unit.server.serving import until

# Everybody comes from one address, and quick ones must not be refused for it.
FLAGS = {
    "messages_per_second": "1",
    "rooms_per_connection": "2",
    "room_messages_per_second": "off",
    "frames_per_second": "off",
    "leave_grace": "0",
}
FLAGS_FOR: dict[str | int, dict[str, str]] = {
    "unavailable": {"store": "sqlite"},
    "rate_limited": {"messages_window": "60"},
    "request_timeout": {"auth_timeout": "0.4"},
    4003: {"auth_timeout": "0.4"},
    4102: {"heartbeat_interval": "0.2", "heartbeat_timeout": "2"},
    4108: {"messages_per_second": "off", "connection_bytes": "65536"},
}

Provoke = Callable[[Site], Awaitable[tuple[Client, Frame]]]
BY_CODE: dict[str, list[Provoke]] = {}
BY_CLOSE: dict[int, Callable[[Site], Awaitable[tuple[Client, str | None]]]] = {}


def row(code: str) -> Callable[[Provoke], Provoke]:
    """This function provokes the error."""

    def note(provoke: Provoke) -> Provoke:
        BY_CODE.setdefault(code, []).append(provoke)
        return provoke

    return note


async def ada(site: Site, *rooms: str) -> Client:
    return await guest(site.url, "ada", *rooms)


async def owner(site: Site, name: str, *rooms: str, **claims: object) -> Client:
    """Somebody with a token."""
    client = await dial(site.url)
    client.me = await client.done("auth", token=site.token(name, **claims))
    for room in rooms:
        await client.done("join", room=room)
    return client


async def raw(client: Client, data: str | bytes, re: str | None = None) -> tuple[Client, Frame]:
    await client.send(data)
    return client, await client.answer(re)


# ---- the table of errors -----------------------------------------------------------------------------------------


@row("invalid_json")
async def broken(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), '{"type": "ping", "id": "1"')


@row("invalid_json")
async def too_deep(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), '{"a":' * 17 + "1" + "}" * 17)


@row("invalid_json")
async def half_a_surrogate_pair(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), '{"type": "ping", "id": "\\ud83d"}')


@row("invalid_json")
async def not_a_number(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), '{"type": "slow", "id": "1", "room": "r", "seconds": NaN}')


@row("invalid_frame")
async def not_an_object(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), "[]")


@row("invalid_frame")
async def binary(site: Site) -> tuple[Client, Frame]:
    return await raw(await ada(site), b'{"type": "ping", "id": "1"}')


@row("invalid_frame")
async def a_missing_field(site: Site) -> tuple[Client, Frame]:
    client, frame = await raw(await ada(site), '{"type": "send", "id": "1", "text": "hi"}', "1")
    assert frame["field"] == "room"
    return client, frame


@row("invalid_frame")
async def an_unknown_field(site: Site) -> tuple[Client, Frame]:
    client, frame = await raw(await ada(site), '{"type": "ping", "id": "1", "tpye": 1}', "1")
    assert frame["field"] == "tpye"
    return client, frame


@row("invalid_frame")
async def a_wrong_type(site: Site) -> tuple[Client, Frame]:
    client, frame = await raw(await ada(site), '{"type": "history", "id": "1", "room": "r", "limit": "9"}', "1")
    assert frame["field"] == "limit"
    return client, frame


@row("invalid_frame")
async def a_position_that_cannot_be(site: Site) -> tuple[Client, Frame]:
    client = await ada(site)
    frame = await client.ask("join", room="r", since={"epoch": "e", "seq": -1})
    assert frame["field"] == "since"
    return client, frame


@row("unknown_type")
async def no_such_request(site: Site) -> tuple[Client, Frame]:
    client = await ada(site)
    return client, await client.ask("dance")


@row("invalid_room")
async def a_room_with_a_space(site: Site) -> tuple[Client, Frame]:
    client = await ada(site)
    return client, await client.ask("join", room="no spaces")


@row("invalid_name")
async def a_name_in_two_scripts(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    frame = await client.ask("auth", name="p\u0430ypal")
    await client.done("auth", name="ada")
    return client, frame


@row("invalid_text")
async def an_empty_text(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    return client, await client.ask("send", room="r", text=" ")


@row("invalid_text")
async def too_long_a_text(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    return client, await client.ask("send", room="r", text="x" * 4_001)


@row("unauthenticated")
async def a_join_before_auth(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    frame = await client.ask("join", room="r")
    await client.done("auth", name="ada")
    return client, frame


@row("request_timeout")
async def no_auth(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    return client, await client.answer(None)


@row("invalid_token")
async def a_token_with_a_wrong_signature(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    frame = await client.ask("auth", token=site.token("ada") + "x")
    await client.done("auth", token=site.token("ada"))
    return client, frame


@row("invalid_token")
async def a_session_of_somebody_else(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    frame = await client.ask("auth", name="ada", session="u-00.00")
    await client.done("auth", name="ada")
    return client, frame


@row("token_expired")
async def an_old_token(site: Site) -> tuple[Client, Frame]:
    client = await dial(site.url)
    frame = await client.ask("auth", token=site.token("ada", exp=int(clock.wall()) - 60))
    await client.done("auth", token=site.token("ada"))
    return client, frame


@row("name_taken")
async def a_name_that_looks_the_same(site: Site) -> tuple[Client, Frame]:
    await ada(site, "r")
    client = await dial(site.url)
    frame = await client.ask("auth", name="ADA")
    await client.done("auth", name="bob")
    return client, frame


@row("forbidden")
async def a_guest_who_kicks(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    return client, await client.ask("kick", room="r", user=client.me["user"]["id"])


@row("forbidden")
async def a_room_that_the_token_does_not_name(site: Site) -> tuple[Client, Frame]:
    client = await owner(site, "ada", rooms=["other"])
    return client, await client.ask("join", room="r")


@row("not_joined")
async def a_message_to_a_room_outside(site: Site) -> tuple[Client, Frame]:
    client = await ada(site)
    return client, await client.ask("send", room="r", text="hi")


@row("not_found")
async def a_message_that_never_was(site: Site) -> tuple[Client, Frame]:
    client = await owner(site, "mod", "r", roles=["moderator"])
    return client, await client.ask("delete", room="r", seq=99)


@row("too_many_rooms")
async def a_third_room(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "a", "b")
    return client, await client.ask("join", room="c")


@row("rate_limited")
async def a_second_message(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    await client.done("send", room="r", text="one")
    frame = await client.ask("send", room="r", text="two")
    assert frame["scope"] == "user"
    assert 0 < frame["retry_after_ms"] <= 60_000
    return client, frame


@row("unavailable")
async def a_store_that_is_not_there(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    away = site.data / "away.db"
    database = (site.data / "palaver.db").rename(away)
    frame = await client.ask("send", room="r", text="hi", cid="c")
    database.rename(site.data / "palaver.db")
    assert frame["retry_after_ms"] > 0
    return client, frame


@row("internal")
async def a_fault_of_ours(site: Site) -> tuple[Client, Frame]:
    client = await ada(site, "r")
    conversation = site.services.engine._conversation
    typing = conversation.typing

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    requests: Any = site.services.engine._requests
    kind = next(kind for kind, handler in requests.items() if handler == typing)
    requests[kind] = fail
    frame = await client.ask("typing", room="r")
    requests[kind] = typing
    assert frame["trace"]
    return client, frame


ROWS = [(code, provoke) for code, provokes in BY_CODE.items() for provoke in provokes]


@pytest.mark.parametrize(("code", "provoke"), ROWS, ids=[f"{code}-{one.__name__}" for code, one in ROWS])
async def test_an_error_is_as_its_row_says(tmp_path: Path, code: str, provoke: Provoke) -> None:
    async with serving(tmp_path, **(FLAGS | FLAGS_FOR.get(code, {}))) as site:
        client, frame = await provoke(site)
        assert (frame["type"], frame["code"]) == ("error", code)
        assert frame["retryable"] is ERRORS[code].retryable
        assert isinstance(frame["message"], str)
        assert frame["message"]
        if code != "request_timeout":  # the one that is followed by a close
            assert (await client.ask("ping"))["type"] == "ack", "an error ends one request and not its connection"
        await client.socket.close()


def test_no_row_of_the_table_of_errors_is_missing() -> None:
    assert set(BY_CODE) == set(ERRORS)


# ---- the table of close codes ------------------------------------------------------------------------------------


def close(code: int) -> Callable[..., Any]:
    """This function provokes the close; it returns the code of the error that explains it, if there is one."""

    def note(provoke: Any) -> Any:
        BY_CLOSE[code] = provoke
        return provoke

    return note


@close(4001)
async def banned(site: Site) -> tuple[Client, str | None]:
    client = await ada(site, "r")
    moderator = await owner(site, "mod", "r", roles=["moderator"])
    await moderator.done("ban", room="r", user=client.me["user"]["id"], reason="noise")
    await moderator.socket.close()
    return client, "forbidden"


@close(4003)
async def silent(site: Site) -> tuple[Client, str | None]:
    return await dial(site.url), "request_timeout"


@close(4008)
async def babbling(site: Site) -> tuple[Client, str | None]:
    client = await ada(site)
    for _ in range(10):
        await client.send("{")
    return client, "invalid_json"


@close(4102)
async def dead(site: Site) -> tuple[Client, str | None]:
    """Its library answers RFC pings until nothing is read any more, so it has to stop reading."""
    client = await ada(site, "r")
    client.socket.transport.pause_reading()
    await until(lambda: site.services.engine.state.counts["closes", "4102"] == 1)
    client.socket.transport.resume_reading()
    return client, None


@close(4108)
async def slow(site: Site) -> tuple[Client, str | None]:
    client = await ada(site, "r")
    writer = await owner(site, "writer", "r")
    client.socket.transport.pause_reading()
    while not site.services.engine.state.counts["closes", "4108"]:
        await writer.done("send", room="r", text="x" * 4_000)
    client.socket.transport.resume_reading()
    await writer.socket.close()
    return client, None


@close(4110)
async def connecting_too_often(site: Site) -> tuple[Client, str | None]:
    state = site.services.engine.state
    state.ip_connects["127.0.0.1"] = site.services.shell.clock() + 1_000.0
    return await dial(site.url, greeted=False), "rate_limited"


@close(4201)
async def shut_down(site: Site) -> tuple[Client, str | None]:
    client = await ada(site, "r")
    await drain(site.running, window_seconds=0, deadline_seconds=1)
    return client, None


@close(4301)
async def expired(site: Site) -> tuple[Client, str | None]:
    client = await owner(site, "ada", "r", exp=int(clock.wall()) - 9)  # within the leeway of 10 s
    assert (await client.push("notice"))["code"] == "token_expiring"
    return client, "token_expired"


@pytest.mark.parametrize("code", BY_CLOSE)
async def test_a_close_has_its_code_and_its_reason_comes_before_it(tmp_path: Path, code: int) -> None:
    async with serving(tmp_path, **(FLAGS | FLAGS_FOR.get(code, {}))) as site:
        client, explained_by = await BY_CLOSE[code](site)
        closed, last = await client.end()
        assert closed == code
        assert client.socket.close_reason == CLOSES[code].name
        if explained_by is not None:
            assert (last["type"], last["code"], last["re"]) == ("error", explained_by, None)
        elif code == 4201:
            assert (last["type"], last["code"]) == ("notice", "shutdown")
        await until(lambda: not site.services.shell.connections)


def test_no_row_of_the_table_of_close_codes_is_missing() -> None:
    assert set(BY_CLOSE) == set(CLOSES)
