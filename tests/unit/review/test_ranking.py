"""Plain means, places and the quorum."""

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from palaver.review.ranking import Mark, decide, needed_judges, panel_average, rank

_SCORES = st.integers(1, 200).map(lambda twentieths: twentieths / 20)
_MARKS = st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), _SCORES).map(
    lambda cells: [Mark(judge, respondent, score) for (judge, respondent), score in cells.items()]
)


def test_places_follow_the_unrounded_mean_although_both_print_alike() -> None:
    marks = [Mark("a", "x", 7.4), Mark("b", "x", 7.4), Mark("c", "x", 7.45), Mark("a", "y", 7.4), Mark("b", "y", 7.45)]

    places = rank(marks)

    assert [(place.respondent, place.average) for place in places] == [("y", 7.43), ("x", 7.42)]


def test_equal_means_keep_the_order_of_first_appearance() -> None:
    assert [place.respondent for place in rank([Mark("a", "y", 5.0), Mark("a", "x", 5.0)])] == ["y", "x"]


def test_the_panel_average_is_the_mean_of_means_and_not_of_marks() -> None:
    marks = [Mark("a", "x", 10.0), Mark("a", "y", 1.0), Mark("b", "y", 1.0), Mark("c", "y", 1.0)]

    assert panel_average(rank(marks)) == 5.5


def test_a_panel_of_ten_needs_seven_judges() -> None:
    assert needed_judges(10) == 7
    assert needed_judges(1) == 1


def test_a_better_answer_below_the_quorum_leaves_the_win_to_the_best_one_above_it() -> None:
    marks = [Mark("a", "x", 9.0), Mark("a", "y", 5.0), Mark("b", "y", 5.0)]

    outcome = decide(rank(marks), pool=4)

    assert outcome.winner is not None
    assert (outcome.winner.respondent, outcome.winner.rank) == ("y", 2)


def test_without_a_quorum_nobody_wins_and_the_reason_is_given() -> None:
    outcome = decide(rank([Mark("a", "x", 9.0)]), pool=10)

    assert outcome.winner is None
    assert outcome.reason == "A winner needs 7 judges; the best covered answer has 1."


def test_nothing_judged_gives_no_places_and_no_average() -> None:
    assert rank([]) == ()
    assert panel_average([]) is None
    assert decide([], pool=10).reason == "No answer was judged."


def test_the_same_judge_twice_counts_once_towards_the_quorum() -> None:
    assert decide(rank([Mark("a", "x", 9.0), Mark("a", "x", 9.0)]), pool=4).winner is None


@given(_MARKS)
def test_ranks_are_one_to_n_and_means_never_rise(marks: list[Mark]) -> None:
    places = rank(marks)

    assert [place.rank for place in places] == list(range(1, len(places) + 1))
    assert all(before.mean >= after.mean for before, after in itertools.pairwise(places))
    assert sum(place.marks for place in places) == len(marks)


@given(_MARKS.filter(bool))
def test_a_mean_lies_between_the_lowest_and_the_highest_mark(marks: list[Mark]) -> None:
    for place in rank(marks):
        assert Fraction(repr(place.lowest)) <= place.mean <= Fraction(repr(place.highest))
