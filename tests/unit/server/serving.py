"""A whole server on a free port of the loopback, and small clients for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from palaver.chat.identity import Refusal
from palaver.server.app import Address, Running, start
from palaver.server.bounds import Bounds
from palaver.server.shell import Shell
from palaver.server.verification import Verify
from tests.unit.server.fake_engine import FakeEngine, FakeLog

PATIENCE_SECONDS = 30.0  # for what must come, on a machine that is busy; nothing waits so long unless it fails


@dataclass
class Served:
    """A running server and what it is made of."""

    running: Running
    engine: FakeEngine
    log: FakeLog
    shell: Shell

    @property
    def port(self) -> int:
        return self.running.addresses[0][1]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def connect(self, **options: Any) -> connect:
        return connect(self.url, compression=None, proxy=None, **options)


def refuse_all(_token: str) -> Refusal:
    return Refusal("invalid_token", "no tokens here")


async def hello_page(_request: web.Request) -> web.Response:
    return web.Response(text="a page")


async def echo_page(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@contextlib.asynccontextmanager
async def serving(
    bounds: Bounds | None = None, verify: Verify = refuse_all, address: Address | None = None
) -> AsyncIterator[Served]:
    """Serve with the fake engine, and leave nothing behind."""
    engine, log = FakeEngine(), FakeLog()
    shell = Shell(engine, log, bounds=bounds or Bounds(), verify=verify, clock=time.monotonic, wall_clock=lambda: 0.0)
    app = web.Application()
    app.router.add_get("/", hello_page)
    app.router.add_post("/echo", echo_page)
    running = await start(shell, [address or Address(port=0)], app)
    try:
        yield Served(running, engine, log, shell)
    finally:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await running.stop()
    assert not shell.connections
    assert not engine.connections
    assert shell.fanout.rooms == 0
    assert shell.stats.subscriptions == 0
    assert shell.stats.connections == 0


async def ask(client: ClientConnection, **request: Any) -> Any:
    """Send one request and wait for the next frame."""
    await client.send(msgspec.json.encode({"id": "1", **request}).decode())
    return await hear(client)


async def hear(client: ClientConnection) -> Any:
    """The next frame."""
    return msgspec.json.decode(await asyncio.wait_for(client.recv(), PATIENCE_SECONDS))


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Let the loop run until something is so, which no event tells."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for here has no event
            await asyncio.sleep(0.002)
