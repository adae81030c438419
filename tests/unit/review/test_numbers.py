"""The two roundings of the published format."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.numbers import exact, half_up, json_number, to_fixed


@pytest.mark.parametrize(
    ("value", "printed"), [(9.35, "9.3"), (8.05, "8.1"), (8.25, "8.3"), (6.25, "6.3"), (7.0, "7.0")]
)
def test_one_decimal_is_rounded_on_the_exact_binary_value(value: float, printed: str) -> None:
    assert to_fixed(value, 1) == printed


def test_a_mean_on_the_tie_is_rounded_up_where_python_rounds_down() -> None:
    assert round(8.975, 2) == 8.97
    assert half_up(exact(8.975), 2) == 8.98


def test_whole_numbers_are_written_without_a_point() -> None:
    assert repr(json_number(7.0)) == "7"
    assert repr(json_number(6.6)) == "6.6"


@given(st.integers(0, 200))
def test_a_score_in_steps_of_a_twentieth_is_exact(twentieths: int) -> None:
    assert exact(twentieths / 20) == Fraction(twentieths, 20)


@given(st.fractions(0, 10), st.integers(0, 6))
def test_half_up_is_never_off_by_more_than_half_a_step(value: Fraction, places: int) -> None:
    step = Fraction(1, 10**places)

    rounded = Fraction(half_up(value, places)).limit_denominator(10**places)

    assert -step / 2 < rounded - value <= step / 2
