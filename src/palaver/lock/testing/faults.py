"""Faults for tests: a proxy that loses replies or falls silent, and cancellation at any await.

Both are deterministic. Stopping and killing processes needs nothing from here: `os.kill`.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Generator
from typing import Self, TypeVar

T = TypeVar("T")

_CHUNK_BYTES = 65536


class Proxy:
    """Forwards one loopback port to a server, and can lose the reply to a request.

    It does not read the protocol: a request is the bytes that one read brings, which is one command for every
    client that waits for its replies. A context manager; leaving it ends all its connections.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0
        self._lose: tuple[bytes, int] = (b"", 0)
        self._silent = threading.Event()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, name="proxy-accept", daemon=True)
        self._accepting.start()

    def lose_reply_to(self, text: str, *, times: int = 1) -> None:
        """The next `times` requests that contain `text` are executed; then the connection ends without the reply."""
        with self._guard:
            self._lose = (text.encode(), times)

    def fall_silent(self) -> None:
        """Forward nothing any more, in either direction, and keep every connection open: a half-open network."""
        self._silent.set()

    def speak(self) -> None:
        """End the silence. What was held back meanwhile is lost with its connection."""
        self._silent.clear()

    def close(self) -> None:
        """End every connection and listen no more."""
        _shut(self._listener)  # or accept would go on waiting
        self._accepting.join()
        self._listener.close()
        with self._guard:
            for end in self._open:
                _shut(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), name="proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:  # the server is down: to the client that is a connection that ends
            client.close()
            return
        with client, server:
            with self._guard:
                self._open |= {client, server}
            losing = threading.Event()
            back = threading.Thread(target=self._back, args=(server, client, losing), daemon=True)
            back.start()
            try:
                while data := client.recv(_CHUNK_BYTES):
                    if self._silent.is_set():
                        continue
                    if self._is_to_lose(data):
                        losing.set()
                    server.sendall(data)
            except OSError:
                pass  # one side is gone; the other is ended below
            _shut(server)
            back.join()
            with self._guard:
                self._open -= {client, server}

    def _back(self, server: socket.socket, client: socket.socket, losing: threading.Event) -> None:
        try:
            while data := server.recv(_CHUNK_BYTES):
                if losing.is_set():
                    with self._guard:
                        self.lost += 1
                    break
                if not self._silent.is_set():
                    client.sendall(data)
        except OSError:
            pass  # as above
        _shut(client)

    def _is_to_lose(self, data: bytes) -> bool:
        with self._guard:
            text, times = self._lose
            if times == 0 or text not in data:
                return False
            self._lose = (text, times - 1)
            return True


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was ended before


class _Counted(Awaitable[T]):
    """Awaits something, and cancels the current task the `at`-th time it is suspended."""

    def __init__(self, what: Awaitable[T], at: int) -> None:
        self._what = what
        self._at = at
        self.reached = False

    def __await__(self) -> Generator[object, None, T]:
        inner = self._what.__await__()
        count = 0
        sent: object = None
        task = asyncio.current_task()
        assert task is not None, "cancel_at awaits inside a task"
        error: BaseException | None = None
        while True:
            try:
                waiting = inner.throw(error) if error is not None else inner.send(sent)
            except StopIteration as stop:
                result: T = stop.value
                return result
            error = None
            count += 1
            if count == self._at:
                self.reached = True
                task.cancel()
            try:
                sent = yield waiting
            except BaseException as thrown:  # noqa: BLE001 - handed on to what is awaited, as `await` does
                error = thrown


async def cancel_at(what: Awaitable[object], at: int) -> bool:
    """Await `what`, and cancel it when it is suspended for the `at`-th time (from 1). False if it never was.

    Run in a task of its own. For every await of a coroutine: call it with 1, 2, ... until it returns False.
    """
    counted = _Counted(what, at)
    try:
        await counted
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not counted.reached or task is None:
            raise
        task.uncancel()
    return counted.reached
