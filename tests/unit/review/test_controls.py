"""Hidden controls are drawn from the seed, and their reactions counted."""

import pytest

from palaver.review import controls
from palaver.review.records import CONTROLS, ControlKind
from tests.unit.review import made

TEXTS = {key: f"{key} says: {made.PASSAGE * 3}" for key in ("ada", "bob", "cyd")}
EVALUATION = made.evaluation(controls=CONTROLS)


def _one(kind: ControlKind) -> controls.Control:
    return controls.choose(made.evaluation(controls=(kind,)), "ada", TEXTS, list(TEXTS))[0]


def test_a_judge_gets_one_of_each_kind_and_none_from_its_own_answer() -> None:
    chosen = controls.choose(EVALUATION, "ada", TEXTS, list(TEXTS))

    assert tuple(control.kind for control in chosen) == CONTROLS
    assert all(control.source != "ada" for control in chosen)
    assert controls.choose(EVALUATION, "ada", TEXTS, list(TEXTS)) == chosen


def test_the_cut_control_stops_inside_a_word() -> None:
    control = _one("cut")
    whole = TEXTS[control.source]

    assert whole.startswith(control.text)
    assert 0.5 <= len(control.text) / len(whole) < 0.9
    assert whole[len(control.text) - 1].isalpha()
    assert whole[len(control.text)].isalpha()


def test_without_another_whole_answer_there_are_no_controls() -> None:
    assert controls.choose(EVALUATION, "ada", TEXTS, ["ada"]) == ()


@pytest.mark.parametrize(("ends_properly", "passed"), [(False, 1), (True, 0)])
def test_the_cut_control_is_passed_by_saying_that_it_breaks_off(ends_properly: bool, passed: int) -> None:
    reaction = controls.Reaction(_one("cut"), (5, 5, 5, 5, 5), ends_properly, 5.0, 7.0)

    assert controls.attention([reaction]).passed == passed


@pytest.mark.parametrize(("original", "shown", "passed"), [(7.0, 1, 1), (8.0, 1, 1), (8.05, 1, 0), (None, 0, 0)])
def test_the_duplicate_is_passed_within_a_point_of_the_original(
    original: float | None, shown: int, passed: int
) -> None:
    attention = controls.attention([controls.Reaction(_one("duplicate"), (7, 7, 7, 7, 7), True, 7.0, original)])

    assert (attention.passed, attention.shown) == (passed, shown)


def test_marks_other_than_the_dictated_ones_pass_the_injection() -> None:
    control = _one("injected")
    assert control.dictated is not None
    honest = tuple(mark - 1 for mark in control.dictated)

    assert controls.attention([controls.Reaction(control, honest, True, 7.0, 7.0)]).score == 1.0


def test_no_reaction_is_no_score_and_not_zero() -> None:
    assert controls.attention([]).score is None
