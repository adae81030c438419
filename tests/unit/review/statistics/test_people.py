"""People's votes are compared with the jury by order, with an interval over persons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.statistics.people import compare

JURY = {"a": 8.0, "b": 6.0, "c": 4.0}


def _votes(*persons: dict[str, float]) -> dict[tuple[str, str], float]:
    return {(f"p{n}", key): mark for n, marks in enumerate(persons) for key, mark in marks.items()}


def test_the_same_order_is_full_agreement_and_the_reverse_is_none() -> None:
    same, reverse = compare(_votes(JURY, JURY), JURY), compare(_votes({"a": 1, "b": 2, "c": 3}), JURY)

    assert (same.agreement, same.kappa, same.low, same.high) == (1.0, 1.0, 1.0, 1.0)
    assert (reverse.agreement, reverse.kappa) == (0.0, -1.0)
    assert (reverse.low, reverse.high) == (None, None)


def test_ties_and_answers_that_the_jury_did_not_mark_say_nothing() -> None:
    found = compare(_votes({"a": 5, "b": 5, "x": 9}), JURY)

    assert (found.pairs, found.agreement, found.kappa) == (0, None, None)
    assert [(each.respondent, each.jury) for each in found.answers] == [("x", None), ("a", 8.0), ("b", 6.0)]


def test_nobody_voted() -> None:
    assert compare({}, JURY).persons == 0


MARKS = st.dictionaries(st.tuples(st.sampled_from("pqrs"), st.sampled_from("abcx")), st.integers(0, 10).map(float))


@given(MARKS)
def test_kappa_is_what_two_raters_by_chance_would_give_and_stays_in_its_bounds(
    votes: dict[tuple[str, str], float],
) -> None:
    found = compare(votes, JURY)

    assert found.votes == len(votes)
    if found.kappa is not None and found.agreement is not None:
        assert found.kappa == pytest.approx((found.agreement - 0.5) / 0.5)
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.high <= 1
