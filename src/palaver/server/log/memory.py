"""A log that forgets everything when the process ends. For trying out, for tests, and where nothing may be kept.

Invariants: the same as every log's (see `port`); its memory is bounded by what retention keeps and 24 hours of sends.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from palaver.chat.effects import (
    Append,
    Failed,
    Fates,
    Found,
    Load,
    Loaded,
    LogJob,
    LogResult,
    Page,
    Paged,
    Redact,
    Redacted,
    Save,
    Saved,
    Stored,
)
from palaver.chat.records import Durability, Message, Sanction
from palaver.server.log.errors import LogClosedError
from palaver.server.log.port import OVERLOADED, OnResults
from palaver.server.log.retention import SENDS_KEPT_MS, Retention
from palaver.server.log.statistics import LogStatistics


class _Place(NamedTuple):
    """Where a send was stored."""

    seq: int
    mid: str
    time: int


class _Room:
    """The kept messages of a room, ascending, and its last `seq`."""

    __slots__ = ("last", "messages")

    def __init__(self) -> None:
        self.last = 0
        self.messages: deque[Message] = deque()


class MemoryLog:
    """Keeps messages in this process only.

    `now_ms` gives milliseconds since the Unix epoch; retention by age and the 24 hours of sends are counted with it.
    `queue_jobs` is how many jobs may wait.
    """

    durability: Durability = "memory"

    def __init__(self, retention: Retention, *, now_ms: Callable[[], int], queue_jobs: int = 20_000) -> None:
        self.epoch = f"e{secrets.token_hex(6)}"
        self.secret = secrets.token_bytes(32)
        self.statistics = LogStatistics()
        self._retention = retention
        self._now_ms = now_ms
        self._queue_jobs = queue_jobs
        self._rooms: dict[str, _Room] = {}
        self._sends: dict[tuple[str, str, str], _Place] = {}  # oldest first
        self._queue: list[tuple[LogJob, bool]] = []  # a job and whether it was accepted
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_results: OnResults | None = None

    @property
    def full(self) -> bool:
        """Whether one more job would be refused."""
        return self.statistics.queued_jobs >= self._queue_jobs

    def sanctions(self) -> Sequence[Sanction]:
        """None: nothing outlives the process."""
        return ()

    def start(self, on_results: OnResults) -> None:
        """See Log.start."""
        assert self._on_results is None, "a log is started once"
        self._loop, self._on_results = asyncio.get_running_loop(), on_results

    def submit(self, jobs: Sequence[LogJob]) -> None:
        """See Log.submit."""
        if self._loop is None:
            raise LogClosedError
        if jobs and not self._queue:
            self._loop.call_soon(self._flush)
        for job in jobs:
            accepted = not self.full
            self.statistics.queued_jobs += accepted
            self._queue.append((job, accepted))

    async def close(self) -> None:
        """See Log.close."""
        self._loop = None
        self._flush()

    def _flush(self) -> None:
        if not self._queue:
            return
        queue, self._queue = self._queue, []
        began, statistics = perf_counter(), self.statistics
        results = [self._perform(job) if accepted else Failed(job, OVERLOADED) for job, accepted in queue]
        accepted_jobs = sum(accepted for _, accepted in queue)
        statistics.queued_jobs -= accepted_jobs
        statistics.refused += len(queue) - accepted_jobs
        statistics.failed += len(queue) - accepted_jobs
        statistics.commit_seconds.observe(perf_counter() - began)
        statistics.batch_jobs.observe(len(queue))
        assert self._on_results is not None, "only a started log takes jobs"
        self._on_results(results)

    def _perform(self, job: LogJob) -> LogResult:
        match job:
            case Append():
                return self._append(job)
            case Load():
                room = self._rooms.get(job.room)
                return Loaded(job, self._kept(job.room), room.last if room else 0)
            case Page():
                return self._page(job)
            case Fates():
                places = {cid: self._sends.get((job.room, job.user, cid)) for cid in job.cids}
                return Found(job, {cid: place.seq if place else None for cid, place in places.items()})
            case Redact():
                return self._redact(job)
            case Save():
                return Saved(job)

    def _append(self, job: Append) -> Stored:
        key = None if job.cid is None else (job.room, job.user.id, job.cid)
        if key is not None and (first := self._sends.get(key)) is not None:
            self.statistics.duplicates += 1
            return Stored(job, first.seq, first.mid, first.time, duplicate=True)
        room = self._rooms.get(job.room)
        if room is None:
            room = self._rooms[job.room] = _Room()
        room.last += 1
        room.messages.append(Message(job.room, room.last, self.epoch, job.mid, job.time, job.user, job.text, job.cid))
        if len(room.messages) > self._retention.history:
            room.messages.popleft()
            self.statistics.removed += 1
        if key is not None:
            self._forget_sends()
            self._sends[key] = _Place(room.last, job.mid, job.time)
        self.statistics.stored += 1
        return Stored(job, room.last, job.mid, job.time, duplicate=False)

    def _forget_sends(self) -> None:
        """Two at most for each that is added, so that no send pays for many."""
        before = self._now_ms() - SENDS_KEPT_MS
        for _ in range(2):
            oldest = next(iter(self._sends), None)
            if oldest is None or self._sends[oldest].time >= before:
                return
            del self._sends[oldest]

    def _kept(self, name: str) -> list[Message]:
        """The kept messages of a room, ascending; what is too old is removed for good."""
        room = self._rooms.get(name)
        if room is None:
            return []
        oldest_time = self._retention.oldest_time(self._now_ms())
        if oldest_time is not None:
            too_old = max((m.seq for m in room.messages if m.time < oldest_time), default=0)
            while room.messages and room.messages[0].seq <= too_old:
                room.messages.popleft()
                self.statistics.removed += 1
        return list(room.messages)

    def _page(self, job: Page) -> Paged:
        low = -1 if job.after is None else job.after
        within = [m for m in self._kept(job.room) if m.seq > low and (job.before is None or m.seq < job.before)]
        first = 0 if job.after is not None else max(len(within) - job.limit, 0)
        return Paged(job, within[first : first + job.limit], complete=len(within) <= job.limit)

    def _redact(self, job: Redact) -> Redacted:
        for place, message in enumerate(self._kept(job.room)):
            if message.seq == job.seq:
                tombstone = Message(
                    job.room,
                    job.seq,
                    self.epoch,
                    message.mid,
                    message.time,
                    message.user,
                    "",
                    message.cid,
                    deleted=True,
                )
                self._rooms[job.room].messages[place] = tombstone
                return Redacted(job, tombstone)
        return Redacted(job, None)
