"""Verifies tokens: at once where that is possible, in a task where keys have to be fetched first.

Refuses to do: know what a verdict means. Invariants: every token gets one verdict, unless its connection is forgotten
first, and with it its tasks; no more than `limit` tasks run at a time, and what comes then is refused as `unavailable`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import structlog

from palaver.chat.effects import Connection
from palaver.chat.identity import Identity, Refusal
from palaver.server.stats import Stats

Verdict = Identity | Refusal
Verify = Callable[[str], Verdict | Awaitable[Verdict]]
Tell = Callable[[Connection, str, Verdict], None]

_TOO_MANY = Refusal("unavailable", "Too many are signing in. Try again soon.")
_FAILED = Refusal("unavailable", "Tokens cannot be verified now. Try again soon.")

journal = structlog.get_logger("palaver.server")


class Verification:
    """The verifications under way, by connection. Runs on one event loop."""

    def __init__(self, verify: Verify, tell: Tell, *, limit: int, stats: Stats, clock: Callable[[], float]) -> None:
        """`verify` must not block; `tell` hears each verdict; `clock` gives monotonic seconds."""
        self._verify = verify
        self._tell = tell
        self._limit = limit
        self._stats = stats
        self._clock = clock
        self._tasks: dict[Connection, set[asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        """How many connections wait for a verdict."""
        return len(self._tasks)

    def begin(self, connection: Connection, re: str, token: str) -> None:
        """Verify the token of the request `re`; `tell` hears of it, maybe before this returns."""
        if self._stats.authentications >= self._limit:
            self._tell(connection, re, _TOO_MANY)
            return
        began = self._clock()
        try:
            verdict = self._verify(token)
        except Exception as error:  # noqa: BLE001 - whatever the verifier stumbled over, its user gets an answer
            self._failed(connection, re, error)
            return
        if not inspect.isawaitable(verdict):
            self._verified(connection, re, verdict, began)
            return
        task = asyncio.get_running_loop().create_task(self._wait(connection, re, verdict, began))
        self._tasks.setdefault(connection, set()).add(task)
        self._stats.authentications += 1
        task.add_done_callback(lambda done: self._done(connection, done, verdict))

    def forget(self, connection: Connection) -> None:
        """Give up what was begun for a connection; `tell` will not hear of it."""
        for task in self._tasks.get(connection, ()):
            task.cancel()

    async def close(self) -> None:
        """Give up everything and wait until it has ended."""
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, connection: Connection, re: str, verdict: Awaitable[Verdict], began: float) -> None:
        try:
            known = await verdict
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(connection, re, error)
        else:
            self._verified(connection, re, known, began)

    def _verified(self, connection: Connection, re: str, verdict: Verdict, began: float) -> None:
        self._stats.verify_seconds.observe(self._clock() - began)
        self._tell(connection, re, verdict)

    def _failed(self, connection: Connection, re: str, error: Exception) -> None:
        journal.error("verify_failed", connection=repr(connection), exc_info=error)
        self._tell(connection, re, _FAILED)

    def _done(self, connection: Connection, task: asyncio.Task[None], verdict: Awaitable[Verdict]) -> None:
        self._stats.authentications -= 1
        if inspect.iscoroutine(verdict):
            verdict.close()  # for a task that was cancelled before its first step and never awaited it
        tasks = self._tasks.get(connection)
        if tasks is not None:
            tasks.discard(task)
            if not tasks:
                del self._tasks[connection]
