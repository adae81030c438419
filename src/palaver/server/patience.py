"""A log whose answers may fail to come: a disk that hangs keeps nobody waiting for what can be asked again.

While an answer is overdue, what the log was asked to read is given up, and whatever it is asked meanwhile is refused
without being tried. A write that it has been given is not given up: it may be stored yet, and its answer comes then.

Refuses to do: IO. Invariants: each job is answered exactly once; those that the log answers, in its order.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import filterfalse
from typing import NamedTuple

from palaver.chat.effects import Failed, Fates, Load, LogJob, LogResult, Page
from palaver.server.ports import JobTaker

HANGS = "the log has not answered for too long"
"""The reason of every `Failed` that is told here."""

_READS = (Load, Page, Fates)
OnResults = Callable[[Sequence[LogResult]], None]


class _Asked(NamedTuple):
    """Jobs that were handed over together."""

    at: float  # monotonic seconds
    jobs: Sequence[LogJob]


class PatientLog:
    """Stands before a log and watches the time. For the thread of the event loop."""

    def __init__(self, log: JobTaker, *, clock: Callable[[], float], seconds: float) -> None:
        """An answer is overdue after so many `seconds`."""
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._deliver: OnResults | None = None
        self._asked: deque[_Asked] = deque()
        self._answered = 0  # of the oldest ones
        self._given_up: set[int] = set()  # identities of jobs that the log still has
        self._hangs = False

    def start(self, on_results: OnResults) -> None:
        """Begin to take the log's answers."""
        self._deliver = on_results
        self._log.start(self._take)

    def submit(self, jobs: Sequence[LogJob]) -> None:
        """Hand jobs to the log, or refuse them while it hangs. Never calls back itself."""
        if self._hangs:
            self._loop.call_soon(self._fail, jobs)
            return
        self._asked.append(_Asked(self._clock(), jobs))
        self._log.submit(jobs)

    def check(self, now: float) -> None:
        """Give up what is overdue. To be called about once a second."""
        if self._hangs or not self._asked or now - self._asked[0].at <= self._seconds:
            return
        self._hangs = True
        waiting = [job for asked in self._asked for job in asked.jobs][self._answered :]
        reads = [job for job in waiting if isinstance(job, _READS) and id(job) not in self._given_up]
        self._given_up.update(map(id, reads))
        if reads:
            self._fail(reads)

    async def close(self) -> None:
        """Close the log."""
        await self._log.close()

    def _take(self, results: Sequence[LogResult]) -> None:
        self._hangs = False
        self._answered += len(results)
        while self._asked and self._answered >= len(self._asked[0].jobs):
            self._answered -= len(self._asked.popleft().jobs)
        if self._given_up:
            known = {id(result.job) for result in results} & self._given_up
            results = list(filterfalse(lambda result: id(result.job) in known, results))
            self._given_up -= known
        self._tell(results)

    def _fail(self, jobs: Sequence[LogJob]) -> None:
        self._tell([Failed(job, HANGS) for job in jobs])

    def _tell(self, results: Sequence[LogResult]) -> None:
        assert self._deliver is not None, "only a started log is asked"
        if results:
            self._deliver(results)
