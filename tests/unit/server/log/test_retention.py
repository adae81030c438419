"""What is kept: the bounds are checked where they are set."""

import pytest

from palaver.server.log import Retention


def test_bounds_that_make_no_sense_are_refused_with_their_value() -> None:
    with pytest.raises(ValueError, match=r"history is -1"):
        Retention(-1)
    for age in (0.0, -5.0, float("nan")):
        with pytest.raises(ValueError, match=rf"age_seconds is {age}"):
            Retention(10, age)


def test_no_age_means_that_nothing_is_too_old() -> None:
    assert Retention(10).oldest_time(2**50) is None
    assert Retention(10, 1.5).oldest_time(10_000) == 8_500
