"""The front door: reads the first request head of a connection and decides who serves it.

A WebSocket upgrade on our path gets its handshake here (by palaver.server.handshake, or by `ServerProtocol` of the
`websockets` library where the request is not of the common form) and becomes a Connection. Everything else is
handed to aiohttp on the same transport, with the bytes read so far; an upgrade that comes later on such a connection
(proxies reuse theirs) is taken back.

Refuses to do: HTTP, beyond telling that something was wrong with the very first request. Invariants: until the head is
whole a connection costs at most `head_bytes` and one place of `unfinished_handshakes`, and lasts at most
`head_seconds`; when there is no place the oldest unfinished connection makes room, so slow ones cannot lock others out.
A web page of another origin gets 403 before the upgrade; compression is never agreed to.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import cast

from aiohttp import web
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from palaver.server import handshake
from palaver.server.connection import Connection
from palaver.server.handover import Loan
from palaver.server.origins import client_address, is_local_host, origin_allowed
from palaver.server.shell import Shell

SUBPROTOCOL = Subprotocol("palaver.v1")

_LOGGER = logging.getLogger("palaver.websocket")
_END = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)


class Door:
    """Makes a Doorstep for each connection that a listening socket accepts: it is an asyncio protocol factory."""

    def __init__(self, shell: Shell, http: Callable[[], asyncio.Protocol]) -> None:
        """`http` makes a handler for one HTTP connection: the `server` of an aiohttp AppRunner."""
        self.shell = shell
        self.http = http
        self.path = shell.bounds.path.encode()
        self._unfinished: dict[Doorstep, float] = {}  # oldest first, with its deadline
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> "Doorstep":
        """A protocol for one new connection."""
        return Doorstep(self)

    def __len__(self) -> int:
        """How many connections have not sent a whole head yet."""
        return len(self._unfinished)

    def enter(self, step: "Doorstep") -> None:
        """A connection begins."""
        bounds = self.shell.bounds
        if len(self._unfinished) >= bounds.unfinished_handshakes:
            oldest = next(iter(self._unfinished))
            self.refused("crowded")
            oldest.abort()
        self._unfinished[step] = self.shell.clock() + bounds.head_seconds
        if self._timer is None:
            self._timer = self.shell.loop.call_later(bounds.head_seconds, self._expire)

    def leave(self, step: "Doorstep") -> None:
        """A connection's head is whole, or the connection is gone. Idempotent."""
        self._unfinished.pop(step, None)
        if not self._unfinished and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def refused(self, reason: str) -> None:
        """Count a connection that came to nothing."""
        self.shell.stats.refused[reason] += 1

    def close(self) -> None:
        """End every connection whose head is not whole."""
        for step in list(self._unfinished):
            step.abort()

    def _expire(self) -> None:
        self._timer = None
        now = self.shell.clock()
        while self._unfinished:
            step, deadline = next(iter(self._unfinished.items()))
            if deadline > now:
                self._timer = self.shell.loop.call_later(deadline - now, self._expire)
                return
            self.refused("too_slow")
            step.refuse(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.\n")


class Doorstep(asyncio.Protocol):
    """One connection until its first head is whole."""

    __slots__ = ("_began", "_door", "_head", "_transport")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._began = door.shell.clock()
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the head."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass
        self._door.enter(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client is gone."""
        self._door.leave(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Gather the head, then decide."""
        transport, head = self._transport, self._head
        if transport is None or transport.is_closing():
            return
        seen = len(head)
        head += data
        end = head.find(_END, max(0, seen - 3))
        if (end if end >= 0 else len(head)) > self._door.shell.bounds.head_bytes:
            self._door.refused("head_too_large")
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large.\n")
        elif end >= 0:
            self._door.leave(self)
            self._transport, self._head = None, bytearray()
            self._decide(transport, bytes(head), end + len(_END))

    def refuse(self, status: HTTPStatus, text: str) -> None:
        """Answer and close. The answer is small enough for any socket's buffer, so nothing is waited for."""
        self._door.leave(self)
        if self._transport is not None:
            response = ServerProtocol(logger=_LOGGER).reject(status, text)
            self._transport.write(response.serialize())
            self._transport.close()

    def abort(self) -> None:
        """End the connection without an answer."""
        self._door.leave(self)
        if self._transport is not None:
            self._transport.abort()

    def _decide(self, transport: asyncio.Transport, data: bytes, end: int) -> None:
        if self._is_upgrade(data[:end]):
            self._shake_hands(transport, data[:end], data[end:])
            return
        self._door.shell.stats.http_connections += 1
        handler = self._door.http()
        transport.set_protocol(handler)
        handler.connection_made(Loan(transport, self._door))
        handler.data_received(data)

    def _is_upgrade(self, head: bytes) -> bool:
        parts = head.split(b" ", 2)
        if len(parts) < 3 or parts[0] != b"GET" or parts[1].partition(b"?")[0] != self._door.path:
            return False
        return _UPGRADE.search(head) is not None

    def take_over(self, transport: asyncio.Transport, head: bytes) -> None:
        """Decide about an upgrade that came on a connection which had served other requests before."""
        transport.set_protocol(self)
        if not transport.is_reading():
            transport.resume_reading()
        self._shake_hands(transport, head, b"")

    def _shake_hands(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        plain = handshake.read(head)
        if plain is not None and self._may_come(() if plain.origin is None else (plain.origin,), plain.host):
            answer = plain.accepted(SUBPROTOCOL if SUBPROTOCOL in plain.protocols else None)
            self._welcome(transport, self._address(transport, plain.forwarded), answer, rest)
        else:
            self._shake_hands_with_care(transport, head, rest)

    def _shake_hands_with_care(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        """By the library, which knows every form that a request may have and what to say to the others."""
        library = ServerProtocol(
            subprotocols=[SUBPROTOCOL], select_subprotocol=_select_subprotocol, logger=_LOGGER, max_size=None
        )
        library.receive_data(head)
        request = next(iter(library.events_received()), None)
        ip = "unix"
        if isinstance(request, Request):
            ip = self._address(transport, request.headers.get_all("X-Forwarded-For"))
            library.send_response(self._answer(library, request))
        answer = b"".join(library.data_to_send())
        if library.eof_sent:
            self._door.refused("handshake")
            transport.write(answer)
            transport.close()
            return
        self._welcome(transport, ip, answer, rest)

    def _welcome(self, transport: asyncio.Transport, ip: str, answer: bytes, rest: bytes) -> None:
        shell = self._door.shell
        shell.stats.handshake_seconds.observe(shell.clock() - self._began)
        connection = Connection(shell, transport, ip)
        transport.set_protocol(connection)
        connection.begin(answer, rest)

    def _answer(self, library: ServerProtocol, request: Request) -> Response:
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        if self._may_come(origins, hosts[0] if len(hosts) == 1 else None):
            response = library.accept(request)
            if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                response.headers["Sec-WebSocket-Version"] = "13"  # RFC 6455, 4.4: it may be the version
            return response
        text = f"Pages of {origins[0]} may not connect. The server's operator can allow them with --origin.\n"
        return library.reject(HTTPStatus.FORBIDDEN, text)

    def _may_come(self, origins: Sequence[str], host: str | None) -> bool:
        """Whether pages of these origins may connect; what is no page may always."""
        if not origins:
            return True
        bounds = self._door.shell.bounds
        if bounds.local_hosts_only and not is_local_host(host):
            host = None
        return all(origin_allowed(origin, host, bounds.origins) for origin in origins)

    def _address(self, transport: asyncio.Transport, forwarded: Sequence[str]) -> str:
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) and peer else None
        return client_address(address, forwarded, self._door.shell.bounds.trusted_proxies)


def _select_subprotocol(_handshake: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


async def late_upgrade(request: web.Request) -> web.Response:
    """What aiohttp's side does on the WebSocket path: takes an upgrade on a kept-alive connection back to the door.

    A plain request gets 426. What a client sends before it has its answer is not taken (RFC 6455, 4.1, has it wait).
    """
    loan = request.transport
    if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket" and isinstance(loan, Loan):
        transport = loan.take_back()
        request.protocol.connection_lost(None)  # as far as aiohttp can tell; the answer below goes nowhere
        if transport is not None:
            Doorstep(loan.door).take_over(transport, _head(request))
        return web.Response()
    response = web.Response(
        status=426,
        text="This path speaks WebSocket.\n",
        headers={"Upgrade": "websocket", "Connection": "close"},
    )
    response.force_close()
    return response


def _head(request: web.Request) -> bytes:
    """The request's head, as it came."""
    lines = [f"GET {request.raw_path} HTTP/1.1".encode("ascii", "surrogateescape")]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in request.raw_headers), b"", b""])
