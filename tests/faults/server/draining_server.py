"""A server in a process of its own, to be sent signals: prints its port, drains on a first signal, exits with 0."""

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
from pathlib import Path

import uvloop
from aiohttp import web

from palaver.chat.engine import Engine
from palaver.server.app import Address, start
from palaver.server.drain import drain, until_signal
from palaver.server.log import SqliteLog
from palaver.server.log.retention import Retention
from palaver.server.shell import Shell
from tests.faults.server.chatting import BOUNDS, SETTINGS
from tests.unit.server.serving import refuse_all


async def main(directory: str, window_seconds: str, timeout_seconds: str) -> None:
    """Serve until a signal comes."""
    log = SqliteLog(Path(directory), Retention(100), now_ms=lambda: int(time.time() * 1000))  # noqa: TID251 - the edge
    engine = Engine(
        dataclasses.replace(
            SETTINGS,
            heartbeat_interval_seconds=min(0.4, float(timeout_seconds)),
            heartbeat_timeout_seconds=float(timeout_seconds),
        ),
        epoch=log.epoch,
        durability=log.durability,
        node="test",
        server="palaver/test",
        secret=log.secret,
        entropy=os.urandom,
        wall=0.0,
        sanctions=log.sanctions(),
    )
    shell = Shell(engine, log, bounds=BOUNDS, verify=refuse_all, clock=time.monotonic, wall_clock=time.time)  # noqa: TID251
    running = await start(shell, [Address(port=0)], web.Application())
    print(running.addresses[0][1], flush=True)  # noqa: T201 - read by the test
    await until_signal()
    await drain(running, window_seconds=float(window_seconds), deadline_seconds=2)


if __name__ == "__main__":
    loop = uvloop.new_event_loop if sys.argv[4] == "uvloop" else asyncio.new_event_loop
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main(*sys.argv[1:4]))
