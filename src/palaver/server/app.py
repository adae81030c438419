"""The running server: listening sockets, the door, the HTTP application behind it, and the way out.

Refuses to do: read settings, make the engine or the log; palaver.server.serve does. Invariant: what `start` opened,
`Running.stop` closes, also when `start` fails half way.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from palaver.server.door import Door, late_upgrade
from palaver.server.shell import Shell

BACKLOG = 4_096  # connections that the kernel holds for us while the loop is busy
TLS_HANDSHAKE_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75.0  # an HTTP connection without a request; proxies keep theirs for a minute by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: a host and a port (0: any free one), or a Unix socket's path. With `tls` where given."""

    host: str = "127.0.0.1"
    port: int = 8000
    unix: Path | None = None
    tls: ssl.SSLContext | None = None


def _is_served(path: Path) -> bool:
    """Whether somebody listens on this Unix socket; connecting to one never waits for the other side."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full
        except OSError:
            return False
    return True


def _is_our_fault(record: logging.LogRecord) -> bool:
    """What a peer did wrong was answered; with a traceback for each, a hostile one could fill the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


_LOGGER = logging.getLogger("palaver.http.library")
_LOGGER.addFilter(_is_our_fault)


class Running:
    """A server that listens."""

    def __init__(self, shell: Shell, door: Door, runner: web.AppRunner) -> None:
        self.shell = shell
        self.ready = True  # what the readiness probe asks first
        self._door = door
        self._runner = runner
        self._servers: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._ending_first: list[Callable[[], Awaitable[None]]] = []

    async def listen(self, address: Address) -> None:
        """Listen on one more address. Raises OSError where that is not possible."""
        loop = self.shell.loop
        timeout = None if address.tls is None else TLS_HANDSHAKE_SECONDS
        if address.unix is not None:
            # asyncio replaces a socket that a killed server left behind, and refuses to replace what is no socket.
            if _is_served(address.unix):
                raise OSError(errno.EADDRINUSE, "another server listens there")
            server = await loop.create_unix_server(
                self._door, str(address.unix), ssl=address.tls, ssl_handshake_timeout=timeout, backlog=BACKLOG
            )
            self._paths.append(address.unix)
        else:
            server = await loop.create_server(
                self._door,
                address.host,
                address.port,
                ssl=address.tls,
                ssl_handshake_timeout=timeout,
                backlog=BACKLOG,
            )
        self._servers.append(server)

    async def accept(self, accepted: socket.socket) -> None:
        """Serve one more connection that something else accepted: it goes through the door like any other."""
        await self.shell.loop.connect_accepted_socket(self._door, accepted)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening TCP socket."""
        names = [listening.getsockname() for server in self._servers for listening in server.sockets]
        return [(name[0], name[1]) for name in names if isinstance(name, tuple)]

    @property
    def unfinished(self) -> int:
        """Connections that have not sent a whole request head."""
        return len(self._door)

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections live on. Idempotent."""
        for server in self._servers:
            server.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._servers.clear()
        self._paths.clear()

    def end_first(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Before anything else ends, end this: it works with the rooms and the log. It must be idempotent."""
        self._ending_first.append(ending)

    async def stop(self) -> None:
        """End every connection now, finish the log and close it. Idempotent."""
        self.ready = False
        self.stop_accepting()
        for ending in self._ending_first:
            await ending()
        self._door.close()
        try:
            await self._runner.cleanup()
        finally:
            await self.shell.stop()


async def start(shell: Shell, addresses: Sequence[Address], app: web.Application) -> Running:
    """Start the shell and listen. `app` gets every request that is no WebSocket upgrade on the shell's path."""
    app.router.add_route("*", shell.bounds.path, late_upgrade)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_LOGGER,
        handle_signals=False,
        shutdown_timeout=2.0,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None, "setup makes the server"
    running = Running(shell, Door(shell, runner.server), runner)
    shell.start()
    try:
        for address in addresses:
            await running.listen(address)
    except BaseException:
        await running.stop()
        raise
    return running
