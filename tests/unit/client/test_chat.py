"""The client as a program sees it, over real sockets, against a server that is a list."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from palaver.client import (
    Chat,
    Closed,
    Gap,
    Link,
    Message,
    NotJoined,
    NotSent,
    Policy,
    Refused,
    Room,
    Stored,
    Typing,
    Unknown,
    Unreachable,
    connect,
)
from tests.unit.client.loopback import Loopback, loopback

QUICK = Policy(backoff_base=0.001, backoff_cap=0.01)


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def quick(server: Loopback, name: str = "ada", **policy: int) -> Chat:
    return connect(server.url, name=name, policy=Policy(backoff_base=0.001, backoff_cap=0.01, **policy))


async def texts(room: Room, count: int) -> list[str]:
    found = []
    async with asyncio.timeout(30):
        async for event in room:
            found.append(event.text if isinstance(event, Message) else str(event))
            if len(found) == count:
                break
    return found


async def noticed_loss(chat: Chat) -> None:
    async with asyncio.timeout(30):
        while chat.state is Link.READY:  # noqa: ASYNC110 - the loop is only turned, no time is waited
            await asyncio.sleep(0)


async def test_what_one_says_the_other_reads(server: Loopback) -> None:
    async with quick(server) as ada, quick(server, "bob") as bob:
        room = await bob.join("lobby").joined()
        ada.join("lobby")
        stored = await ada.send("lobby", "hello")
        assert isinstance(stored, Stored)
        assert (stored.seq, stored.durability) == (1, "disk")
        assert await texts(room, 1) == ["hello"]
        assert ada.user.name == "ada"
        assert ada.state is Link.READY


async def test_a_killed_server_loses_and_doubles_nothing(server: Loopback) -> None:
    async with quick(server) as ada, quick(server, "bob") as bob:
        room = await bob.join("lobby").joined()
        ada.join("lobby")
        await ada.send("lobby", "before")
        user = ada.user
        await server.stop()
        sending = asyncio.create_task(ada.send("lobby", "while it is away"))
        await server.start()
        await sending
        await ada.send("lobby", "after")
        assert await texts(room, 3) == ["before", "while it is away", "after"]
        assert ada.user == user, "the guest's session makes it the same user again"


async def test_a_send_whose_ack_was_lost_is_stored_once(server: Loopback) -> None:
    async with quick(server) as ada:
        room = await ada.join("lobby").joined()
        server.swallow_acks_of.add("send")
        sending = asyncio.create_task(ada.send("lobby", "once"))
        await server.saw("send")
        await server.stop()
        server.swallow_acks_of.clear()
        await server.start()
        assert (await sending).seq == 1
        assert await texts(room, 1) == ["once"]
        assert len(server.model.everything) == 1


async def test_a_refused_send_raises_with_the_servers_code(server: Loopback) -> None:
    async with quick(server) as ada:
        ada.join("lobby")
        with pytest.raises(Refused) as caught:
            await ada.send("lobby", "bad text")
        assert caught.value.code == "invalid_text"


async def test_sending_to_a_room_that_is_not_joined_raises_at_once(server: Loopback) -> None:
    async with quick(server) as ada:
        with pytest.raises(NotJoined):
            await ada.send("nowhere", "hello")


async def test_a_message_that_was_never_written_is_given_up_as_not_sent(server: Loopback) -> None:
    async with quick(server) as ada:
        await ada.join("lobby").joined()
        await server.stop()
        await noticed_loss(ada)
        with pytest.raises(NotSent):
            await ada.send("lobby", "too late", give_up_after=0.05)
        await server.start()


async def test_a_message_that_was_written_is_given_up_as_unknown(server: Loopback) -> None:
    async with quick(server) as ada:
        await ada.join("lobby").joined()
        server.mute = True
        with pytest.raises(Unknown):
            await ada.send("lobby", "who knows", give_up_after=0.05)


async def test_leaving_the_block_settles_what_was_waiting(server: Loopback) -> None:
    async with quick(server) as ada:
        await ada.join("lobby").joined()
        server.mute = True
        sending = asyncio.create_task(ada.send("lobby", "in the air"))
        await server.saw("send")
    with pytest.raises(Unknown):
        await sending
    with pytest.raises(Closed):
        await ada.send("lobby", "afterwards")


async def test_a_cancelled_send_that_was_not_written_is_not_stored(server: Loopback) -> None:
    async with quick(server) as ada:
        await ada.join("lobby").joined()
        await server.stop()
        await noticed_loss(ada)
        sending = asyncio.create_task(ada.send("lobby", "never"))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        await server.start()
        await ada.send("lobby", "later")
        assert [message["text"] for message in server.model.everything] == ["later"]


async def test_a_reader_that_sleeps_through_many_messages_reads_them_all(server: Loopback) -> None:
    async with quick(server, "ada", window=50) as ada, quick(server, "bob", inbox=10) as bob:
        room = await bob.join("lobby").joined()
        ada.join("lobby")
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(ada.send("lobby", str(number)))
        assert await texts(room, 300) == [str(number) for number in range(300)]


async def test_what_the_server_does_not_keep_any_more_is_a_gap_in_the_stream(server: Loopback) -> None:
    server.model.keep = 2
    async with quick(server) as ada, quick(server, "bob") as bob:
        room = await bob.join("lobby").joined()
        await ada.join("lobby").joined()
        await ada.send("lobby", "read")
        assert await texts(room, 1) == ["read"]
        await bob.__aexit__(None, None, None)
        for text in ("2", "3", "4", "5"):
            await ada.send("lobby", text)
        async with quick(server, "bob") as again:
            events = again.join("lobby", since=room.position)
            assert await texts(events, 3) == ["[2 messages in lobby not available]", "4", "5"]


async def test_a_bot_can_leave_the_past_out(server: Loopback) -> None:
    async with quick(server) as ada:
        ada.join("lobby")
        await ada.send("lobby", "past")
        async with quick(server, "bot") as bot:
            room = await bot.join("lobby", history=False).joined()
            await ada.send("lobby", "present")
            assert await texts(room, 1) == ["present"]


async def test_history_is_read_in_pages(server: Loopback) -> None:
    async with quick(server) as ada:
        ada.join("lobby")
        for text in ("1", "2", "3"):
            await ada.send("lobby", text)
        page = await ada.history("lobby", after=1)
        assert [message.text for message in page.messages] == ["2", "3"]
        assert page.complete


async def test_typing_reaches_the_others_events(server: Loopback) -> None:
    async with quick(server) as ada, quick(server, "bob") as bob:
        room = await bob.join("lobby").joined()
        await ada.join("lobby").joined()
        ada.typing("lobby")
        async with asyncio.timeout(30):
            async for event in room.events():
                assert isinstance(event, Typing)
                assert event.user.name == "ada"
                break


async def test_a_left_room_ends_its_stream(server: Loopback) -> None:
    async with quick(server) as ada:
        room = await ada.join("lobby").joined()
        room.leave()
        assert [event async for event in room] == []
        assert await server.saw("leave")
        assert ada.join("lobby") is not room


async def test_a_close_code_that_says_stop_ends_every_stream_with_the_reason(server: Loopback) -> None:
    async with quick(server) as ada:
        room = await ada.join("lobby").joined()
        await server.push({"type": "error", "re": None, "code": "forbidden", "message": "banned", "retryable": False})
        await server.close_all(4001)
        with pytest.raises(Closed) as caught:
            await texts(room, 1)
        assert caught.value.code == 4001
        assert caught.value.error is not None
        assert caught.value.error.code == "forbidden"
        with pytest.raises(Closed):
            await ada.send("lobby", "hello")


async def test_nobody_at_the_address_is_unreachable_after_the_time_given(server: Loopback) -> None:
    await server.stop()
    with pytest.raises(Unreachable):
        async with connect(server.url, name="ada", within=0.05, policy=QUICK):
            pass
    await server.start()


async def test_an_expired_token_is_fetched_anew(server: Loopback) -> None:
    asked: list[str] = []

    async def fetch() -> str:
        asked.append("token")
        return f"token-{len(asked)}"

    server.model._auth = lambda wire, frame, now: {  # type: ignore[method-assign]  # the model knows only guests
        "user": wire.__dict__.setdefault("user", None) or _named(wire, frame["token"]),
        "expires": None,
    }
    async with connect(server.url, token=fetch, policy=QUICK) as ada:
        await ada.join("lobby").joined()
        await server.close_all(4301)
        await server.saw("auth", 2)
        assert (await ada.send("lobby", "still here")).seq == 1
    assert [frame["token"] for frame in server.seen if frame["type"] == "auth"] == ["token-1", "token-2"]


def _named(wire: object, token: str) -> dict[str, str]:
    user = {"id": "u-token", "name": "ada"}
    wire.user = user  # type: ignore[attr-defined]  # the model's own field
    return user


async def test_frames_of_a_later_version_are_ignored_and_nonsense_makes_a_new_connection(server: Loopback) -> None:
    async with quick(server) as ada:
        ada.join("lobby")
        await ada.send("lobby", "1")
        await server.push({"type": "sparkle", "room": "lobby"})
        await ada.send("lobby", "2")
        assert server.connects == 1
        await server.push({"type": "message", "room": 7})
        await server.saw("auth", 2)
        assert (await ada.send("lobby", "3")).seq == 3


async def test_a_gap_and_a_message_print_what_a_reader_wants_to_know() -> None:
    assert str(Gap("lobby", 3, 3, "retention")) == "[1 message in lobby not available]"
    assert "anew" in str(Gap("lobby", 1, 0, "epoch"))


def test_a_token_has_a_name_so_another_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        connect("http://127.0.0.1:1", name="ada", token="t")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://example.org"])
def test_a_bad_address_is_refused_with_the_address(url: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        connect(url, name="ada")


async def converse(server: Loopback) -> None:
    """A whole life of a client: connect, join, send, read, lose the connection, send again, leave."""
    async with quick(server) as ada:
        room = ada.join("lobby")
        await room.send("one")
        await texts(room, 1)
        await server.close_all(4102)
        await ada.history("lobby")
        await room.send("two")


async def test_a_client_cancelled_at_any_await_leaves_nothing_behind(server: Loopback) -> None:
    """The life is run again and again, each time cancelled one turn of the loop later than before."""
    finished = False
    turn = 0
    while not finished:
        turn += 1
        mine = {task for task in asyncio.all_tasks() if "client" in repr(task.get_coro())}
        life = asyncio.create_task(converse(server))
        for _ in range(turn * 3):
            await asyncio.sleep(0)
        finished = life.done()
        life.cancel()
        await asyncio.wait([life], timeout=10)
        assert life.done(), f"it does not end when cancelled at turn {turn}"
        if not life.cancelled():
            assert life.exception() is None
        left = {task for task in asyncio.all_tasks() if "palaver/client" in repr(task.get_coro())} - mine
        assert not left, f"tasks left after turn {turn}: {left}"
        async with asyncio.timeout(30):
            await server.gone()
    gc.collect()  # a transport or coroutine that was forgotten warns now, and warnings are errors
    assert turn > 10, "the life has many awaits"
