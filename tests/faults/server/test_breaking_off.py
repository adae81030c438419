"""A peer that goes away at the worst moment: during a join, a send, a broadcast, a replay, the shutdown."""

import asyncio
import contextlib
import socket
import struct

import pytest

from palaver.chat.rooms import Room
from palaver.server.drain import drain
from tests.faults.server.chatting import BOUNDS, ChatServer, Talker, chatting, join
from tests.property.server.test_inbound import frame
from tests.unit.server.serving import until
from tests.unit.server.test_connection import UPGRADE

BOTH_LOOPS = True
HOWS = ["reset", "closed", "half_closed", "aborted_by_us"]


async def _break(server: ChatServer, how: str, *said: bytes, settled: Room | None = None) -> None:
    """Connect, say something, and go away without waiting for an answer, but not before `settled` knows of the join."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    opened = server.shell.stats.opened
    writer.write(UPGRADE + frame(1, b'{"type":"auth","id":"1","name":"breaker"}'))
    await reader.readuntil(b'"re":"1"')
    assert server.shell.stats.opened == opened + 1 or opened > 0
    if settled is not None:
        writer.write(frame(1, JOIN))
        await until(lambda: len(settled.members) == 2 and not settled.changes)
    writer.write(b"".join(frame(1, one) for one in said))
    await asyncio.sleep(0)
    if how == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    elif how == "half_closed":
        writer.write_eof()
    elif how == "aborted_by_us":
        for connection in list(server.shell.connections):
            if connection.transport.get_extra_info("peername") == writer.get_extra_info("sockname"):
                connection.abort()
    else:
        writer.close()
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 30)
    writer.close()


JOIN = b'{"type":"join","id":"j","room":"r"}'
SEND = b'{"type":"send","id":"s","room":"r","text":"last words"}'
DURING = {
    "join": (JOIN,),
    "send": (JOIN, SEND),
    "broadcast": (JOIN, *[SEND] * 30),
    "replay": (JOIN, b'{"type":"leave","id":"l","room":"r"}', JOIN, b'{"type":"history","id":"h","room":"r"}'),
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("during", DURING)
async def test_the_others_see_who_breaks_off_leave_exactly_once(during: str, how: str) -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        watcher = await join(server, "watcher", "r", stack=stack)
        for number in range(20):
            await watcher.ask(type="send", room="r", text=f"line {number}" * 50)
        await _break(server, how, *DURING[during])
        await until(lambda: len(server.shell.connections) == 1 and len(server.engine.state.people) == 1)
        await until(lambda: not server.engine.state.rooms["r"].changes)
        await watcher.ask(type="send", room="r", text="the end")
        joined, left, seqs = _presence(watcher)
        assert joined == left
        assert len(left) <= 1
        assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("during", ["send", "broadcast", "replay"])
async def test_one_who_was_seen_to_join_is_seen_to_leave_once_and_no_more(during: str, how: str) -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        watcher = await join(server, "watcher", "r", stack=stack)
        await until(lambda: not server.engine.state.rooms["r"].changes)
        for _ in range(20):
            await watcher.ask(type="send", room="r", text="line " * 500)
        breaking = asyncio.create_task(_break(server, how, *DURING[during], settled=server.engine.state.rooms["r"]))
        left = joined = 0
        while not left:
            watcher.pushes.append(push := await watcher.hear())
            if push["type"] == "presence":
                joined += [user["name"] for user in push["joined"]].count("breaker")
                left += [user["name"] for user in push["left"]].count("breaker")
        await breaking
        await watcher.ask(type="send", room="r", text="the end")
        await until(lambda: not server.engine.state.rooms["r"].changes)
        assert _presence(watcher)[:2] == (["breaker"], ["breaker"])
        assert (joined, left) == (1, 1)


def _presence(talker: Talker) -> tuple[list[str], list[str], list[int]]:
    joined, left, seqs = [], [], []
    for push in talker.pushes:
        if push["type"] == "presence":
            joined += [user["name"] for user in push["joined"] if user["name"] != talker.name]
            left += [user["name"] for user in push["left"]]
        elif push["type"] == "message":
            seqs.append(push["seq"])
    return joined, left, seqs


@pytest.mark.parametrize("how", HOWS)
async def test_one_who_breaks_off_during_the_shutdown_does_not_delay_it(how: str) -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        await join(server, "stayer", "r", stack=stack)
        draining = asyncio.create_task(drain(server.running, window_seconds=0.2, deadline_seconds=90))
        await asyncio.sleep(0)
        for connection in list(server.shell.connections):
            if how != "closed":
                connection.abort()
        await asyncio.wait_for(draining, 30)


async def test_one_whose_handshake_ends_during_the_shutdown_is_told_so() -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        stayer = await join(server, "stayer", "r", stack=stack)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE[:40])
        await until(lambda: server.running.unfinished == 1)
        draining = asyncio.create_task(drain(server.running, window_seconds=2, deadline_seconds=30))
        assert (await stayer.push("notice"))["code"] == "shutdown"
        writer.write(UPGRADE[40:])
        answer = await asyncio.wait_for(reader.readuntil(b'"after_ms":2000}'), 30)
        assert b'"hello"' in answer
        close = await asyncio.wait_for(reader.readexactly(4), 30)
        assert (close[0], int.from_bytes(close[2:], "big")) == (0x88, 4201)
        writer.close()
        await draining


async def test_cancelling_the_shutdown_and_shutting_down_again_ends_everything() -> None:
    async with chatting() as server, contextlib.AsyncExitStack() as stack:
        talker = await join(server, "ada", "r", stack=stack)
        draining = asyncio.create_task(drain(server.running, window_seconds=60, deadline_seconds=60))
        assert (await talker.push("notice"))["code"] == "shutdown"
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        await asyncio.wait_for(drain(server.running, window_seconds=0, deadline_seconds=5), 30)
        assert talker.client.close_code in (None, 4201)


async def test_a_peer_that_never_reads_does_not_delay_the_shutdown() -> None:
    bounds = BOUNDS.__class__(linger_seconds=0.1, frames_per_second=None)
    async with chatting(bounds) as server, contextlib.AsyncExitStack() as stack:
        frozen = await join(server, "frozen", "r", stack=stack)
        frozen.client.transport.pause_reading()
        writer = await join(server, "writer", "r", stack=stack)
        for _ in range(40):
            await writer.ask(type="send", room="r", text="x" * 4_000)
        await asyncio.wait_for(drain(server.running, window_seconds=0.1, deadline_seconds=90), 30)
        assert server.shell.stats.closed[4201] == 2
