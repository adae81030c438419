"""Readiness by proof: a message has just gone the whole way that users' messages go.

A canary connects through the front door (over a socket pair, so that neither port nor TLS is involved), authenticates
with a token that only this process can make, joins a room that only operators may enter, sends, and waits for both the
ack and the push. It fails when any part between socket and store does.

Refuses to do: run more often than once in `fresh_seconds`, however often it is asked; wait longer than
`timeout_seconds`. Invariant: at most one canary flies at a time; all who ask meanwhile get its result.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from palaver.chat.identity import Identity
from palaver.chat.records import User
from palaver.chat.rights import Rights
from palaver.server.app import Running
from palaver.server.verification import Verdict, Verify

ROOM = "~canary"
USER = User("~canary", "~canary")

journal = structlog.get_logger("palaver.canary")


class Flight(NamedTuple):
    """What became of one canary. `problem` is None when all went well."""

    at: float  # monotonic seconds
    seconds: float
    problem: str | None


class _Frame(msgspec.Struct):
    type: str
    re: str | None = None
    mid: str | None = None
    code: str | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class CanaryLostError(Exception):
    """The server answered the canary with an error."""


class Canary:
    """Flies on demand and remembers its last flight."""

    def __init__(self, *, clock: Callable[[], float], fresh_seconds: float = 1.0, timeout_seconds: float = 2.0) -> None:
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._timeout_seconds = timeout_seconds
        self._token = f"canary.{secrets.token_urlsafe(32)}"
        self._running: Running | None = None
        self._flying: asyncio.Task[Flight] | None = None
        self.last: Flight | None = None
        self.last_success: float | None = None  # monotonic seconds
        self.flights = 0
        self.failures = 0

    def also(self, verify: Verify) -> Verify:
        """`verify`, but for the token that this canary carries."""
        rights = Rights(join=(ROOM,), send=(ROOM,), operator=True)
        identity = Identity(USER, rights, None, None)

        def either(token: str) -> Verdict | Awaitable[Verdict]:
            ours = secrets.compare_digest(token.encode(errors="replace"), self._token.encode())
            return identity if ours else verify(token)

        return either

    def watch(self, running: Running) -> None:
        """Fly in this server from now on."""
        self._running = running

    async def fly(self) -> Flight:
        """The result of a flight that is at most `fresh_seconds` old. Cancelling leaves it flying for others."""
        if self.last is not None and self._clock() - self.last.at < self._fresh_seconds:
            return self.last
        if self._flying is None:
            self._flying = asyncio.get_running_loop().create_task(self._fly())
            self._flying.add_done_callback(self._landed)
        return await asyncio.shield(self._flying)

    async def close(self) -> None:
        """End a flight that is under way. Idempotent."""
        if self._flying is not None:
            self._flying.cancel()
            await asyncio.wait([self._flying])

    def _landed(self, _task: asyncio.Task[Flight]) -> None:
        self._flying = None

    async def _fly(self) -> Flight:
        began, problem = self._clock(), None
        self.flights += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._round_trip()
        except TimeoutError:
            problem = f"no answer within {self._timeout_seconds:g} s"
        except (OSError, WebSocketException, CanaryLostError, msgspec.MsgspecError) as error:
            problem = f"{type(error).__name__}: {error}"
        ended = self._clock()
        if problem is None:
            self.last_success = ended
        else:
            self.failures += 1
            journal.warning("canary_lost", problem=problem)
        self.last = Flight(ended, ended - began, problem)
        return self.last

    async def _round_trip(self) -> None:
        if self._running is None:
            raise CanaryLostError("the server does not listen yet")
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            await self._running.accept(theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        path = self._running.shell.bounds.path
        async with connect(
            f"ws://canary{path}", sock=ours, compression=None, proxy=None, ping_interval=None, close_timeout=0.5
        ) as client:
            await self._ask(client, type="auth", id="1", token=self._token)
            await self._ask(client, type="join", id="2", room=ROOM)
            await self._send(client)

    async def _ask(self, client: ClientConnection, **request: str) -> None:
        await client.send(msgspec.json.encode(request).decode())
        answered = False
        while not answered:
            answered = (await _next(client)).re == request["id"]

    async def _send(self, client: ClientConnection) -> None:
        """Wait for the ack and the push, which may come in either order."""
        await client.send(msgspec.json.encode({"type": "send", "id": "3", "room": ROOM, "text": "canary"}).decode())
        acked, pushed = None, set()
        while acked is None or acked not in pushed:
            frame = await _next(client)
            if frame.re == "3":
                acked = frame.mid
            elif frame.type == "message":
                pushed.add(frame.mid)


async def _next(client: ClientConnection) -> _Frame:
    frame = _decode(await client.recv())
    if frame.type == "error":
        raise CanaryLostError(frame.code)
    return frame
