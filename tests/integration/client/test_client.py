"""The Python client against the real server: killed, drained, limited."""

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from palaver.client import Gap, Link, Message, Policy, Room, connect
from tests.integration.serve.process import Server, serving
from tests.ports import free_port

QUICK = Policy(backoff_base=0.02, backoff_cap=0.1)


async def read(room: Room, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(30):
        async for event in room:
            found.append(event.text if isinstance(event, Message) else str(event))
            if len(found) == count:
                break
    return found


def kept_port() -> tuple[str, str]:
    """For a server that will be away for a while: nobody takes its port meanwhile."""
    return "--port", str(free_port())


def again(stack: ExitStack, before: Server, *options: str) -> Server:
    """Kill the server, if it still runs, and start it on the same port and data."""
    before.end(signal.SIGKILL)
    port = before.url.rpartition(":")[2]
    return stack.enter_context(serving("--port", port, *options, cwd=before.cwd))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_between_two_messages_loses_and_doubles_nothing(tmp_path: Path, number: int) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(serving(*kept_port(), "--drain-window", "0.5", cwd=tmp_path))
        url = server.url
        async with connect(url, name="ada", policy=QUICK) as ada, connect(url, name="bob", policy=QUICK) as bob:
            heard = await bob.join("lobby").joined()
            said = await ada.join("lobby").joined()
            await said.send("before")
            user = ada.user
            await asyncio.to_thread(server.end, number)
            sending = asyncio.create_task(said.send("meanwhile"))
            await asyncio.to_thread(again, stack, server)
            await sending
            await said.send("after")
            assert await read(heard, 3) == ["before", "meanwhile", "after"]
            assert await read(said, 3) == ["before", "meanwhile", "after"]
            assert ada.user == user
            assert heard.position == said.position


async def test_sends_in_the_air_while_the_server_is_killed_are_stored_exactly_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        options = ("--messages-per-second", "off", "--history", "1000")
        server = stack.enter_context(serving(*kept_port(), *options, cwd=tmp_path))
        async with connect(server.url, name="ada", policy=QUICK) as ada:
            room = await ada.join("lobby").joined()
            texts = [str(number) for number in range(60)]
            sends = [asyncio.create_task(room.send(text)) for text in texts]
            for kill_after in (10, 30):
                await asyncio.wait_for(sends[kill_after], 30)
                server = await asyncio.to_thread(again, stack, server, *options)
            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(*sends)
            assert [outcome.seq for outcome in outcomes] == list(range(1, 61))
            assert await read(room, 60) == texts


async def test_a_burst_over_the_rate_limit_arrives_whole_and_in_order(tmp_path: Path) -> None:
    with serving("--messages-per-second", "5", cwd=tmp_path) as server:
        async with connect(server.url, name="ada") as ada:
            room = await ada.join("lobby").joined()
            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(*(room.send(str(number)) for number in range(12)))
            assert [outcome.seq for outcome in outcomes] == list(range(1, 13))
            assert {outcome.durability for outcome in outcomes} == {"disk"}


async def test_who_was_away_too_long_reads_a_gap_and_then_what_is_kept(tmp_path: Path) -> None:
    with serving("--messages-per-second", "off", "--history", "10", cwd=tmp_path) as server:
        async with connect(server.url, name="ada") as ada:
            said = await ada.join("lobby").joined()
            async with connect(server.url, name="bob") as bob:
                heard = await bob.join("lobby").joined()
                await said.send("1")
                assert await read(heard, 1) == ["1"]
            for number in range(2, 31):
                await said.send(str(number))
            async with connect(server.url, name="bob", session=bob.session) as bob:
                room = bob.join("lobby", since=heard.position)
                async with asyncio.timeout(30):
                    first = await anext(room)
                assert first == Gap("lobby", 2, 20, "retention")
                assert await read(room, 10) == [str(number) for number in range(21, 31)]


async def test_more_missed_than_one_reply_holds_is_read_in_full(tmp_path: Path) -> None:
    with serving("--messages-per-second", "off", "--history", "1000", cwd=tmp_path) as server:
        async with connect(server.url, name="ada", policy=Policy(window=50)) as ada:
            said = await ada.join("lobby").joined()
            await said.send("0")
            await asyncio.gather(*(said.send(str(number)) for number in range(1, 151)))
            async with connect(server.url, name="bob") as bob:
                assert said.position is not None
                since = type(said.position)(said.position.epoch, 1)
                room = bob.join("lobby", since=since)
                assert len(await read(room, 150)) == 150


async def test_the_largest_picture_of_a_room_is_read(tmp_path: Path) -> None:
    """A hundred messages of 4,000 characters of four bytes: more than many WebSocket libraries take by default."""
    text = "\U0001f9d1" * 4_000
    with serving("--messages-per-second", "off", "--frames-per-second", "off", cwd=tmp_path) as server:
        async with connect(server.url, name="ada", policy=Policy(window=50)) as ada:
            said = await ada.join("lobby").joined()
            await asyncio.gather(*(said.send(text) for _ in range(100)))
            assert said.position is not None
            async with connect(server.url, name="bob") as bob:
                room = bob.join("lobby", since=type(said.position)(said.position.epoch, 0))
                assert await read(room, 100) == [text] * 100


async def test_the_states_of_the_link_are_told(tmp_path: Path) -> None:
    states: list[Link] = []
    with ExitStack() as stack:
        server = stack.enter_context(serving(*kept_port(), cwd=tmp_path))
        async with connect(server.url, name="ada", policy=QUICK, on_state=states.append) as ada:
            ada.join("lobby")
            await asyncio.to_thread(again, stack, server)
            await ada.send("lobby", "back")
    handshake = [Link.DIALLING, Link.GREETING, Link.ENTERING, Link.READY]
    assert states[:5] == [*handshake, Link.WAITING]
    assert states[-2:] == [Link.READY, Link.ENDED]


async def test_a_program_that_does_not_say_who_it_is_is_a_guest_with_a_name_of_its_own(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        async with connect(server.url) as chat, connect(server.url) as other:
            assert chat.user.name != other.user.name
            async with asyncio.timeout(30):
                await other.join("lobby").joined()
                await other.send("lobby", "hello")
                async for message in chat.join("lobby"):
                    assert isinstance(message, Message)
                    assert (message.text, message.user) == ("hello", other.user)
                    break
