"""Performs batches against the database, and lives through the database failing. Runs in the writer's thread.

What fails is decided per batch: its writing jobs get `Failed`, its reading jobs are answered from what is committed.
The next batch tries again, so that writing works as soon as the disk does. After an error that may have left the
connection useless the database is opened anew first, at most once a second.

A job that SQLite refuses for itself (a text that is no Unicode) fails alone, and not the batch it came in.

Invariant: nothing is written to a file that is not at its path any more: it would be gone at the next start.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter

from palaver.chat.effects import Failed, LogJob, LogResult, Stored
from palaver.server.log.opening import Store
from palaver.server.log.retention import SENDS_KEPT_MS, Retention
from palaver.server.log.sends import Key, Place, RepeatedError, Sends
from palaver.server.log.sweeping import Sweep
from palaver.server.log.transaction import WRITES, Room, Transaction

_ROOMS_REMEMBERED = 10_000
_REOPEN_SECONDS = 1.0
_SWEEP_SECONDS = 600.0  # from the end of one pass over the store to the beginning of the next
_SWEEP_STORED = 1_000  # under load: a slice for so many stored messages, twice as many rows long

_JOB_FAULTS = (
    ValueError,  # among them: a text with half a surrogate pair
    OverflowError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
)
_PASSING = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED")  # errors after which the connection is as good as before


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
    """Owns the store's connection from the start of the thread to its end. `now` is monotonic seconds."""

    def __init__(
        self, store: Store, retention: Retention, now_ms: Callable[[], int], now: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._retention = retention
        self._now_ms, self._now = now_ms, now
        self._rooms: dict[str, Room] = {}
        self._recent: dict[Key, Place] | None = None  # None: to be read anew
        self._wal = store.path.with_name(f"{store.path.name}-wal")
        self._suspect = False  # the connection may be useless
        self._reopen_at = 0.0
        self._reopened = 0
        self._sweep: Sweep | None = Sweep()
        self._sweep_at = 0.0
        self._unswept = 0
        self.removed = 0  # messages that were not kept any more, since the start

    def perform(self, jobs: Sequence[LogJob]) -> Outcome:
        """Every job's result, in order. Never raises for what the database or a job does."""
        began = perf_counter()
        try:
            results = self._commit(jobs)
        except _JOB_FAULTS:
            results = [self._alone(job) for job in jobs]
        except Exception as error:  # noqa: BLE001 - also a fault of ours must not end the thread: all would wait for ever
            self._doubt(error)
            results = self._without_writing(jobs, error)
        repeated = [result.duplicate for result in results if type(result) is Stored]
        stored, duplicates = len(repeated) - sum(repeated), sum(repeated)
        self._unswept += stored
        failed = sum(type(result) is Failed for result in results)
        return Outcome(results, stored, duplicates, failed, perf_counter() - began, self._reopened, self._wal_bytes())

    def tend(self, *, idle: bool) -> None:
        """Remove a slice of what is too old, if it is time. Never raises; what fails is tried again later."""
        if not idle and self._unswept < _SWEEP_STORED:
            return
        if self._sweep is None:
            if self._now() < self._sweep_at:
                return
            self._sweep = Sweep()
        rows, self._unswept = 2 * max(self._unswept, _SWEEP_STORED), 0
        try:
            transaction = self._begin(writes=True)
            over = self._sweep.slice(self._store.connection, transaction, self._now_ms() - SENDS_KEPT_MS, rows)
            self._end(transaction)
        except Exception as error:  # noqa: BLE001 - as in perform
            self._roll_back()
            self._doubt(error)
            return
        if over:
            self._sweep, self._sweep_at = None, self._now() + self._sweep_seconds()

    def close(self) -> None:
        """Let go of the database and of the directory."""
        self._store.close()

    # ---- one batch -----------------------------------------------------------------------------------------------

    def _commit(self, jobs: Sequence[LogJob]) -> list[LogResult]:
        try:
            return self._transact(jobs, careful=False)
        except RepeatedError:
            return self._transact(jobs, careful=True)

    def _transact(self, jobs: Sequence[LogJob], *, careful: bool) -> list[LogResult]:
        writes = any(isinstance(job, WRITES) for job in jobs)
        try:
            transaction = self._begin(writes=writes, careful=careful)
            results = transaction.perform(jobs)
            if writes:
                transaction.sends.move()
            self._end(transaction)
        except BaseException:
            self._roll_back()
            raise
        return results

    def _begin(self, *, writes: bool, careful: bool = False) -> Transaction:
        if writes:
            self._make_usable()
        self._store.connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        if self._recent is None:
            self._recent = Sends.load(self._store.connection)
        return Transaction(
            self._store.connection,
            self._rooms,
            self._recent,
            self._retention,
            epoch=self._store.epoch,
            now_ms=self._now_ms(),
            careful=careful,
        )

    def _end(self, transaction: Transaction) -> None:
        self._store.connection.execute("COMMIT")
        transaction.remember()
        self.removed += transaction.removed
        if len(self._rooms) > _ROOMS_REMEMBERED:
            self._rooms.clear()

    def _roll_back(self) -> None:
        if self._store.connection.in_transaction:
            try:
                self._store.connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # the error that led here is the one to tell; SQLite rolls back by itself when it must

    def _alone(self, job: LogJob) -> LogResult:
        """A job in its own transaction, after one of its batch was refused for itself."""
        try:
            return self._commit([job])[0]
        except Exception as error:  # noqa: BLE001 - as in perform
            return Failed(job, f"{_name(error)}: {error}")

    def _without_writing(self, jobs: Sequence[LogJob], error: Exception) -> list[LogResult]:
        """After the batch failed: nothing is written, reads are answered one by one as far as they can be."""
        reason = f"{_name(error)}: {error}"
        return [Failed(job, reason) if isinstance(job, WRITES) else self._alone(job) for job in jobs]

    # ---- when the database fails ---------------------------------------------------------------------------------

    def _doubt(self, error: Exception) -> None:
        """After an error: nothing remembered is relied on, and the connection is not, unless the error says so."""
        self._rooms.clear()
        self._recent = None
        if not _name(error).startswith(_PASSING):
            self._suspect = True

    def _make_usable(self) -> None:
        """Before writing: a connection that can be trusted, as far as one can be had. Raises sqlite3.Error."""
        if not self._store.in_place():
            raise sqlite3.OperationalError(
                f"{self._store.path} was moved, removed or replaced while in use; put it back, or restart"
            )
        if self._suspect and self._now() >= self._reopen_at:
            self._reopen_at = self._now() + _REOPEN_SECONDS
            self._store.reopen()
            self._reopened += 1
            self._suspect = False

    # ---- figures -------------------------------------------------------------------------------------------------

    def _sweep_seconds(self) -> float:
        """So often that what is too old stays at most a tenth longer than it should."""
        age = self._retention.age_seconds
        return _SWEEP_SECONDS if age is None else min(_SWEEP_SECONDS, age / 10)

    def _wal_bytes(self) -> int:
        try:
            return os.stat(self._wal).st_size  # noqa: PTH116 - once per commit
        except OSError:
            return 0


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
