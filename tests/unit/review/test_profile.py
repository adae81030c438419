"""What a dossier and the pooled records take from an evaluation: marks, habits, attention, votes."""

from pathlib import Path

import msgspec
import pytest

from palaver.review import pooled, profile, shelf
from palaver.review.matrix import Matrix
from palaver.review.records import CONTROLS, Record
from palaver.review.shelf import Entry
from tests.unit.review import dossiers, folders, made

KEYS = ("ada", "bob", "cyd", "dee")


def _with_controls() -> Matrix:
    """Ada passes every control; Bob notices no cut and copies what is dictated; the others answered none."""
    drawn_up = made.evaluation(KEYS, controls=CONTROLS)
    records: list[Record] = made.everything(drawn_up)[1:]
    for (judge, subject), (control, _) in made.matrix(drawn_up, *records).controls.items():
        if judge == "ada":
            records.append(made.grade(judge, subject, control.text, ends_properly=control.kind != "cut"))
        if judge == "bob":
            scores = control.dictated or (7, 7, 7, 7, 7)
            records.append(made.grade(judge, subject, control.text, scores, ends_properly=True))
    return made.matrix(drawn_up, *records)


def test_a_judges_habits_come_from_its_controls_and_its_words() -> None:
    matrix = _with_controls()
    ada, bob, cyd = (profile.habits_of(matrix, key) for key in ("ada", "bob", "cyd"))

    assert (ada.cuts_seen, ada.cuts_shown, ada.attention, ada.failed_controls) == (1, 1, 1.0, ())
    assert (bob.cuts_seen, bob.cuts_shown, bob.failed_controls) == (0, 1, ("cut", "injected"))
    assert bob.attention == pytest.approx(1 / 3)
    assert (cyd.cuts_shown, cyd.attention) == (0, None)
    assert ada.empty_justifications == 3


def test_what_a_judge_says_of_controls_moves_no_mark() -> None:
    drawn_up = made.evaluation(KEYS, controls=CONTROLS)
    without = made.matrix(drawn_up, *made.everything(drawn_up)[1:])

    assert profile.subject_of(_with_controls()).marks == profile.subject_of(without).marks


def test_judges_are_told_apart_over_several_evaluations() -> None:
    entries = [Entry(Path("one"), _with_controls()), Entry(Path("two"), _with_controls())]

    records = {record.judge: record for record in pooled.records_of(entries)}

    assert (records["bob"].controls_passed, records["bob"].controls_shown) == (2, 6)
    assert (records["ada"].cuts_seen, records["ada"].cuts_shown) == (2, 2)
    assert records["cyd"].controls_shown == 0


def test_a_genuine_zero_is_measured_although_it_is_not_published() -> None:
    drawn_up = made.evaluation(KEYS)
    records = made.everything(drawn_up)[1:]
    zero = made.grade("ada", "bob", f"bob says: {made.PASSAGE * 3}", (0, 0, 0, 0, 0))
    kept = [each for each in records if (getattr(each, "judge", ""), getattr(each, "subject", "")) != ("ada", "bob")]
    matrix = made.matrix(drawn_up, *kept, zero)

    assert 0.0 in [mark.score for mark in profile.subject_of(matrix).marks]
    assert profile.of_matrix(matrix, resamples=10).published.matrix_size == 11


def test_a_file_without_any_words_says_nothing_of_habits() -> None:
    assert {sheet.empty_justifications for sheet in dossiers.of_seed().measured.judges} == {None}
    document = dossiers.of_seed().published
    judgments = tuple(msgspec.structs.replace(each, brief_justification="x" * 500) for each in document.judgments[:-1])
    worded = msgspec.structs.replace(document, judgments=(*judgments, document.judgments[-1]))

    sheets = profile.of_published(worded, resamples=10).measured.judges
    assert sum(sheet.empty_justifications or 0 for sheet in sheets) == 1
    assert sum(sheet.capped_justifications or 0 for sheet in sheets) == 87


def test_the_people_of_a_dossier_are_compared_and_not_counted() -> None:
    dossier = dossiers.of_eventful()

    assert dossier.people is not None
    assert (dossier.people.persons, dossier.people.votes) == (2, 4)
    assert {line.judges for line in dossier.measured.lines} == {3, 4}


def test_boards_pool_what_ran_here_and_what_was_imported(tmp_path: Path) -> None:
    folders.kept(tmp_path, 0)
    folders.kept(tmp_path, 1, "writing")
    for name in ("EVAL-20260402-133034", "EVAL-20260402-132144"):
        shelf.take_in(tmp_path, (dossiers.EXAMPLES / f"{name}.json").read_bytes(), name)

    boards = {each.category: each for each in pooled.boards_of(shelf.read_all([tmp_path]))}

    assert boards["all"].questions == 4
    assert boards["all"].standings == ()
    assert any("no judge connects these groups" in reason for reason in boards["all"].reasons)
    assert boards["writing"].standings == ()
