"""How the tests speak to a log: one that is driven on the running loop, and short names for the jobs."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from palaver.chat.effects import Append, Fates, Load, LogJob, LogResult, Page, Redact, Save, Stored
from palaver.chat.records import Sanction, User
from palaver.server.log import Log, MemoryLog, Retention, SqliteLog
from palaver.server.log.opening import DATABASE
from palaver.server.log.writer import Writer

ADA, BOB = User("u-ada", "ada"), User("u-bob", "bob")
HOUR_MS = 3_600_000
START_MS = 1_790_000_000_000

Result = TypeVar("Result", bound=LogResult)


class Clock:
    """Milliseconds since the Unix epoch that move only when told to."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


class Monotonic:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Driven:
    """A started log whose results can be waited for. `batches` is every delivery, as it came."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.batches: list[Sequence[LogResult]] = []
        self._arrived = asyncio.Event()
        log.start(self._deliver)

    def _deliver(self, results: Sequence[LogResult]) -> None:
        self.batches.append(results)
        self._arrived.set()

    @property
    def results(self) -> list[LogResult]:
        """Everything delivered so far."""
        return [result for batch in self.batches for result in batch]

    async def until(self, count: int) -> list[LogResult]:
        """Wait until so many results were delivered in all; returns all of them."""
        async with asyncio.timeout(30):
            while len(self.results) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.results

    async def do(self, *jobs: LogJob) -> list[LogResult]:
        """Submit jobs and wait for their results."""
        before = len(self.results)
        self.log.submit(jobs)
        return (await self.until(before + len(jobs)))[before:]

    async def ask(self, job: LogJob, kind: type[Result]) -> Result:
        """Submit one job; its result must be of that kind."""
        (result,) = await self.do(job)
        assert isinstance(result, kind), result
        return result


def append(
    text: str = "hello",
    *,
    room: str = "lobby",
    user: User = ADA,
    cid: str | None = None,
    at: int = START_MS,
    mid: str = "m-1",
) -> Append:
    return Append("c", "1", room, user, text, cid, mid, at)


def load(room: str = "lobby") -> Load:
    return Load(room)


def page(*, room: str = "lobby", before: int | None = None, after: int | None = None, limit: int = 100) -> Page:
    return Page("c", "2", room, before, after, limit)


def fates(*cids: str, room: str = "lobby", user: str = ADA.id) -> Fates:
    return Fates("c", "3", room, user, cids)


def redact(seq: int, *, room: str = "lobby") -> Redact:
    return Redact("c", "4", room, seq)


def save(sanction: Sanction) -> Save:
    return Save("c", "5", sanction)


def seqs(results: list[LogResult]) -> list[int]:
    return [result.seq for result in results if isinstance(result, Stored)]


def fill(writer: Writer, count: int, **what: str) -> list[int]:
    return seqs(writer.perform([append(cid=f"c-{number}", **what) for number in range(count)]).results)  # type: ignore[arg-type]  # names of append


def rows(tmp_path: Path, table: str) -> int:
    """How many a table of the store in this directory has."""
    connection = sqlite3.connect(tmp_path / DATABASE)
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return count


def fold_early(monkeypatch: pytest.MonkeyPatch, *, full: int, stored: int, step: int) -> None:
    """Small generations of the journal, folded in small slices as soon as there are any, so that a test sees many."""
    monkeypatch.setattr("palaver.server.log.journal.FULL_MESSAGES", full)
    monkeypatch.setattr("palaver.server.log.writer._FOLD_STORED", stored)
    monkeypatch.setattr("palaver.server.log.writer._FOLD_FROM", 0.0)
    monkeypatch.setattr("palaver.server.log.folding._STEP", step)


MakeWriter = Callable[..., Writer]
"""make_writer(history, age_seconds): the writer of one store, opened anew where there was one before."""

MakeLog = Callable[..., Log]
"""make_log(history=..., age_seconds=..., queue_jobs=...): another log of the kind under test, on the same store."""


def maker(kind: str, directory: Path, clock: Clock) -> MakeLog:
    def make(*, history: int = 100, age_seconds: float | None = None, queue_jobs: int = 20_000) -> Log:
        retention = Retention(history, age_seconds)
        if kind == "memory":
            return MemoryLog(retention, now_ms=clock, queue_jobs=queue_jobs)
        return SqliteLog(directory, retention, now_ms=clock, queue_jobs=queue_jobs)

    return make
