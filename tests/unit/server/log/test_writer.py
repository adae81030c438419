"""The writer: what is removed from the disk and when, and how it goes on when the database or a job fails."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from palaver.chat.effects import Failed, Loaded, LogResult, Stored
from palaver.chat.records import User
from palaver.server.log.journal import Journal
from palaver.server.log.opening import DATABASE, open_store
from palaver.server.log.retention import SENDS_KEPT_MS, Retention
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import HOUR_MS, START_MS, Clock, append, fates, fold_early, load, redact, rows

MakeWriter = Callable[..., Writer]


class Monotonic:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def make_writer(tmp_path: Path, clock: Clock, monotonic: Monotonic) -> Iterator[MakeWriter]:
    opened: list[Writer] = []

    def make(history: int = 100, age_seconds: float | None = None) -> Writer:
        while opened:
            opened.pop().close()
        opened.append(Writer(open_store(tmp_path), Retention(history, age_seconds), clock, monotonic))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


def remembered(tmp_path: Path) -> int:
    """Sends whose places are known: in their table, and in the journal."""
    connection = sqlite3.connect(tmp_path / DATABASE)
    journal = Journal.load(connection)
    connection.close()
    return rows(tmp_path, "sends") + len(journal.active.places)


def seqs(results: list[LogResult]) -> list[int]:
    return [result.seq for result in results if isinstance(result, Stored)]


def fill(writer: Writer, count: int, **what: str) -> list[int]:
    return seqs(writer.perform([append(cid=f"c-{number}", **what) for number in range(count)]).results)  # type: ignore[arg-type]  # names of append


def sweep(writer: Writer, monotonic: Monotonic) -> None:
    """A whole pass, begun anew."""
    monotonic.seconds += 10_000
    for _ in range(1_000):
        writer.tend(idle=True)
        if writer._sweep is None:
            return
    raise AssertionError("a pass ends")


# ---- retention ---------------------------------------------------------------------------------------------------


def test_trimming_happens_for_many_messages_at_once(
    make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_early(monkeypatch, full=100, stored=1, step=50)
    writer = make_writer(history=10)
    for _ in range(20):
        writer.perform([append() for _ in range(100)])
        writer.tend(idle=False)
    assert 10 <= rows(tmp_path, "messages") <= 10 + 256 + 100
    (loaded,) = writer.perform([load()]).results
    assert isinstance(loaded, Loaded)
    assert [message.seq for message in loaded.messages] == list(range(1991, 2001))


def test_numbers_go_on_after_every_message_of_a_room_was_removed(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monotonic: Monotonic
) -> None:
    writer = make_writer(age_seconds=3600)
    fill(writer, 7)
    clock.ms += 2 * HOUR_MS
    sweep(writer, monotonic)
    assert rows(tmp_path, "messages") == 0
    assert seqs(writer.perform([append()]).results) == [8]
    writer = make_writer(age_seconds=3600)
    assert seqs(writer.perform([append()]).results) == [9]


def test_with_a_history_of_zero_numbers_go_on_after_a_restart(make_writer: MakeWriter, tmp_path: Path) -> None:
    for expected in range(1, 2000, 400):
        assert seqs(make_writer(history=0).perform([append()] * 400).results)[0] == expected
    assert rows(tmp_path, "messages") <= 256 + 400


def test_what_was_removed_does_not_come_back_with_a_longer_history(
    make_writer: MakeWriter, monotonic: Monotonic
) -> None:
    writer = make_writer(history=10)
    fill(writer, 1_000)
    sweep(writer, monotonic)
    (loaded,) = make_writer(history=5_000).perform([load()]).results
    assert isinstance(loaded, Loaded)
    assert [message.seq for message in loaded.messages] == list(range(991, 1001))


def test_a_shorter_history_is_swept_also_in_rooms_that_nobody_writes_to(
    make_writer: MakeWriter, tmp_path: Path, monotonic: Monotonic
) -> None:
    writer = make_writer(history=50_000)
    for room in range(3):
        for _ in range(6):
            writer.perform([append(room=f"r{room}")] * 1_000)
    sweep(make_writer(history=2), monotonic)
    assert rows(tmp_path, "messages") == 6


def test_messages_too_old_are_swept_and_younger_ones_stay(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monotonic: Monotonic
) -> None:
    writer = make_writer(age_seconds=3600)
    writer.perform([append(at=START_MS), append(at=START_MS + HOUR_MS), append(room="other", at=START_MS)])
    clock.ms += HOUR_MS + 1
    sweep(writer, monotonic)
    assert rows(tmp_path, "messages") == 1


def test_the_fate_of_a_send_outlives_its_message_and_is_forgotten_after_a_day(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monotonic: Monotonic
) -> None:
    writer = make_writer(history=1, age_seconds=60)
    fill(writer, 5_000)
    clock.ms += SENDS_KEPT_MS
    sweep(writer, monotonic)
    assert rows(tmp_path, "messages") == 0
    (again,) = writer.perform([append(cid="c-3")]).results
    assert isinstance(again, Stored)
    assert (again.seq, again.duplicate) == (4, True)
    clock.ms += 1
    sweep(writer, monotonic)
    assert remembered(tmp_path) == 0
    (again,) = writer.perform([append(cid="c-3")]).results
    assert isinstance(again, Stored)
    assert (again.seq, again.duplicate) == (5_001, False)


def test_a_sweep_rests_between_passes_and_goes_on_under_load(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monotonic: Monotonic
) -> None:
    writer = make_writer(history=1)
    sweep(writer, monotonic)
    fill(writer, 900)
    clock.ms += SENDS_KEPT_MS + 1
    writer.tend(idle=True)
    assert remembered(tmp_path) == 900, "it is not time yet"
    monotonic.seconds += 601
    writer.tend(idle=False)
    assert remembered(tmp_path) == 900, "too little was stored for a slice under load"
    for turn in range(4):
        writer.perform([append(cid=f"d-{turn}-{number}", at=clock.ms) for number in range(1_000)])
        writer.tend(idle=False)
    assert remembered(tmp_path) == 4_000


@pytest.mark.parametrize(("age_seconds", "rest_seconds"), [(None, 600), (86_400, 600), (3_600, 360)])
def test_a_sweep_comes_often_enough_for_the_age(
    make_writer: MakeWriter, monotonic: Monotonic, age_seconds: float | None, rest_seconds: float
) -> None:
    writer = make_writer(age_seconds=age_seconds)
    sweep(writer, monotonic)
    assert writer._sweep_at == monotonic.seconds + rest_seconds


def test_more_rooms_than_are_remembered_keep_their_numbers(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaver.server.log.writer._ROOMS_REMEMBERED", 3)
    writer = make_writer()
    for turn in range(1, 5):
        results = writer.perform([append(room=f"r{number}") for number in range(8)]).results
        assert seqs(results) == [turn] * 8
        assert len(writer._rooms) <= 3


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
