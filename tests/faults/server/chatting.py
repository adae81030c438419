"""A whole chat server, with the real engine and a log in memory, for tests that break things."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from palaver.chat.engine import Engine
from palaver.chat.settings import ChatSettings
from palaver.server.app import Address, Running, start
from palaver.server.bounds import Bounds
from palaver.server.log import Log, MemoryLog
from palaver.server.log.retention import Retention
from palaver.server.ports import Core, JobTaker
from palaver.server.shell import Shell
from palaver.server.verification import Verify
from tests.unit.server.serving import PATIENCE_SECONDS, refuse_all

# Everybody comes from one address here, and many of them at once.
SETTINGS = ChatSettings(
    messages=None,
    room_messages_per_second=None,
    frames_per_second=None,
    ip_connects_per_second=None,
    ip_unauthenticated_frames_per_second=None,
    leave_grace_seconds=0.05,
    presence_interval_seconds=0.01,
)
BOUNDS = Bounds(frames_per_second=None)


@dataclass
class ChatServer:
    """A running server and what it is made of."""

    running: Running
    engine: Engine
    shell: Shell

    @property
    def port(self) -> int:
        return self.running.addresses[0][1]

    def connect(self, **options: Any) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}/ws",
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=0.2,
            **({"max_size": None} | options),  # a hundred long messages are more than the library's default
        )


def wall_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return int(time.time() * 1000)  # noqa: TID251 - the edge


def make_shell(
    bounds: Bounds = BOUNDS,
    settings: ChatSettings = SETTINGS,
    *,
    log: Log | None = None,
    verify: Verify = refuse_all,
    clock: Callable[[], float] = time.monotonic,
    fast: bool = True,
) -> Shell:
    """A shell around a real engine; the log keeps messages in memory unless another one is given."""
    log = log or MemoryLog(Retention(settings.history), now_ms=wall_ms)
    engine = Engine(
        settings,
        epoch=log.epoch,
        durability=log.durability,
        node="test",
        server="palaver/test",
        secret=log.secret,
        entropy=os.urandom,
        wall=time.time() - clock(),  # noqa: TID251 - the edge
        sanctions=log.sanctions(),
    )
    core: Core = engine
    jobs: JobTaker = log
    wall_clock = time.time  # noqa: TID251 - the edge
    return Shell(core, jobs, bounds=bounds, verify=verify, clock=clock, wall_clock=wall_clock, fast=fast)


@contextlib.asynccontextmanager
async def chatting(
    bounds: Bounds = BOUNDS,
    settings: ChatSettings = SETTINGS,
    *,
    log: Log | None = None,
    verify: Verify = refuse_all,
    clock: Callable[[], float] = time.monotonic,
    faults: int = 0,
    fast: bool = True,
) -> AsyncIterator[ChatServer]:
    """Serve, and check at the end that nothing is left of anybody, and that there were so many faults."""
    before = asyncio.all_tasks()
    shell = make_shell(bounds, settings, log=log, verify=verify, clock=clock, fast=fast)
    running = await start(shell, [Address(port=0)], web.Application())
    assert isinstance(shell.engine, Engine)
    try:
        yield ChatServer(running, shell.engine, shell)
    finally:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await running.stop()
    assert_nothing_left(shell, faults)
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


def assert_nothing_left(shell: Shell, faults: int = 0) -> None:
    """No connection, subscription, session or waiting byte."""
    assert isinstance(shell.engine, Engine)
    fanout = shell.fanout
    assert not shell.connections
    assert not shell.engine.state.sessions
    assert (fanout.rooms, shell.stats.subscriptions, shell.stats.connections, shell.stats.lagging) == (0, 0, 0, 0)
    assert not shell.verification
    assert shell.stats.faults == faults


class Talker:
    """A client of the protocol that keeps what it hears."""

    def __init__(self, client: ClientConnection, name: str) -> None:
        self.client = client
        self.name = name
        self.pushes: list[dict[str, Any]] = []
        self._ids = 0

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The next frame."""
        frame: dict[str, Any] = msgspec.json.decode(await asyncio.wait_for(self.client.recv(), seconds))
        return frame

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer; keep the pushes on the way."""
        self._ids += 1
        re = str(self._ids)
        await self.client.send(msgspec.json.encode({"id": re, **request}).decode())
        return await self.answer(re)

    async def answer(self, re: str) -> dict[str, Any]:
        """Wait for the answer to the request with this id; keep the pushes on the way."""
        while True:
            frame = await self.hear()
            if frame.get("re") == re:
                return frame
            self.pushes.append(frame)

    async def push(self, kind: str) -> dict[str, Any]:
        """The next push of one type that is still to come; others are kept."""
        while (frame := await self.hear())["type"] != kind:
            self.pushes.append(frame)
        return frame

    async def messages(self, count: int) -> Sequence[int]:
        """Read pushes until so many messages have come; their `seq`."""
        while sum(push["type"] == "message" for push in self.pushes) < count:
            self.pushes.append(await self.hear())
        return [push["seq"] for push in self.pushes if push["type"] == "message"]


async def join(server: ChatServer, name: str, *rooms: str, stack: contextlib.AsyncExitStack, **options: Any) -> Talker:
    """Connect, authenticate as a guest, join."""
    talker = Talker(await stack.enter_async_context(server.connect(**options)), name)
    assert (await talker.hear())["type"] == "hello"
    assert (await talker.ask(type="auth", name=name))["type"] == "ack"
    for room in rooms:
        assert (await talker.ask(type="join", room=room))["type"] == "ack"
    return talker
