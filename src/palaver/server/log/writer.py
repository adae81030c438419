"""Performs batches against the database, and lives through the database failing. Runs in the writer's thread.

What fails is decided per batch: its writing jobs get `Failed`, its reading jobs are answered from what is committed.
The next batch tries again, so that writing works as soon as the disk does; after errors that may have left the
connection useless (an IO error, a file that vanished) the database is opened anew first, at most once a second.

A job that SQLite refuses for itself (a text that is no Unicode) fails alone, and not the batch it came in.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from palaver.chat.effects import Failed, LogJob, LogResult, Stored
from palaver.server.log.opening import Store
from palaver.server.log.retention import Retention
from palaver.server.log.transaction import WRITES, RepeatedError, Room, Transaction

_ROOMS_REMEMBERED = 10_000

_JobFault = (
    ValueError,
    OverflowError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


@dataclass(slots=True)
class Outcome:
    """What became of one batch, with what the statistics want to know about it."""

    results: list[LogResult]
    stored: int = 0
    duplicates: int = 0
    failed: int = 0
    seconds: float = 0.0
    reopened: int = 0
    wal_bytes: int = 0


class Writer:
    """Owns the store's connection from the start of the thread to its end."""

    def __init__(self, store: Store, retention: Retention, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._connection = store.connection
        self._retention = retention
        self._now_ms = now_ms
        self._rooms: dict[str, Room] = {}
        self._wal = store.path.with_name(f"{store.path.name}-wal")
        self._reopened = 0

    def perform(self, jobs: Sequence[LogJob]) -> Outcome:
        """Every job's result, in order. Never raises for what the database or a job does."""
        began = perf_counter()
        try:
            results = self._commit(jobs)
        except _JobFault:
            results = [self._alone(job) for job in jobs]
        except sqlite3.Error as error:
            results = self._without_writing(jobs, error)
        stored = [result.duplicate for result in results if type(result) is Stored]
        return Outcome(
            results,
            stored=len(stored) - sum(stored),
            duplicates=sum(stored),
            failed=sum(type(result) is Failed for result in results),
            seconds=perf_counter() - began,
            reopened=self._reopened,
            wal_bytes=self._wal.stat().st_size if self._wal.exists() else 0,
        )

    def close(self) -> None:
        """Let go of the database and of the directory."""
        self._store.close()

    def _commit(self, jobs: Sequence[LogJob]) -> list[LogResult]:
        try:
            return self._transact(jobs, careful=False)
        except RepeatedError:
            return self._transact(jobs, careful=True)

    def _transact(self, jobs: Sequence[LogJob], *, careful: bool) -> list[LogResult]:
        connection = self._connection
        transaction = Transaction(
            connection, self._rooms, self._retention, epoch=self._store.epoch, now_ms=self._now_ms(), careful=careful
        )
        writes = any(isinstance(job, WRITES) for job in jobs)
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            results = transaction.perform(jobs)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        transaction.remember()
        if len(self._rooms) > _ROOMS_REMEMBERED:
            self._rooms.clear()
        return results

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # the error that led here is the one to tell; SQLite rolls back by itself when it must

    def _alone(self, job: LogJob) -> LogResult:
        """A job in its own transaction, after one of its batch was refused for itself."""
        try:
            return self._commit([job])[0]
        except (*_JobFault, sqlite3.Error) as error:
            return Failed(job, f"{type(error).__name__}: {error}")

    def _without_writing(self, jobs: Sequence[LogJob], error: sqlite3.Error) -> list[LogResult]:
        """After the batch failed: nothing is written, reads are answered one by one as far as they can be."""
        reason = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
        return [Failed(job, reason) if isinstance(job, WRITES) else self._alone(job) for job in jobs]
