"""SIGTERM to a whole server in its own process: everybody is told, nothing acknowledged is lost, and the exit is 0."""

import asyncio
import contextlib
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.faults.server.chatting import Talker

_ROOT = Path(__file__).parents[3]


class ServerProcess:
    """A server, and how to reach it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/ws", compression=None, proxy=None)

    async def talker(self, name: str, stack: contextlib.AsyncExitStack) -> Talker:
        talker = Talker(await stack.enter_async_context(self.connect()), name)
        await talker.hear()
        await talker.ask(type="auth", name=name)
        await talker.ask(type="join", room="r")
        return talker


@contextlib.asynccontextmanager
async def server_process(
    directory: Path, window_seconds: float, timeout_seconds: float = 25.0, loop: str = "uvloop"
) -> AsyncIterator[ServerProcess]:
    """Start a server on a directory, which pings at least every 0.4 s; kill it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.server.draining_server"),
        *(str(directory), str(window_seconds), str(timeout_seconds), loop),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield ServerProcess(process, int(await asyncio.wait_for(process.stdout.readline(), 30)))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _read_to_the_end(talker: Talker) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await talker.hear()


async def test_sigterm_gives_each_a_slot_serves_on_closes_with_4201_and_loses_nothing(tmp_path: Path) -> None:
    acked: dict[int, str] = {}
    async with server_process(tmp_path, 2.0) as server, contextlib.AsyncExitStack() as stack:
        ada, bob = [await server.talker(name, stack) for name in ("ada", "bob")]
        server.process.send_signal(signal.SIGTERM)
        slots = {(await talker.push("notice"))["after_ms"] for talker in (ada, bob)}
        assert len(slots) == 2
        with contextlib.suppress(ConnectionClosed):
            for number in range(100_000):
                answer = await ada.ask(type="send", room="r", text=f"line {number}", cid=f"c{number}")
                acked[answer["seq"]] = f"line {number}"
        assert ada.client.close_code == 4201
        await _read_to_the_end(bob)
        assert bob.client.close_code == 4201
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
    assert len(acked) > 0
    async with server_process(tmp_path, 0.0) as server, contextlib.AsyncExitStack() as stack:
        eve = await server.talker("eve", stack)
        picture = await eve.ask(type="history", room="r")
        stored = {message["seq"]: message["text"] for message in picture["messages"]}
        assert max(stored) >= max(acked)
        assert {seq: text for seq, text in acked.items() if seq in stored}.items() <= stored.items()
        assert len(stored) == min(100, max(stored))


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with server_process(tmp_path, 60.0) as server, contextlib.AsyncExitStack() as stack:
        ada = await server.talker("ada", stack)
        server.process.send_signal(signal.SIGTERM)
        assert (await ada.push("notice"))["code"] == "shutdown"
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 30) == -signal.SIGTERM, "not after the window of 60 s"


async def _ping(talker: Talker) -> None:
    while (await talker.hear())["type"] != "ping":
        pass


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_stop_of_the_whole_server_does_not_kill_live_peers(tmp_path: Path, loop: str) -> None:
    """On uvloop timers come before what was read meanwhile."""
    async with server_process(tmp_path, 0.1, 1.5, loop) as server, contextlib.AsyncExitStack() as stack:
        ada = await server.talker("ada", stack)
        await _ping(ada)
        ada.client.transport.pause_reading()
        select.select([ada.client.transport.get_extra_info("socket")], [], [], 10)  # the next ping waits for its answer
        server.process.send_signal(signal.SIGSTOP)
        ada.client.transport.resume_reading()
        await asyncio.sleep(2.5)  # far longer than an answer may take
        server.process.send_signal(signal.SIGCONT)
        assert (await ada.ask(type="ping"))["type"] == "ack"
        await _ping(ada)
