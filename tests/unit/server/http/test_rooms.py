import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect

from palaver.chat.errors import ERRORS
from palaver.server.http import callers
from palaver.server.http.answers import STATUS
from tests.unit.server.http.site import Site, body, serving


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(tmp_path) as running:
        yield running


async def socket(site: Site, name: str, room: str | None = "lobby") -> ClientConnection:
    """A guest on the WebSocket, in a room."""
    client = await site.stack.enter_async_context(connect(site.url.replace("http", "ws", 1) + "/ws", proxy=None))
    await client.recv()
    await client.send(json.dumps({"type": "auth", "id": "1", "name": name}))
    await client.recv()
    if room is not None:
        await client.send(json.dumps({"type": "join", "id": "2", "room": room}))
        await until(client, re="2")
    return client


async def until(client: ClientConnection, **fields: object) -> Any:
    """The next frame with these fields."""
    async with asyncio.timeout(30):
        while True:
            frame = json.loads(await client.recv())
            if fields.items() <= frame.items():
                return frame


async def test_a_message_sent_over_http_reaches_the_socket_and_the_other_way(site: Site) -> None:
    bob, ada = await socket(site, "bob"), await site.caller()
    stored = await body(await ada.post("/api/rooms/lobby/messages", json={"text": "hi"}), 201)
    pushed = await until(bob, type="message")
    assert (pushed["seq"], pushed["mid"], pushed["user"]) == (
        stored["seq"],
        stored["mid"],
        {"id": "u-ada", "name": "ada"},
    )
    await bob.send(json.dumps({"type": "send", "id": "3", "room": "lobby", "text": "hello"}))
    await until(bob, re="3")
    page = await body(await ada.get("/api/rooms/lobby/messages"), 200)
    assert [message["text"] for message in page["messages"]] == ["hi", "hello"]
    assert page["complete"] is True


async def test_the_same_idempotency_key_stores_one_message(site: Site) -> None:
    ada = await site.caller()
    headers = {"Idempotency-Key": "k-1"}
    first = await body(await ada.post("/api/rooms/lobby/messages", json={"text": "hi"}, headers=headers), 201)
    again = await body(await ada.post("/api/rooms/lobby/messages", json={"text": "hi"}, headers=headers), 200)
    assert (again["seq"], again["mid"], again["duplicate"]) == (first["seq"], first["mid"], True)
    without = await ada.post("/api/rooms/lobby/messages", json={"text": "hi", "cid": None}, headers=headers)
    assert (await body(without, 200))["seq"] == first["seq"]
    both = await ada.post("/api/rooms/lobby/messages", json={"text": "hi", "cid": "c"}, headers=headers)
    assert (await body(both, 400))["error"]["field"] == "cid"


async def test_history_comes_in_pages(site: Site) -> None:
    ada = await site.caller()
    for number in range(5):
        await body(await ada.post("/api/rooms/lobby/messages", json={"text": str(number)}), 201)

    async def seqs(query: str) -> tuple[list[int], bool]:
        page = await body(await ada.get(f"/api/rooms/lobby/messages?{query}"), 200)
        return [message["seq"] for message in page["messages"]], page["complete"]

    assert await seqs("limit=2") == ([4, 5], False)
    assert await seqs("before=4&limit=9") == ([1, 2, 3], True)
    assert await seqs("after=3") == ([4, 5], True)


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("since=1", "since"),
     ("after=1&after=2", "after"), ("before=99999999999999999999", "before"), ("before=-1", "before")],
)  # fmt: skip
async def test_a_query_that_means_nothing_is_refused(site: Site, query: str, field: str) -> None:
    ada = await site.caller()
    error = (await body(await ada.get(f"/api/rooms/lobby/messages?{query}"), 400))["error"]
    assert (error["code"], error["field"]) == ("invalid_frame", field)


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b"", "invalid_frame", "text"),
        (b"{", "invalid_json", None),
        (b"[]", "invalid_frame", None),
        (b'"x"', "invalid_frame", None),
        (b"\xff", "invalid_json", None),
        (b"[" * 5000, "invalid_json", None),
        (b'{"text": 7}', "invalid_frame", "text"),
        (b'{"text": ""}', "invalid_text", "text"),
        (b'{"text": "x", "room": "attic"}', "invalid_frame", "room"),
        (b'{"text": "x", "type": "kick"}', "invalid_frame", "type"),
        (b'{"text": "x", "id": "1"}', "invalid_frame", "id"),
        (b'{"text": "x", "txet": "y"}', "invalid_frame", "txet"),
        (b'{"text": "x", "cid": ""}', "invalid_frame", "cid"),
    ],
)
async def test_a_body_that_is_wrong_gets_the_error_of_the_socket(
    site: Site, data: bytes, code: str, field: str | None
) -> None:
    ada = await site.caller()
    error = (await body(await ada.post("/api/rooms/lobby/messages", data=data), 400))["error"]
    assert (error["code"], error.get("field"), error["retryable"]) == (code, field, False)


@pytest.mark.parametrize(
    ("header", "said", "code"),
    [
        (b"", b'{"text":"\xed\xa0\x80"}', b"invalid_json"),
        (b"Idempotency-Key: \xff\xfe\r\n", b'{"text":"hi"}', b"invalid_frame"),
        (b"Idempotency-Key:\r\n", b'{"text":"hi"}', b"invalid_frame"),
        (b"Idempotency-Key: " + b"k" * 65 + b"\r\n", b'{"text":"hi"}', b"invalid_frame"),
    ],
)
async def test_bytes_that_are_no_text_are_the_callers_mistake(
    site: Site, header: bytes, said: bytes, code: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    writer.write(
        b"POST /api/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Authorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s"
        % (site.token("ada").encode(), header, len(said), said)
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"%s"' % code in answer


async def test_what_is_no_http_and_bodies_that_cannot_be_read_are_answered_and_not_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await site.caller()
    zipped = {"Content-Encoding": "gzip"}
    response = await ada.post("/api/rooms/lobby/messages", data=b'{"text": "x"}', headers=zipped)
    assert (await body(response, 400))["error"]["code"] == "invalid_frame"
    for garbage in (b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        writer.write(garbage)
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
    assert caplog.records == []
    bomb = gzip.compress(b" " * 10_000_000)
    response = await ada.post("/api/rooms/lobby/messages", data=bomb, headers=zipped)
    assert (await body(response, 413))["error"]["code"] == "invalid_frame"
    data = gzip.compress(b'{"text": "x"}')
    await body(await ada.post("/api/rooms/lobby/messages", data=data, headers=zipped), 201)


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, frame_bytes="4096") as site:
        ada = await site.caller()
        response = await ada.post("/api/rooms/lobby/messages", json={"text": "x" * 5000})
        error = (await body(response, 413))["error"]
        assert error["code"] == "invalid_frame"
        assert "4096" in error["message"]


async def test_the_limit_of_messages_counts_both_ways_together(site: Site) -> None:
    ada = await site.caller()
    for _ in range(5):
        await body(await ada.post("/api/rooms/lobby/messages", json={"text": "x"}), 201)
    refused = await ada.post("/api/rooms/lobby/messages", json={"text": "x"})
    assert refused.headers["Retry-After"] == "1"
    error = (await body(refused, 429))["error"]
    assert (error["code"], error["scope"], error["retryable"]) == ("rate_limited", "user", True)
    assert 0 < error["retry_after_ms"] <= 1000


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer  ", "Basic YTpi", "Bearer x.y.z"])
@pytest.mark.parametrize("path", ["/api/rooms", "/api/rooms/lobby/messages", "/api/rooms/lobby/members"])
async def test_nothing_is_told_without_a_good_token(tmp_path: Path, header: str | None, path: str) -> None:
    key = tmp_path / "secret"
    key.write_text("k" * 48)
    async with serving(tmp_path, auth="token", token_key=str(key)) as site:
        nobody = await site.caller(None)
        response = await nobody.get(path, headers={} if header is None else {"Authorization": header})
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        error = (await body(response, 401))["error"]
        assert error["code"] == ("unauthenticated" if header is None else "invalid_token")


async def test_where_guests_may_chat_anybody_may_read_but_nothing_else(site: Site) -> None:
    await socket(site, "bob")
    nobody, ada = await site.caller(None), await site.caller()
    await body(await ada.post("/api/rooms/lobby/messages", json={"text": "hi"}), 201)
    rooms = await body(await nobody.get("/api/rooms"), 200)
    assert [(room["room"], room["member_count"], room["seq"]) for room in rooms["rooms"]] == [("lobby", 1, 1)]
    page = await body(await nobody.get("/api/rooms/lobby/messages"), 200)
    assert [message["text"] for message in page["messages"]] == ["hi"]
    members = await body(await nobody.get("/api/rooms/lobby/members"), 200)
    assert [user["name"] for user in members["members"]] == ["bob"]
    for response in (
        await nobody.post("/api/rooms/lobby/messages", json={"text": "x"}),
        await nobody.put("/api/rooms/lobby/slow", json={"seconds": 5}),
        await nobody.get("/api/rooms/lobby/sanctions"),
        await nobody.get("/api/rooms", headers={"Authorization": "Bearer x.y.z"}),
    ):
        assert (await body(response, 401))["error"]["code"] in {"unauthenticated", "invalid_token"}
    assert (await body(await nobody.get("/api/rooms/~canary/messages"), 403))["error"]["code"] == "forbidden"


async def test_a_name_that_a_stranger_lets_lead_here_reads_nothing(site: Site) -> None:
    """DNS rebinding: to its browser, the stranger's page would be one of ours."""
    nobody = await site.caller(None)
    await body(await nobody.get("/api/rooms", headers={"Host": "rebound.example"}), 401)
    await body(await nobody.get("/api/rooms", headers={"Host": "localhost:8000"}), 200)


async def test_reading_without_a_name_is_limited_by_address(tmp_path: Path) -> None:
    async with serving(tmp_path, ip_frames_per_second="1") as site:
        nobody = await site.caller(None)
        found = [(await nobody.get("/api/rooms")).status for _ in range(40)]
        assert found[:10] == [200] * 10
        assert 429 in found[10:]


async def test_a_user_may_ask_as_often_as_one_connection_may_send_frames(tmp_path: Path) -> None:
    async with serving(tmp_path, frames_per_second="1") as site:
        ada, again, bob = await site.caller(), await site.caller(), await site.caller("bob")
        found = [await caller.get("/api/rooms") for caller in (ada, again) * 10]
        assert [response.status for response in found[:2]] == [200] * 2
        refused = next(response for response in found if response.status == 429)
        error = (await body(refused, 429))["error"]
        assert (error["code"], error["scope"], error["retryable"]) == ("rate_limited", "user", True)
        assert 0 < error["retry_after_ms"] <= 1000
        await body(await bob.get("/api/rooms"), 200)


async def test_a_guests_session_speaks_for_the_guest_while_they_are_here(site: Site) -> None:
    bob = await site.stack.enter_async_context(connect(site.url.replace("http", "ws", 1) + "/ws", proxy=None))
    await bob.send(json.dumps({"type": "auth", "id": "3", "name": "bob"}))
    session = (await until(bob, re="3"))["session"]
    await bob.send(json.dumps({"type": "join", "id": "4", "room": "lobby"}))
    await until(bob, re="4")
    nobody, headers = await site.caller(None), {"Authorization": f"Bearer {session}"}
    await body(await nobody.post("/api/rooms/lobby/messages", json={"text": "hi"}, headers=headers), 201)
    assert (await until(bob, type="message"))["user"]["name"] == "bob"
    await body(await nobody.put("/api/rooms/lobby/bans/u-x", headers=headers), 403)
    forged = {"Authorization": f"Bearer {session[:-1]}{'0' if session[-1] != '0' else '1'}"}
    await body(await nobody.post("/api/rooms/lobby/messages", json={"text": "hi"}, headers=forged), 401)
    await bob.send(json.dumps({"type": "leave", "id": "5", "room": "lobby"}))
    await bob.close()
    await site.services.shell.no_connections()
    await body(await nobody.post("/api/rooms/lobby/messages", json={"text": "hi"}, headers=headers), 401)


async def test_an_expired_token_is_refused(site: Site) -> None:
    ada = await site.caller(exp=1)
    assert (await body(await ada.get("/api/rooms"), 401))["error"]["code"] == "token_expired"


async def test_guessing_tokens_is_limited_by_address_and_costs_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path, ip_frames_per_second="1", trusted_proxy="127.0.0.1") as site:
        nobody, ada = await site.caller(None), await site.caller()
        here, there = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
        guess = here | {"Authorization": "Bearer x.y.z"}
        guesses = [await nobody.get("/api/rooms", headers=guess) for _ in range(11)]
        assert [response.status for response in guesses] == [401] * 10 + [429]
        error = (await body(guesses[-1], 429))["error"]
        assert (error["scope"], error["retryable"]) == ("ip", True)
        assert 0 < error["retry_after_ms"] <= 1000
        await body(await ada.get("/api/rooms", headers=there), 200)
        await body(await ada.get("/api/rooms", headers=here), 429)


async def test_a_body_that_never_ends_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "BODY_SECONDS", 0.05)
    head = f"POST /api/rooms/lobby/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token('ada')}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    writer.write((head + "Content-Length: 9\r\n\r\n{").encode())
    async with asyncio.timeout(30):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_rights_decide_over_http_too(site: Site) -> None:
    ada = await site.caller(rooms={"lobby": ["join", "send"], "news": ["join"]})
    await body(await ada.post("/api/rooms/lobby/messages", json={"text": "x"}), 201)
    await body(await ada.get("/api/rooms/news/messages"), 200)
    for response in (
        await ada.post("/api/rooms/news/messages", json={"text": "x"}),
        await ada.get("/api/rooms/attic/messages"),
        await ada.get("/api/rooms/attic/members"),
        await ada.get("/api/rooms/~canary/messages"),
        await ada.get("/api/rooms/~canary/members"),
        await ada.put("/api/rooms/lobby/bans/u-bob"),
        await ada.get("/api/rooms/lobby/sanctions"),
        await ada.put("/api/rooms/lobby/slow", json={"seconds": 5}),
    ):
        assert (await body(response, 403))["error"]["code"] == "forbidden"


async def test_rooms_and_members_are_listed_to_those_who_may_join(site: Site) -> None:
    await socket(site, "bob", "attic")
    await socket(site, "cleo", "lobby")
    await socket(site, "dora", "lobby")
    everybody, ada = await site.caller("root"), await site.caller(rooms=["lobby"])
    listed = await body(await everybody.get("/api/rooms"), 200)
    assert [(room["room"], room["member_count"]) for room in listed["rooms"]] == [("attic", 1), ("lobby", 2)]
    assert listed["complete"] is True
    assert [room["room"] for room in (await body(await ada.get("/api/rooms"), 200))["rooms"]] == ["lobby"]
    first = await body(await everybody.get("/api/rooms?limit=1"), 200)
    assert ([room["room"] for room in first["rooms"]], first["complete"]) == (["attic"], False)
    rest = await body(await everybody.get("/api/rooms?after=attic"), 200)
    assert [room["room"] for room in rest["rooms"]] == ["lobby"]
    members = await body(await ada.get("/api/rooms/lobby/members"), 200)
    assert ([user["name"] for user in members["members"]], members["member_count"]) == (["cleo", "dora"], 2)


@pytest.mark.parametrize("room", ["a%20b", "%00", "a%2Fb", "x" * 65, "%E2%80%AE"])
async def test_a_room_that_cannot_be_is_refused(site: Site, room: str) -> None:
    ada = await site.caller()
    for what in ("messages", "members"):
        response = await ada.get(f"{site.url}/api/rooms/{room}/{what}")
        assert (await body(response, 400))["error"]["code"] == "invalid_room"


async def test_a_moderator_kicks_bans_mutes_and_slows_down(site: Site) -> None:
    moderator = await site.caller("mod", roles=["moderator"])
    bob = await socket(site, "bob")
    bob_id = (await body(await moderator.get("/api/rooms/lobby/members"), 200))["members"][0]["id"]
    await body(await moderator.put(f"/api/rooms/lobby/mutes/{bob_id}", json={"seconds": 60}), 200)
    await bob.send(json.dumps({"type": "send", "id": "3", "room": "lobby", "text": "hello"}))
    assert (await until(bob, re="3"))["code"] == "forbidden"
    standing = (await body(await moderator.get("/api/rooms/lobby/sanctions"), 200))["sanctions"]
    assert [(one["kind"], one["user"], one["by"]) for one in standing] == [("mute", bob_id, "u-mod")]
    await body(await moderator.delete(f"/api/rooms/lobby/mutes/{bob_id}"), 200)
    assert (await body(await moderator.get("/api/rooms/lobby/sanctions"), 200))["sanctions"] == []
    await body(await moderator.put("/api/rooms/lobby/slow", json={"seconds": 60}), 200)
    await bob.send(json.dumps({"type": "send", "id": "4", "room": "lobby", "text": "hello"}))
    assert (await until(bob, re="4"))["seq"] == 1
    await bob.send(json.dumps({"type": "send", "id": "5", "room": "lobby", "text": "hello"}))
    assert (await until(bob, re="5"))["scope"] == "room"
    await body(await moderator.delete("/api/rooms/lobby/messages/1"), 200)
    await until(bob, type="deleted", seq=1)
    page = await body(await moderator.get("/api/rooms/lobby/messages"), 200)
    assert [(message["seq"], message["text"], message["deleted"]) for message in page["messages"]] == [(1, "", True)]
    await body(await moderator.put(f"/api/rooms/lobby/bans/{bob_id}", json={"reason": "enough"}), 200)
    await bob.wait_closed()
    assert bob.close_code == 4001
    await body(await moderator.delete(f"/api/rooms/lobby/bans/{bob_id}"), 200)
    cleo = await socket(site, "cleo")
    members = await body(await moderator.get("/api/rooms/lobby/members"), 200)
    cleo_id = next(user["id"] for user in members["members"] if user["name"] == "cleo")
    await body(await moderator.post(f"/api/rooms/lobby/members/{cleo_id}/kick"), 200)
    await cleo.wait_closed()
    assert cleo.close_code == 4001
    assert (await body(await moderator.delete("/api/rooms/lobby/messages/9"), 404))["error"]["code"] == "not_found"


async def test_slow_mode_holds_for_callers_in_a_room_that_nobody_is_in(site: Site) -> None:
    moderator = await site.caller("mod", roles=["moderator"])
    await body(await moderator.put("/api/rooms/attic/slow", json={"seconds": 60}), 200)
    ada = await site.caller()
    await body(await ada.post("/api/rooms/attic/messages", json={"text": "one"}), 201)
    response = await ada.post("/api/rooms/attic/messages", json={"text": "two"})
    assert int(response.headers["Retry-After"]) == 60
    error = (await body(response, 429))["error"]
    assert (error["code"], error["scope"]) == ("rate_limited", "room")
    await body(await moderator.post("/api/rooms/attic/messages", json={"text": "three"}), 201)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nothing", 404), ("DELETE", "/api/rooms", 405), ("POST", "/", 405), ("GET", "/../etc/passwd", 404),
     ("GET", "/nothing", 404), ("GET", "/ws", 426), ("PUT", "/api/rooms/lobby/messages", 405)],
)  # fmt: skip
async def test_what_there_is_not_gets_an_error_in_our_form(site: Site, method: str, path: str, status: int) -> None:
    nobody = await site.caller(None)
    response = await nobody.request(method, path)
    assert response.status == status
    if status != 426:
        error = (await body(response, status))["error"]
        assert error["code"] in ERRORS
        assert ("openapi.json" if status == 404 else f"not {method}.") in error["message"]
    if status == 405:
        assert method not in response.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/", "/api/rooms", "/api/rooms/lobby/messages?limit=1", "/health/live", "/health/ready", "/metrics"]
)
async def test_what_can_be_got_can_be_asked_for_its_head(site: Site, path: str) -> None:
    nobody = await site.caller(None)
    async with nobody.get(path) as whole, nobody.head(path) as head:
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


async def test_a_caller_leaves_nothing_behind(site: Site) -> None:
    ada = await site.caller()
    await body(await ada.post("/api/rooms/lobby/messages", json={"text": "x"}), 201)
    assert not site.services.engine.state.sessions
    assert not site.services.engine.state.rooms
    assert len(site.services.engine.state.people) == 0


async def test_a_fault_costs_one_request_and_has_a_trace(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await site.caller()
    monkeypatch.setattr(site.services.engine, "receive", lambda *_: 1 / 0)
    error = (await body(await ada.get("/api/rooms/lobby/messages"), 500))["error"]
    assert (error["code"], error["retryable"]) == ("internal", True)
    assert error["trace"]
    monkeypatch.undo()
    await body(await ada.get("/api/rooms/lobby/messages"), 200)


async def test_a_store_that_hangs_is_unavailable_and_the_key_makes_a_repetition_safe(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await site.caller()
    monkeypatch.setattr(callers, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(site.services.shell.log, "submit", lambda _jobs: None)
    response = await ada.post("/api/rooms/lobby/messages", json={"text": "x"})
    assert response.headers["Retry-After"] == "1"
    error = (await body(response, 503))["error"]
    assert (error["code"], error["retryable"]) == ("unavailable", True)
    assert "Idempotency-Key" in error["message"]
    assert not site.services.engine.state.sessions


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), key=st.text("abc\t !ÿ", max_size=70), room=st.text(max_size=10))
def test_no_request_gets_anything_but_an_answer(tmp_path_factory: Any, data: bytes, key: str, room: str) -> None:
    async def once() -> None:
        async with serving(tmp_path_factory.mktemp("data")) as site:
            ada = await site.caller(roles=["moderator"])
            path = f"/api/rooms/{room.encode(errors='replace').hex() or 'lobby'}"
            for response in (
                await ada.post(f"{path}/messages", data=data),
                await ada.put(f"{path}/bans/u", data=data),
                await ada.post(f"{path}/messages", json={"text": "x"}, headers={"Idempotency-Key": key.strip()}),
            ):
                assert response.status in {200, 201, 400, 429}, await response.text()

    asyncio.run(once())


def test_every_error_has_a_status() -> None:
    assert STATUS.keys() == ERRORS.keys()
