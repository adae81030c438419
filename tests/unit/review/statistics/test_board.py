"""Many evaluations on one board."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.review.ranking import Mark
from palaver.review.statistics.board import Round, board, boards
from tests.unit.review.statistics import tables

KEYS = [f"m{index}" for index in range(6)]
MERITS = np.array([2.0, 1.0, 0.5, 0.45, -1.0, -2.95])


def _rounds(count: int, noise: float = 0.5, missing: float = 0.0, category: str = "code") -> list[Round]:
    draw = np.random.default_rng(5)
    severities = draw.normal(size=6)
    made = []
    for number in range(count):
        hard = draw.normal()
        marks = tuple(
            Mark(judge, key, float(6 + hard + MERITS[r] + severities[j] + noise * draw.normal()))
            for j, judge in enumerate(KEYS)
            for r, key in enumerate(KEYS)
            if j != r and draw.random() >= missing
        )
        made.append(Round(f"e{number}", category, marks))
    return made


def test_merits_are_pooled_over_questions_of_any_difficulty() -> None:
    found = board(_rounds(40, missing=0.3), {})

    assert [standing.key for standing in found.standings][:2] == ["m0", "m1"]
    scores = np.array([standing.score for standing in sorted(found.standings, key=lambda each: each.key)])
    assert np.abs(scores - scores.mean() - MERITS).max() < 0.3
    assert all(standing.low < standing.score < standing.high for standing in found.standings)


def test_near_equals_are_not_separable_and_the_rest_is() -> None:
    near = {standing.key: standing.not_separable_from for standing in board(_rounds(40), {}).standings}

    assert near["m2"] == ("m3",)
    assert near["m3"] == ("m2",)
    assert near["m0"] == near["m5"] == ()


def test_a_model_that_answered_easy_questions_only_gains_nothing_by_it() -> None:
    rounds = _rounds(30, noise=0.1)
    easy = [
        Round(each.evaluation, each.category, tuple(Mark(m.judge, m.respondent, m.score + 2) for m in each.marks))
        for each in rounds[:10]
    ]
    hard = [
        Round(each.evaluation, each.category, tuple(m for m in each.marks if m.respondent != "m4"))
        for each in rounds[10:]
    ]

    scores = {standing.key: standing.score for standing in board(easy + hard, {}).standings}

    assert abs((scores["m4"] - scores["m1"]) - (MERITS[4] - MERITS[1])) < 0.2


def test_severities_are_told_apart_from_merits() -> None:
    severities = board(_rounds(40), {}).severities

    assert abs(sum(severities.values())) < 1e-6
    assert max(severities, key=lambda key: severities[key]) != min(severities, key=lambda key: severities[key])


def test_one_question_is_no_board() -> None:
    found = board(_rounds(1), {})

    assert found.standings == ()
    assert "at least two" in found.reasons[-1]


def test_there_is_one_board_for_everything_and_one_for_each_category() -> None:
    found = boards(_rounds(4) + [Round("x" + each.evaluation, "prose", each.marks) for each in _rounds(3)], {})

    assert [(each.category, each.questions) for each in found] == [("all", 7), ("code", 4), ("prose", 3)]


@given(st.lists(tables.ANY_MARKS, max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_collection_of_evaluations_raises(marks: list[list[Mark]]) -> None:
    found = board([Round(f"e{n}", "any", tuple(each)) for n, each in enumerate(marks)], {})

    assert bool(found.standings) or bool(found.reasons)
