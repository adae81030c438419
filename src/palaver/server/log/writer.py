"""Performs batches against the database, and lives through the database failing. Runs in the writer's thread.

What fails is decided per batch: its writing jobs get `Failed`, its reading jobs are answered from what is committed.
The next batch tries again, so that writing works as soon as the disk does. After an error that may have left the
connection useless the database is opened anew first, at most once a second.

A job that SQLite refuses for itself (a text that is no Unicode) fails alone, and not the batch it came in.

Between batches it folds the journal, sweeps, and copies the write-ahead log to the database, each time a slice in
proportion to what was stored, and a slice each second. No answer waits for that, and a slice does not wait for the
disk: it is done again if it is lost. If it fails, that is counted, and it is tried again a second later.

Invariants: a batch's commit waits for the disk (`synchronous = FULL`) and does nothing but append; nothing is written
to a file that is not at its path any more: it would be gone at the next start.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter

from palaver.chat.effects import Failed, LogJob, LogResult, Stored
from palaver.server.log.folding import UNITS_PER_MESSAGE, Fold
from palaver.server.log.journal import Journal, OverfullError
from palaver.server.log.opening import Store
from palaver.server.log.retention import SENDS_KEPT_MS, Retention
from palaver.server.log.sweeping import Sweep
from palaver.server.log.transaction import WRITES, RepeatedError, Room, Transaction

_ROOMS_REMEMBERED = 10_000
_REOPEN_SECONDS = 1.0
_SWEEP_SECONDS = 600.0  # from the end of one pass over the store to the beginning of the next
_SWEEP_STORED = 1_000  # under load: a slice for so many stored messages, twice as many rows long
_SWEEP_PAUSE = 1.0  # and one after so many seconds at the latest, where there is work but little to store
_FOLD_STORED = 250  # under load: a slice for so many stored messages
_FOLD_FROM = 0.5  # under load: not before the next generation is half full, when less of the frozen one is kept
_FOLD_LARGE = 3  # a generation of so many, which restarts and failures made, is folded in large slices
_CHECKPOINT_PAGES = 500  # of the write-ahead log, estimated; some milliseconds of work
_PAGE_BYTES = 4096

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
        self._journal: Journal | None = None  # None: to be read anew
        self._wal = store.path.with_name(f"{store.path.name}-wal")
        self._suspect = False  # the connection may be useless
        self._reopen_at = 0.0
        self._reopened = 0
        self._fold: Fold | None = None
        self._sweep: Sweep | None = None
        self._sweep_at = 0.0
        self._swept_at = now()  # the last slice
        self._tend_at = 0.0  # not before, after it failed
        self._tending_error = ""
        self._sweep_from = 0  # the journal up to this batch is folded before the sweep
        self._unswept = self._unfolded = 0  # messages stored since the last slice
        self._wal_pages = 0  # written since the last checkpoint, estimated
        self.removed = 0  # messages that were not kept any more, since the start
        self.tending_failed = 0  # since the start

    def perform(self, jobs: Sequence[LogJob]) -> Outcome:
        """Every job's result, in order. Never raises for what the database or a job does."""
        began = perf_counter()
        try:
            results = self._commit(jobs)
        except _JOB_FAULTS:
            results = [self._alone(job) for job in jobs]
        except OverfullError:
            full = OverfullError(f"messages cannot be moved to their tables: {self._tending_error}")
            results = self._without_writing(jobs, full)
        except Exception as error:  # noqa: BLE001 - also a fault of ours must not end the thread: all would wait for ever
            self._doubt(error)
            results = self._without_writing(jobs, error)
        repeated = [result.duplicate for result in results if type(result) is Stored]
        stored, duplicates = len(repeated) - sum(repeated), sum(repeated)
        self._unswept += stored
        self._unfolded += stored
        failed = sum(type(result) is Failed for result in results)
        return Outcome(results, stored, duplicates, failed, perf_counter() - began, self._reopened, self._wal_bytes())

    def tend(self, *, idle: bool) -> None:
        """Between batches: a slice of what is due. Never raises; what fails is tried again later."""
        try:
            now = self._now()
            if not idle and now < self._tend_at:
                return
            due = idle or now >= self._swept_at + _SWEEP_PAUSE
            if due or self._unfolded >= _FOLD_STORED:
                self._fold_slice(idle=idle)
            if due or self._unswept >= _SWEEP_STORED:
                self._swept_at = now
                self._sweep_slice()
            if self._wal_pages >= _CHECKPOINT_PAGES and self._store.in_place():
                self._wal_pages = 0
                self._store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except Exception as error:  # noqa: BLE001 - as in perform
            self._roll_back()
            self._doubt(error)
            self._tend_at = self._now() + _REOPEN_SECONDS
            self.tending_failed += 1
            self._tending_error = f"{_name(error)}: {error}"

    def close(self) -> None:
        """Let go of the database and of the directory."""
        self._store.close()

    # ---- between batches -----------------------------------------------------------------------------------------

    def _fold_slice(self, *, idle: bool) -> None:
        units, self._unfolded = UNITS_PER_MESSAGE * max(self._unfolded, _FOLD_STORED), 0
        journal, waited_for = self._journal, self._sweep_waits()
        if journal is None:
            return
        if journal.frozen is None and (journal.active.full() or waited_for):
            self._fold = Fold(journal.freeze())
        if self._fold is None or not (idle or waited_for or journal.active.full(_FOLD_FROM)):
            return
        assert journal.frozen is not None, "it is what is folded"
        if journal.active.full():
            units *= 2  # it is late: for every message another one is removed as well
        if journal.frozen.full(_FOLD_LARGE):
            units = max(units, journal.frozen.count)  # some slices for all of it, before the next restart
        transaction = self._begin(writes=True, durable=False)
        done, over = self._fold.slice(self._store.connection, transaction, units)
        self._end(transaction)
        self._wal_pages += done // 4
        if over:
            self._fold = None
            journal.forget()

    def _sweep_slice(self) -> None:
        rows, self._unswept = 2 * max(self._unswept, _SWEEP_STORED), 0
        if self._sweep is None and self._now() < self._sweep_at:
            return
        if self._sweep is not None and self._sweep_waits():
            return
        transaction = self._begin(writes=True, durable=False)
        if self._sweep is None:  # the first slice of a pass only decides what is to be folded before it goes on
            assert self._journal is not None, "a transaction reads it"
            self._sweep, self._sweep_from, over = Sweep(), self._journal.newest, False
        else:
            over = self._sweep.slice(self._store.connection, transaction, self._now_ms() - SENDS_KEPT_MS, rows)
        self._end(transaction)
        if over:
            self._sweep, self._sweep_at = None, self._now() + self._sweep_seconds()

    def _sweep_waits(self) -> bool:
        oldest = None if self._journal is None else self._journal.oldest
        return self._sweep is not None and oldest is not None and oldest <= self._sweep_from

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
            transaction.write()
            self._end(transaction)
        except BaseException:
            self._roll_back()
            raise
        return results

    def _begin(self, *, writes: bool, durable: bool = True, careful: bool = False) -> Transaction:
        if writes:
            self._make_usable()
            self._store.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._store.connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        if self._journal is None:
            self._journal, self._fold = Journal.load(self._store.connection), None
            self._sweep_from = min(self._sweep_from, self._journal.newest)
        return Transaction(
            self._store.connection,
            self._rooms,
            self._journal,
            self._retention,
            epoch=self._store.epoch,
            now_ms=self._now_ms(),
            careful=careful,
        )

    def _end(self, transaction: Transaction) -> None:
        self._store.connection.execute("COMMIT")
        transaction.remember()
        self.removed += transaction.removed
        self._wal_pages += 2 + transaction.bytes // _PAGE_BYTES
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
            if not isinstance(error, (*_JOB_FAULTS, OverfullError)):
                self._doubt(error)
            return Failed(job, f"{_name(error)}: {error}")

    def _without_writing(self, jobs: Sequence[LogJob], error: Exception) -> list[LogResult]:
        """After the batch failed: nothing is written, reads are answered one by one as far as they can be."""
        reason = f"{_name(error)}: {error}"
        return [Failed(job, reason) if isinstance(job, WRITES) else self._alone(job) for job in jobs]

    # ---- when the database fails ---------------------------------------------------------------------------------

    def _doubt(self, error: Exception) -> None:
        """After an error: nothing remembered is relied on, and the connection is not, unless the error says so."""
        self._rooms.clear()
        self._journal = self._fold = None
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
