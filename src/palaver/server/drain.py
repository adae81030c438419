"""Shutting down without losing anything: not ready, no new connections, notices, a window, 4201, the log, the end.

A first SIGTERM or SIGINT begins it; a second one ends the process at once, by the signal itself. What was acknowledged
is in the log either way, because an ack is sent only after the log has it.

Refuses to do: decide when each client should come back; the engine spreads the slots.
"""

import asyncio
import signal
from types import FrameType

import structlog

from palaver.server.app import Running

journal = structlog.get_logger("palaver.server")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def drain(running: Running, *, window_seconds: float, deadline_seconds: float) -> None:
    """Shut down. Clients get `window_seconds` to go on their own, then 4201, then `deadline_seconds` to be gone.

    New requests on open connections are served until 4201. Cancelling this leaves the server half shut; call it or
    `Running.stop` again.
    """
    shell = running.shell
    journal.info("draining", connections=len(shell.connections), window_seconds=window_seconds)
    running.ready = False
    running.stop_accepting()
    shell.announce_shutdown(window_seconds)
    if not await _gone(running, window_seconds):
        shell.close_all()
        if not await _gone(running, deadline_seconds):
            journal.warning("connections_aborted", connections=len(shell.connections))
    await running.stop()
    journal.info("drained")


async def _gone(running: Running, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await running.shell.no_connections()
    except TimeoutError:
        return False
    return True


async def until_signal() -> signal.Signals:
    """Wait for SIGTERM or SIGINT. From then on a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    caught: asyncio.Future[signal.Signals] = loop.create_future()
    for number in SIGNALS:
        loop.add_signal_handler(number, _first, caught, number)
    try:
        return await caught
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, _end_at_once)


def _first(caught: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not caught.done():
        caught.set_result(number)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
