"""Peers that stop reading: a process that is stopped by a signal, and sockets that nobody reads."""

import asyncio
import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.faults.server.chatting import BOUNDS, SETTINGS, ChatServer, chatting, join
from tests.unit.server.serving import until

BOTH_LOOPS = True
_SCRIPT = Path(__file__).parent / "frozen_peer.py"


class Peer:
    """The client in its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> list[str]:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode().split()


@contextlib.asynccontextmanager
async def peer(server: ChatServer, name: str, room: str) -> AsyncIterator[Peer]:
    """Start one, wait until it has joined, end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_SCRIPT), str(server.port), name, room, stdout=asyncio.subprocess.PIPE
    )
    try:
        started = Peer(process)
        assert (await started.line())[0] == "joined"
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_stopped_peer_is_gone_within_interval_and_timeout_and_a_live_one_stays() -> None:
    quick = dataclasses.replace(SETTINGS, heartbeat_interval_seconds=0.3, heartbeat_timeout_seconds=3)
    bounds = dataclasses.replace(BOUNDS, linger_seconds=0.1)
    async with chatting(bounds, quick) as server, peer(server, "alive", "r"), peer(server, "stopped", "r") as stopped:
        counts = server.engine.state.counts
        began = time.monotonic()
        stopped.process.send_signal(signal.SIGSTOP)
        await until(lambda: len(server.shell.connections) == 1)
        assert time.monotonic() - began < 0.3 + 3 + 10, "the last of it is for a busy machine"
        assert (server.shell.stats.closed[4102], counts["heartbeats", "missed"]) == (1, 1)
        answered = counts["heartbeats", "answered"]
        await until(lambda: counts["heartbeats", "answered"] >= answered + 3)
        assert len(server.shell.connections) == 1, "the one that answers stays"
        stopped.process.send_signal(signal.SIGCONT)


async def test_a_stopped_peer_in_a_busy_room_costs_nobody_and_comes_back_without_a_loss() -> None:
    bounds = dataclasses.replace(BOUNDS, linger_seconds=0.1, waiting_bytes=200_000)
    settings = dataclasses.replace(SETTINGS, history=20_000)
    async with (
        chatting(bounds, settings) as server,
        contextlib.AsyncExitStack() as stack,
        peer(server, "stopped", "r") as stopped,
    ):
        writer = await join(server, "writer", "r", stack=stack)
        stopped.process.send_signal(signal.SIGSTOP)
        sent = 0
        while len(server.shell.connections) > 1 or not server.shell.stats.closed:
            began = time.monotonic()
            assert (await writer.ask(type="send", room="r", text="x" * 4_000))["type"] == "ack"
            assert time.monotonic() - began < 15, "the frozen peer makes others wait, until its heartbeat is lost"
            sent += 1
            assert sent < 5_000, "the frozen peer is kept for ever"
        assert server.shell.stats.closed[4108] == 1
        assert server.shell.stats.lagging_total == 1
        stopped.process.send_signal(signal.SIGCONT)
        closed, _, last = await stopped.line()
        assert closed == "closed"
        back = await join(server, "back", stack=stack)
        epoch = server.engine.state.epoch
        picture = await back.ask(type="join", room="r", since={"epoch": epoch, "seq": int(last)})
        missed = [message["seq"] for message in picture["messages"]]
        while missed[-1] < picture["seq"]:
            page = await back.ask(type="history", room="r", after=missed[-1])
            missed += [message["seq"] for message in page["messages"]]
        first = missed[0]
        assert missed == list(range(first, sent + 1))
        assert first == int(last) + 1 or picture["gap"] == {"from": int(last) + 1, "to": first - 1, "reason": "limit"}


async def test_one_that_pauses_for_a_while_gets_everything_in_order() -> None:
    bounds = dataclasses.replace(BOUNDS, waiting_bytes=10**8)
    async with chatting(bounds) as server, contextlib.AsyncExitStack() as stack, peer(server, "slow", "r") as slow:
        writer = await join(server, "writer", "r", stack=stack)
        slow.process.send_signal(signal.SIGSTOP)
        while server.shell.stats.lagging == 0:
            await writer.ask(type="send", room="r", text="x" * 4_000)
            await writer.ask(type="typing", room="r")
        for _ in range(100):
            await writer.ask(type="send", room="r", text="x" * 4_000)
            await writer.ask(type="typing", room="r")
        assert server.shell.stats.typing_dropped >= 100
        slow.process.send_signal(signal.SIGCONT)
        await until(lambda: server.shell.stats.lagging == 0)
        last = (await writer.ask(type="send", room="r", text="the last"))["seq"]
        await server.running.stop()
        assert await slow.line() == ["closed", "1006", str(last)]


async def test_nobody_waits_for_a_tenth_that_is_frozen() -> None:
    bounds = dataclasses.replace(BOUNDS, linger_seconds=0.1, slice_members=10)
    async with chatting(bounds) as server, contextlib.AsyncExitStack() as stack:
        members = [await join(server, f"member{index}", "r", stack=stack) for index in range(30)]
        frozen, awake = members[:3], members[3:]
        for member in frozen:
            member.client.transport.pause_reading()
        for number in range(300):
            assert (await awake[0].ask(type="send", room="r", text=f"{number} " + "x" * 3_900))["seq"] == number + 1
        for member in awake:
            assert await asyncio.wait_for(member.messages(300), 30) == list(range(1, 301))
