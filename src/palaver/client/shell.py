"""Does what the core decides: one WebSocket after the other, one clock, the program's futures. Decides nothing.

Tasks: `run` (the clock) owns a TaskGroup with at most one live link (reader and writer) and one token renewal; all of
them end with it. Every queue is bounded. A cancelled `run` aborts the transport and settles what was waiting.

Refuses to do: knowing what a frame means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, WebSocketException

from palaver.client.connection import Connection
from palaver.client.effects import Answer, Deliver, Dial, Hang, Moved, Renew, Resolve, Write
from palaver.client.errors import ClientError
from palaver.client.events import Link
from palaver.client.outbox import Outcome
from palaver.client.wire import HistoryAck

T = TypeVar("T")
TokenSource = Callable[[], Awaitable[str]]

_FRAME_BYTES = 16 * 1024 * 1024  # a join's reply carries a hundred messages
_UNWRITTEN = 4_096  # frames waiting for the socket; more means that the peer reads nothing
_GOODBYE_SECONDS = 1.0  # for the closing handshake when the program ends


class Shell:
    """Runs one core. `perform` is to be called after every input to the core."""

    def __init__(
        self, core: Connection, url: str, source: TokenSource | None, on_state: Callable[[Link], None] | None
    ) -> None:
        self.core = core
        self.sends: dict[str, asyncio.Future[Outcome]] = {}
        self.answers: dict[str, asyncio.Future[HistoryAck | ClientError]] = {}
        self.wakes: dict[str, asyncio.Event] = {}
        self.moved = asyncio.Event()
        self._url, self._source, self._on_state = url, source, on_state
        self._poke = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup | None = None
        self._link: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._unwritten: asyncio.Queue[bytes] = asyncio.Queue(_UNWRITTEN)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    async def run(self) -> None:
        """Be the clock until the core has ended; then, or when cancelled, end everything that was started."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self.core.start(self.now())
                self.perform()
                while self.core.state is not Link.ENDED:
                    await self._sleep()
                    self.core.tick(self.now())
                    self.perform(poke=False)
                if self._renewal is not None:
                    self._renewal.cancel()
        finally:
            self._group = None
            self.core.close(self.now())
            self.perform()

    def perform(self, *, poke: bool = True) -> None:
        """Do everything the core asks for. `poke` lets the clock look at the deadline anew."""
        for effect in self.core.effects():
            if isinstance(effect, Deliver):
                if (wake := self.wakes.get(effect.room)) is not None:
                    wake.set()
                continue
            poke = True
            self._do(effect)
        if poke:
            self._poke.set()

    def _do(self, effect: Write | Resolve | Answer | Dial | Hang | Renew | Moved) -> None:
        match effect:
            case Write(data):
                self._write(data)
            case Resolve(cid, outcome):
                _finish(self.sends.get(cid), outcome)
            case Answer(question, result):
                _finish(self.answers.get(question), result)
            case Dial(link):
                self._unwritten = asyncio.Queue(_UNWRITTEN)
                self._link = self._start(self._serve(link, self._unwritten))
            case Hang():
                self._hang()
            case Renew():
                self._renew()
            case Moved(state):
                self.moved.set()
                if self._on_state is not None:
                    self._on_state(state)

    async def _sleep(self) -> None:
        """Wait for the core's deadline or until it may have changed."""
        self._poke.clear()
        try:
            async with asyncio.timeout_at(self.core.deadline(self.now())):
                await self._poke.wait()
        except TimeoutError:
            pass  # the deadline: exactly what was waited for

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None, "nothing is started before run() or after it"
        return self._group.create_task(work)

    def _write(self, data: bytes) -> None:
        try:
            self._unwritten.put_nowait(data)
        except asyncio.QueueFull:
            assert self._socket is not None, "nothing is written before the connection is open"
            self._socket.transport.abort()  # the reader reports the loss, and the core starts anew

    def _hang(self) -> None:
        if self._link is not None:
            self._link.cancel()
            self._link = None

    async def _serve(self, link: int, unwritten: asyncio.Queue[bytes]) -> None:
        """One network connection, from dialling to its end, and the one report of that end."""
        code, reason = None, ""
        try:
            socket = await dial(
                self._url, compression=None, ping_interval=None, max_size=_FRAME_BYTES, open_timeout=None
            )
            self._socket = socket
            try:
                self.core.opened(link, self.now())
                self.perform()
                await self._converse(link, socket, unwritten)
            finally:
                await self._part(socket)
            code, reason = socket.close_code, socket.close_reason or ""
        except (OSError, WebSocketException, EOFError) as error:
            reason = str(error) or type(error).__name__
        self.core.lost(link, code, reason, self.now())
        self.perform()

    async def _converse(self, link: int, socket: ClientConnection, unwritten: asyncio.Queue[bytes]) -> None:
        writer = asyncio.create_task(self._pump(socket, unwritten))
        try:
            async for data in socket:
                self.core.received(link, data, self.now())
                self.perform(poke=False)
        except ConnectionClosed:
            pass  # how it was closed is read from the socket
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _pump(self, socket: ClientConnection, unwritten: asyncio.Queue[bytes]) -> None:
        try:
            while True:
                await socket.send(await unwritten.get(), text=True)
        except ConnectionClosed:
            pass  # the reader sees it too, and reports it

    async def _part(self, socket: ClientConnection) -> None:
        """Leave no transport behind. Says goodbye where the program ended the chat; else there is nobody to hear."""
        try:
            if self.core.state is Link.ENDED and self.core.error is None:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await socket.close()
        except TimeoutError:
            pass  # the peer did not answer the goodbye
        finally:
            socket.transport.abort()

    def _renew(self) -> None:
        if self._renewal is None and self._source is not None:
            self._renewal = self._start(self._fetch(self._source))

    async def _fetch(self, source: TokenSource) -> None:
        try:
            token = await source()
        except Exception as error:  # noqa: BLE001 - the program's own callback: whatever it raises, there is no token
            self._renewal = None
            self.core.renewal_failed(repr(error), self.now())
        else:
            self._renewal = None
            self.core.renewed(token, self.now())
        self.perform()


def _finish(future: asyncio.Future[T] | None, result: T) -> None:
    if future is not None and not future.done():
        future.set_result(result)
