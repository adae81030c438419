"""The journal and its folding: a commit only appends, the rest is done in slices, and can be cut off anywhere."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from palaver.chat.effects import Failed, Found, Loaded, LogJob, LogResult, Redacted, Stored
from palaver.server.log.folding import UNITS_PER_MESSAGE
from palaver.server.log.journal import FULL_MESSAGES
from palaver.server.log.opening import DATABASE, open_store
from palaver.server.log.retention import Retention
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import ADA, BOB, Clock, append, fates, fold_early, load, redact, rows

ROOMS = 40
MakeWriter = Callable[..., Writer]


@pytest.fixture
def make_writer(tmp_path: Path, clock: Clock) -> Iterator[MakeWriter]:
    """make_writer(history): the writer of the same store, after a restart where there was one."""
    opened: list[Writer] = []

    def make(history: int = 100) -> Writer:
        while opened:
            opened.pop().close()
        opened.append(Writer(open_store(tmp_path), Retention(history), clock))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


def crowd(start: int, count: int) -> list[LogJob]:
    """Messages of two users in many rooms, each with a cid."""
    return [
        append(f"text {n}", room=f"r{n % ROOMS}", user=(ADA, BOB)[n // ROOMS % 2], cid=f"c-{n}", mid=f"m-{n}")
        for n in range(start, start + count)
    ]


def traced(writer: Writer) -> list[str]:
    statements: list[str] = []
    writer._store.connection.set_trace_callback(statements.append)
    return statements


def texts(results: list[LogResult]) -> list[str]:
    return [message.text for result in results if isinstance(result, Loaded) for message in result.messages]


def fold_all(writer: Writer) -> None:
    """Until the journal is empty."""
    assert writer._journal is not None
    for _ in range(1_000):
        if writer._journal.oldest is None:
            return
        writer.tend(idle=True)
    raise AssertionError("the journal is folded in the end")


# ---- what a commit does ------------------------------------------------------------------------------------------


def test_a_commit_writes_one_row_however_much_was_stored_before(make_writer: MakeWriter) -> None:
    writer = make_writer()
    writer.perform(crowd(0, ROOMS))
    for start in range(ROOMS, 3 * FULL_MESSAGES, 500):
        changes = writer._store.connection.total_changes
        outcome = writer.perform(crowd(start, 500))
        assert outcome.stored == 500
        assert writer._store.connection.total_changes - changes == 1
        writer.tend(idle=False)


def test_a_slice_between_commits_is_bounded_by_what_was_stored(make_writer: MakeWriter, tmp_path: Path) -> None:
    writer, slices = make_writer(), []
    for start in range(0, 4 * FULL_MESSAGES, 400):
        writer.perform(crowd(start, 400))
        changes = writer._store.connection.total_changes
        writer.tend(idle=False)
        slices.append(writer._store.connection.total_changes - changes)
    step = 250 + 2  # of removing; other steps are smaller
    assert max(slices) <= 400 * UNITS_PER_MESSAGE + step
    assert sum(slices) > 2 * FULL_MESSAGES, "there was something to do"
    assert rows(tmp_path, "sends") >= 2 * FULL_MESSAGES


def test_what_is_not_folded_yet_is_bounded_while_messages_come_without_a_pause(make_writer: MakeWriter) -> None:
    writer, waiting = make_writer(history=10**6), 0
    for start in range(0, 5 * FULL_MESSAGES, 1_000):
        writer.perform(crowd(start, 1_000))
        writer.tend(idle=False)
        assert writer._journal is not None
        generations = (writer._journal.active, writer._journal.frozen)
        waiting = max(waiting, sum(each.count for each in generations if each is not None))
    assert waiting <= 2 * FULL_MESSAGES + 1_000


def test_generations_stay_bounded_also_where_every_message_is_moved_and_later_removed(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, largest = 2_000, 0
    monkeypatch.setattr("palaver.server.log.journal.FULL_MESSAGES", full)
    writer = make_writer(history=3 * full // ROOMS + 200)
    for start in range(0, 24 * full, 100):
        writer.perform(crowd(start, 100))
        writer.tend(idle=False)
        assert writer._journal is not None
        largest = max(largest, writer._journal.active.count)
    assert writer.removed > 10 * full
    assert largest <= 2 * full


def test_a_store_that_cannot_be_folded_takes_messages_until_its_journal_is_overfull_and_again_when_it_is_mended(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_early(monkeypatch, full=60, stored=1, step=3)
    writer, stored = make_writer(), 0
    with monkeypatch.context() as patch:
        patch.setattr("palaver.server.log.sends.write", lambda *_: writer._store.connection.execute("SELECT damage"))
        for start in range(0, 2_000, 20):
            outcome = writer.perform([*crowd(start, 20), load("r0")])
            stored += outcome.stored
            assert isinstance(outcome.results[-1], Loaded), "readers are served"
            writer.tend(idle=True)
    assert 600 <= stored <= 620
    assert writer.tending_failed > 0
    (failed,) = writer.perform([append()]).results
    assert isinstance(failed, Failed)
    assert "damage" in failed.reason
    fold_all(writer)
    assert writer.perform(crowd(stored, 20)).stored == 20
    assert len(texts(writer.perform([load(f"r{room}") for room in range(ROOMS)]).results)) == stored + 20


def test_the_write_ahead_log_is_copied_between_commits_and_does_not_grow(
    make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer, wal = make_writer(), tmp_path / f"{DATABASE}-wal"
    statements = traced(writer)
    for start in range(0, 3 * FULL_MESSAGES, 500):
        del statements[:]
        writer.perform(crowd(start, 500))
        assert not any("checkpoint" in statement for statement in statements)
        writer.tend(idle=False)
    assert wal.stat().st_size < 8 * 1024 * 1024


def test_messages_wait_for_the_disk_and_housekeeping_does_not(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_early(monkeypatch, full=10, stored=1, step=2)
    writer = make_writer()
    statements = traced(writer)
    for start in range(0, 100, 10):
        writer.perform(crowd(start, 10))
        writer.tend(idle=False)
    mode, modes = "", {"journal": set[str](), "folding": set[str]()}
    for statement in statements:
        if statement.startswith("PRAGMA synchronous"):
            mode = statement.split()[-1]
        elif statement.startswith("INSERT INTO journal"):
            modes["journal"].add(mode)
        elif statement.startswith("INSERT INTO sends"):
            modes["folding"].add(mode)
    assert modes == {"journal": {"FULL"}, "folding": {"NORMAL"}}


def test_messages_that_are_not_kept_any_more_are_never_written_to_their_table(
    make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer = make_writer(history=10)
    statements = traced(writer)
    for start in range(0, 3 * FULL_MESSAGES, 500):
        writer.perform(crowd(start, 500))
        writer.tend(idle=False)
    assert any(statement.startswith("INSERT INTO sends") for statement in statements)
    written = sum(statement.startswith("INSERT INTO messages") for statement in statements)
    assert written <= 10 * ROOMS, "what was kept when the first pass of sweeping began"
    assert rows(tmp_path, "messages") <= 10 * ROOMS
    assert texts(writer.perform([load("r3")]).results) == [
        f"text {n}" for n in range(3 * FULL_MESSAGES - 10 * ROOMS + 3, 3 * FULL_MESSAGES, ROOMS)
    ]


# ---- cut off anywhere --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [3, 1_000])
def test_nothing_is_lost_doubled_or_renumbered_by_a_restart_after_any_slice(
    make_writer: MakeWriter, monkeypatch: pytest.MonkeyPatch, history: int
) -> None:
    fold_early(monkeypatch, full=60, stored=1, step=3)
    writer, sent = make_writer(history), 0
    for turn in range(40):
        writer.perform(crowd(sent, 20))
        sent += 20
        for _ in range(turn % 5):
            writer.tend(idle=False)
        if turn % 3 == 2:
            writer = make_writer(history)
        for room in range(ROOMS):
            everything = [f"text {n}" for n in range(room, sent, ROOMS)]
            (loaded,) = writer.perform([load(f"r{room}")]).results
            assert isinstance(loaded, Loaded)
            assert texts([loaded]) == everything[-history:]
            assert loaded.seq == len(everything)
        again = writer.perform(crowd(0, sent)).results
        places = [(result.mid, result.duplicate) for result in again if isinstance(result, Stored)]
        assert places == [(f"m-{n}", True) for n in range(sent)]


def test_a_slice_that_fails_leaves_everything_as_it_was_and_is_done_again(
    make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_early(monkeypatch, full=60, stored=10, step=3)
    writer = make_writer()
    writer.perform(crowd(0, 120))
    writer._unfolded = 0  # so that the slices are small
    writer.tend(idle=True)
    before = rows(tmp_path, "sends")
    assert 0 < before < 120
    writer._store.connection.execute("PRAGMA query_only = ON")
    writer.tend(idle=True)
    assert rows(tmp_path, "sends") == before
    writer._store.connection.execute("PRAGMA query_only = OFF")
    found = writer.perform([fates("c-0", "c-119", room="r0"), fates("c-119", room="r39")]).results
    assert [each.seqs for each in found if isinstance(each, Found)] == [{"c-0": 1, "c-119": None}, {"c-119": 3}]
    writer.tend(idle=True)
    fold_all(writer)
    assert rows(tmp_path, "sends") == 120
    assert len(texts(writer.perform([load(f"r{room}") for room in range(ROOMS)]).results)) == 120


# ---- messages deleted while they are in the journal --------------------------------------------------------------


@pytest.mark.parametrize("slices", [0, 1, 4, 9, 30])
@pytest.mark.parametrize("together", [False, True])
def test_a_deleted_message_has_no_text_on_disk_wherever_it_is(
    make_writer: MakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: int, together: bool
) -> None:
    fold_early(monkeypatch, full=3 * ROOMS, stored=1, step=8)
    writer = make_writer()
    deletion: list[LogJob] = [redact(2, room="r7"), redact(2, room="r7"), redact(3, room="r7"), load("r7")]
    writer.perform(crowd(0, 2 * ROOMS))
    results = writer.perform(crowd(2 * ROOMS, ROOMS) + (deletion if together else [])).results
    for _ in range(slices):
        writer.tend(idle=False)
    if not together:
        results = writer.perform(deletion).results
    assert [each.message is not None for each in results if isinstance(each, Redacted)] == [True, True, True]
    assert texts(results) == ["text 7", "", ""]
    for turn in range(100):
        assert texts(writer.perform([load("r7")]).results) == ["text 7", "", ""]
        writer.tend(idle=False)
        if turn == 50:
            writer = make_writer()
    connection = sqlite3.connect(tmp_path / DATABASE)
    left = [*connection.execute("SELECT batch FROM journal"), *connection.execute("SELECT text FROM messages")]
    connection.close()
    everything = b"".join(each if isinstance(each, bytes) else each.encode() for (each,) in left)
    assert b"text 47" not in everything
    assert b"text 87" not in everything
    assert b"text 7" in everything
    again = writer.perform(crowd(47, 1)).results[0]
    assert isinstance(again, Stored)
    assert (again.seq, again.duplicate) == (2, True)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("times", [1, 250])
def test_the_text_of_a_deleted_message_is_in_no_page_of_the_file_that_is_not_used_any_more(
    make_writer: MakeWriter, tmp_path: Path, folded: bool, times: int
) -> None:
    writer, text = make_writer(), "spoken in haste " * times
    writer.perform([*crowd(0, 200), append(text, room="r0"), *crowd(200, 200)])
    writer._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if folded:
        writer.tend(idle=True)
        fold_all(writer)
        writer._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert text[:15].encode() in (tmp_path / DATABASE).read_bytes()
    writer.perform([redact(6, room="r0")])
    make_writer()
    assert text[:15].encode() not in (tmp_path / DATABASE).read_bytes()


def test_a_journal_that_was_folded_leaves_nothing_behind(make_writer: MakeWriter, tmp_path: Path) -> None:
    writer = make_writer()
    writer.perform(crowd(0, 300))
    assert rows(tmp_path, "journal") == 1
    writer.tend(idle=True)  # begins a pass, before which the journal is folded
    fold_all(writer)
    assert [rows(tmp_path, table) for table in ("journal", "messages", "sends")] == [0, 300, 300]
    assert len(texts(writer.perform([load("r0")]).results)) == 8
