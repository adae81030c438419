"""Bounds in time for what a task awaits: `asyncio.timeout` for requests, which nearly all end long before.

`asyncio.timeout` sets a timer for each use and cancels it; a lock asks so often and so briefly that this took it a
tenth of its time. Here one timer serves a loop: it is set for the earliest limit, and when it goes off it looks which
limits still run. Ten thousand requests a second with limits of 5 s look a few times a minute.

It refuses to be exact: a limit may be noticed up to `LATE_SECONDS` late. Never early.

Invariants: a limit that has been left cancels nothing; what the task's own cancellation looks like is as with
`asyncio.timeout`; no timer is set while no limit runs, save the last one; nothing here keeps a loop or a task alive.
"""

import asyncio
import math
import weakref
from types import TracebackType

LATE_SECONDS = 0.005
"""The pause between two looks, so that many limits that end one after the other do not cost a look each."""


class _Watch:
    """The limits that run in one loop, and when it looks at them next. It refers to no loop and no task."""

    __slots__ = ("looks_at", "running")

    def __init__(self) -> None:
        self.running: set[Limit] = set()
        self.looks_at = math.inf

    def look_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Look again at `when`, and not at the time set before."""
        self.looks_at = when
        loop.call_at(when, self._look, loop, when)

    def _look(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if when != self.looks_at:
            return  # an earlier look was set since, and that set the ones after it
        # A timer may go off a little early by the loop's clock; it is the time it was set for that counts.
        now = max(when, loop.time())
        self.looks_at = earliest = math.inf
        for limit in list(self.running):
            if limit.until <= now:
                limit.end()
            elif limit.until < earliest:
                earliest = limit.until
        if earliest < math.inf:
            self.look_at(loop, max(earliest, now + LATE_SECONDS))


class Limit:
    """`with Limit(seconds):` around awaits: cancels them when the time is over, and makes that a `TimeoutError`."""

    __slots__ = ("_cancelling", "_ended", "_seconds", "_task", "_watch", "until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a limit outside a task"
        self._task, self._cancelling = weakref.ref(task), task.cancelling()
        watch = _BY_LOOP.get(loop)
        if watch is None:
            watch = _BY_LOOP[loop] = _Watch()
        self._watch = watch
        self.until = until = loop.time() + self._seconds
        watch.running.add(self)
        if until < watch.looks_at:
            watch.look_at(loop, until)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.running.discard(self)
        # If somebody else cancelled the task too, it is theirs: the cancellation goes on.
        if self._ended and (task := self._task()) is not None:
            only_ours = task.uncancel() <= self._cancelling
            if only_ours and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def end(self) -> None:
        """The time is over. Once: the watch forgets it."""
        self._watch.running.discard(self)
        task = self._task()
        if task is not None:
            self._ended = task.cancel()


# What belongs to a loop lives as long as it does; there is no other place to keep that.
_BY_LOOP: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()
