"""The writer: how it goes on when the database or a job fails."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from palaver.chat.effects import Failed, Loaded, LogResult, Stored
from palaver.chat.records import User
from palaver.server.log.opening import DATABASE
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import MakeWriter, Monotonic, append, fates, fill, load, redact, seqs

# ---- jobs that cannot be done ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "poison",
    [append("half \ud83d of a pair"), append(user=User("u", "\ud83d")), append(cid="\ud83d"), append(at=2**70)],
)
def test_a_job_that_sqlite_refuses_fails_alone(make_writer: MakeWriter, poison: LogResult) -> None:
    writer = make_writer()
    outcome = writer.perform([append("1"), poison, load(), append("2")])  # type: ignore[list-item]  # an Append
    first, failed, loaded, second = outcome.results
    assert isinstance(failed, Failed)
    assert isinstance(loaded, Loaded)
    assert len(loaded.messages) == 1
    assert seqs([first, second]) == [1, 2]
    assert (outcome.stored, outcome.failed) == (2, 1)


def test_a_fault_in_our_own_code_fails_the_batch_and_not_the_writer(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make_writer()
    with monkeypatch.context() as patch:
        patch.setattr("palaver.server.log.transaction.Transaction.perform", lambda *_: 1 / 0)
        (failed,) = writer.perform([append()]).results
    assert isinstance(failed, Failed)
    assert "ZeroDivisionError" in failed.reason
    assert seqs(writer.perform([append()]).results) == [1]


# ---- a database that cannot be written ---------------------------------------------------------------------------


def fail_and_recover(
    writer: Writer, monotonic: Monotonic, *, breaking: Callable[[], None], mending: Callable[[], None]
) -> str:
    """Stored before, failed during with reads served, stored after; the reason that was given."""
    assert fill(writer, 3) == [1, 2, 3]
    breaking()
    lost, loaded, removed, found = writer.perform([append("x" * 9_000, cid="x"), load(), redact(1), fates("x")]).results
    assert isinstance(lost, Failed)
    assert isinstance(removed, Failed)
    assert isinstance(loaded, Loaded)
    assert [message.text for message in loaded.messages] == ["hello"] * 3
    assert getattr(found, "seqs", None) == {"x": None}
    mending()
    monotonic.seconds += 1
    (stored,) = writer.perform([append("x" * 9_000, cid="x")]).results
    assert isinstance(stored, Stored)
    assert (stored.seq, stored.duplicate) == (4, False)
    return lost.reason


def test_a_full_database_fails_writes_serves_reads_and_recovers(make_writer: MakeWriter, monotonic: Monotonic) -> None:
    writer = make_writer()

    def limit(pages: int) -> Callable[[], None]:
        return lambda: writer._store.connection.execute(f"PRAGMA max_page_count = {pages}").close()

    reason = fail_and_recover(writer, monotonic, breaking=limit(1), mending=limit(1_000_000))
    assert "SQLITE_FULL" in reason


def test_a_database_held_by_somebody_else_fails_writes_serves_reads_and_recovers(
    make_writer: MakeWriter, monotonic: Monotonic, tmp_path: Path
) -> None:
    writer = make_writer()
    writer._store.connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    reason = fail_and_recover(
        writer,
        monotonic,
        breaking=lambda: other.execute("BEGIN IMMEDIATE").close(),
        mending=lambda: other.execute("ROLLBACK").close(),
    )
    other.close()
    assert "SQLITE_BUSY" in reason


def test_a_database_that_was_moved_away_is_not_written_until_it_is_back(
    make_writer: MakeWriter, monotonic: Monotonic, tmp_path: Path
) -> None:
    writer = make_writer()
    database, aside = tmp_path / DATABASE, tmp_path / "aside.db"
    reason = fail_and_recover(
        writer,
        monotonic,
        breaking=lambda: database.replace(aside).touch(),
        mending=lambda: aside.replace(database).touch(),
    )
    assert "moved, removed or replaced" in reason


def test_a_database_that_was_replaced_by_another_is_not_written(
    make_writer: MakeWriter, monotonic: Monotonic, tmp_path: Path
) -> None:
    writer = make_writer()
    fill(writer, 3)
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / DATABASE).read_bytes())
    copy.replace(tmp_path / DATABASE)
    for _ in range(3):
        monotonic.seconds += 2
        (failed,) = writer.perform([append()]).results
        assert isinstance(failed, Failed)
        assert "replaced" in failed.reason


def test_a_connection_that_broke_is_replaced_and_not_more_than_once_a_second(
    make_writer: MakeWriter, monotonic: Monotonic
) -> None:
    writer = make_writer()
    fill(writer, 3)
    for expected in (1, 2):
        monotonic.seconds += 1
        writer._store.connection.close()
        assert isinstance(writer.perform([append()]).results[0], Failed)
        outcome = writer.perform([append()])
        assert seqs(outcome.results) == [3 + expected]
        assert outcome.reopened == expected
    writer._store.connection.close()
    assert isinstance(writer.perform([append()]).results[0], Failed)
    assert isinstance(writer.perform([append()]).results[0], Failed), "not yet a second later"


def test_a_disk_that_fails_during_a_job_that_is_done_alone_is_doubted_too(
    make_writer: MakeWriter, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make_writer()
    fill(writer, 3)
    failing = sqlite3.OperationalError("disk I/O error")
    failing.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    calls = 0

    def end(self: Writer, transaction: object) -> None:
        nonlocal calls
        calls += 1
        raise failing

    monotonic.seconds += 1
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_end", end)
        results = writer.perform([append("half \ud83d of a pair"), append("whole")]).results
    assert [type(result) for result in results] == [Failed, Failed]
    assert calls == 1
    outcome = writer.perform([append()])
    assert (seqs(outcome.results), outcome.reopened) == ([4], 1)


def test_after_an_error_of_the_disk_the_write_ahead_log_is_begun_anew(
    make_writer: MakeWriter, monotonic: Monotonic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaver.server.log.opening._BUSY_MS", 0)
    writer, wal = make_writer(), tmp_path / f"{DATABASE}-wal"
    for _ in range(20):
        writer.perform([append("x" * 9_000)])
    before = wal.stat().st_size
    reader = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)  # as a backup does
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM journal").fetchall()
    writer._doubt(sqlite3.OperationalError("disk I/O error"))
    monotonic.seconds += 1
    (failed,) = writer.perform([append()]).results
    assert isinstance(failed, Failed)
    assert "backup" in failed.reason
    reader.execute("ROLLBACK")
    monotonic.seconds += 1
    assert seqs(writer.perform([append()]).results) == [21]
    assert wal.stat().st_size < before / 2
    reader.close()
