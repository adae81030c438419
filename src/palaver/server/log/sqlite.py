"""The default log: an SQLite database in a directory of its own, with one thread that writes and reads it.

The thread takes everything that is queued, performs it as one transaction (group commit: one wait for the disk for all
of them) and hands all results to the loop in one call. While it waits for the disk the next batch gathers, so that the
batches grow with the load; a job that comes alone waits for nothing else.

Invariants: only the writer's thread touches the connection after `start`; only the loop's thread touches the
statistics and the queue's depth; a result is delivered after its commit.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import sleep

from palaver.chat.effects import Failed, LogJob
from palaver.chat.records import Durability, Sanction
from palaver.server.log.errors import LogClosedError
from palaver.server.log.opening import open_store
from palaver.server.log.port import OVERLOADED, OnResults
from palaver.server.log.retention import Retention
from palaver.server.log.statistics import LogStatistics
from palaver.server.log.writer import Outcome, Writer

_IDLE_SECONDS = 1.0  # without jobs for so long, a slice of old rows is removed

# Where the last batch had so many jobs and fewer are there now, the others are on their way: waiting for them makes
# one commit out of several. With one core for everything that is 10 % more messages and a shorter tail.
_CROWD = 10
_CROWD_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class _Refused:
    """Jobs that found the queue full; they only wait for their turn to be told."""

    jobs: Sequence[LogJob]


_Entry = Sequence[LogJob] | _Refused | None  # None ends the thread


class SqliteLog:
    """Keeps messages in `directory`, which it locks against other processes and creates where it is missing.

    Opening blocks for disk IO and raises LogError. `now_ms` gives milliseconds since the Unix epoch and is called in
    the writer's thread. `queue_jobs` is how many jobs may wait; a transaction takes what is queued, and no further
    submission once it has `batch_jobs`.
    """

    durability: Durability = "disk"

    def __init__(
        self,
        directory: Path,
        retention: Retention,
        *,
        now_ms: Callable[[], int],
        queue_jobs: int = 20_000,
        batch_jobs: int = 2_000,
    ) -> None:
        self._store = open_store(directory)
        self.epoch = self._store.epoch
        self.secret = self._store.secret
        self.statistics = LogStatistics()
        self._writer = Writer(self._store, retention, now_ms)
        self._queue: SimpleQueue[_Entry] = SimpleQueue()
        self._queue_jobs, self._batch_jobs = queue_jobs, batch_jobs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_results: OnResults | None = None
        self._thread: threading.Thread | None = None
        self._gathered = 0  # jobs of the last batch; the writer's thread's own
        self._closed: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether one more job would be refused."""
        return self.statistics.queued_jobs >= self._queue_jobs

    def sanctions(self) -> Sequence[Sanction]:
        """See Log.sanctions."""
        return self._store.sanctions

    def start(self, on_results: OnResults) -> None:
        """See Log.start."""
        assert self._thread is None, "a log is started once"
        self._loop, self._on_results = asyncio.get_running_loop(), on_results
        self._thread = threading.Thread(target=self._write, name="palaver-log", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[LogJob]) -> None:
        """See Log.submit."""
        if self._thread is None or self._closed is not None:
            raise LogClosedError
        if not jobs:
            return
        statistics = self.statistics
        room = self._queue_jobs - statistics.queued_jobs
        if len(jobs) <= room:
            statistics.queued_jobs += len(jobs)
            self._queue.put(jobs)
            return
        if room:
            statistics.queued_jobs += room
            self._queue.put(jobs[:room])
        self._queue.put(_Refused(jobs[room:]))

    async def close(self) -> None:
        """See Log.close."""
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            if self._thread is None:
                self._store.close()
                self._closed.set_result(None)
            self._queue.put(None)
        await asyncio.shield(self._closed)
        if self._thread is not None:
            self._thread.join()

    # ---- the writer's thread -------------------------------------------------------------------------------------

    def _write(self) -> None:
        entry: _Entry = ()
        told = 0, 0
        while entry is not None:
            jobs, entry = self._gather()
            if jobs:
                self._hand_over(self._writer.perform(jobs), len(jobs))
            self._writer.tend(idle=not jobs and entry == ())  # who is refused shows that it is anything but idle
            tended = self._writer.removed, self._writer.tending_failed
            if tended != told:
                told = tended
                self._on_loop(self._count_tended, *told)
            if isinstance(entry, _Refused):
                refused = Outcome([Failed(job, OVERLOADED) for job in entry.jobs], failed=len(entry.jobs))
                self._hand_over(refused, 0)
        self._writer.close()
        self._on_loop(self._finish)

    def _gather(self) -> tuple[list[LogJob], _Entry]:
        """Wait a while for jobs; all that are queued then, and the entry that ended them (none: an empty one)."""
        jobs: list[LogJob] = []
        try:
            end = self._drain(self._queue.get(timeout=_IDLE_SECONDS), jobs)
        except Empty:
            return jobs, ()
        if end == () and len(jobs) < self._gathered >= _CROWD:
            sleep(_CROWD_SECONDS)
            if not self._queue.empty():
                end = self._drain(self._queue.get(), jobs)
        self._gathered = len(jobs)
        return jobs, end

    def _drain(self, entry: _Entry, jobs: list[LogJob]) -> _Entry:
        """Add `entry` and all that is queued after it to `jobs`, up to an entry that ends them or to enough of them."""
        while entry is not None and not isinstance(entry, _Refused):
            jobs.extend(entry)
            if len(jobs) >= self._batch_jobs or self._queue.empty():
                return ()
            entry = self._queue.get()
        return entry

    def _hand_over(self, outcome: Outcome, answered: int) -> None:
        self._on_loop(self._deliver, outcome, answered)

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "start sets it"
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass  # the loop was closed without close(): what was committed stays, nobody is left to be told

    # ---- on the loop ---------------------------------------------------------------------------------------------

    def _deliver(self, outcome: Outcome, answered: int) -> None:
        statistics = self.statistics
        statistics.queued_jobs -= answered
        statistics.refused += len(outcome.results) - answered
        statistics.failed += outcome.failed
        statistics.stored += outcome.stored
        statistics.duplicates += outcome.duplicates
        if answered:
            statistics.commit_seconds.observe(outcome.seconds)
            statistics.batch_jobs.observe(answered)
            statistics.reopened = outcome.reopened
            statistics.wal_bytes = outcome.wal_bytes
        assert self._on_results is not None, "start sets it"
        self._on_results(outcome.results)

    def _count_tended(self, removed: int, failed: int) -> None:
        self.statistics.removed, self.statistics.tending_failed = removed, failed

    def _finish(self) -> None:
        assert self._closed is not None, "only close ends the thread"
        self._closed.set_result(None)
