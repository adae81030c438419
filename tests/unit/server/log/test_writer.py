"""The writer: what is removed from the disk and when."""

import sqlite3
from pathlib import Path

import pytest

from palaver.chat.effects import Loaded, Stored
from palaver.server.log.journal import Journal
from palaver.server.log.opening import DATABASE
from palaver.server.log.retention import SENDS_KEPT_MS
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import (
    HOUR_MS,
    START_MS,
    Clock,
    MakeWriter,
    Monotonic,
    append,
    fill,
    fold_early,
    load,
    rows,
    seqs,
)


def remembered(tmp_path: Path) -> int:
    """Sends whose places are known: in their table, and in the journal."""
    connection = sqlite3.connect(tmp_path / DATABASE)
    journal = Journal.load(connection)
    connection.close()
    return rows(tmp_path, "sends") + len(journal.active.places)


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


def test_a_sweep_goes_on_also_where_something_is_always_asked_and_little_is_stored(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monotonic: Monotonic
) -> None:
    writer = make_writer(age_seconds=3600)
    fill(writer, 7)
    clock.ms += 2 * HOUR_MS
    for _ in range(20):
        monotonic.seconds += 0.5
        writer.perform([load()])
        writer.tend(idle=False)
    assert (rows(tmp_path, "journal"), rows(tmp_path, "messages"), writer.removed) == (0, 0, 7)


def test_what_got_too_old_while_it_was_folded_does_not_stay(
    make_writer: MakeWriter, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_early(monkeypatch, full=60, stored=1, step=3)
    writer = make_writer(age_seconds=3600)
    writer._sweep_slice()  # a pass begins
    fill(writer, 60)
    while rows(tmp_path, "messages") == 0:
        writer._unfolded = 0  # so that the slices are small
        writer._fold_slice(idle=True)
    assert rows(tmp_path, "messages") < 60
    clock.ms += 2 * HOUR_MS
    writer._sweep_slice()
    while rows(tmp_path, "journal"):
        writer._fold_slice(idle=True)
    assert rows(tmp_path, "messages") == 0
    assert writer.removed == 60


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
