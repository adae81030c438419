"""What windows hold and forget, by themselves."""

import math
from typing import Any

import pytest

from palaver.breaker import last, seconds
from palaver.breaker.window import SHORTEST, SLICES, TimeWindow, Windows


# Found by search: multiples of the slice that floating point puts on the far side of the slice that it computes.
@pytest.mark.parametrize(
    ("length", "now"), [(0.7, 668475.9899999999), (7.7, 6100679.97), (6.0, 2113474.8), (0.1, 65399.07)]
)
def test_the_present_slice_ends_after_now_whatever_rounding_does(length: float, now: float) -> None:
    window = TimeWindow(length)
    width = length / SLICES
    assert (int(now // width) + 1) * width <= now, "an example of what is meant"
    window.add(now, 1, 0)
    assert now < window.edge <= now + width * 1.001
    window.look(now + length * 0.5)
    assert window.calls == 1
    window.look(now + length + width)
    assert window.calls == 0


def test_a_call_counts_until_its_slice_is_as_old_as_the_window() -> None:
    window = TimeWindow(10.0)
    window.add(100.0, 1, 1)
    window.add(100.5, 0, 0)
    window.look(109.999)
    assert (window.calls, window.failures, window.slow) == (2, 1, 1)
    window.look(110.0)
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_several_windows_are_recorded_as_one_and_show_the_first() -> None:
    short, count = seconds(10), last(3)
    windows = Windows((short, count))
    windows.add(100.0, 1, 0)
    windows.note(2)
    assert (windows.calls, windows.failures) == (3, 1)
    assert windows.of(count).calls == 3
    windows.add(100.0, 1, 1)
    assert windows.of(count).calls == 3
    assert (windows.calls, windows.failures, windows.slow) == (4, 2, 1)
    windows.look(120.0)
    assert (windows.calls, windows.failures, windows.slow) == (0, 0, 0)
    assert windows.of(short).calls == 0
    assert windows.of(count).calls == 3, "a count of calls does not age"


@pytest.mark.parametrize("length", [math.inf, math.nan, 0, -1.0, SHORTEST / 2])
def test_a_window_is_of_a_finite_time_that_a_clock_can_tell(length: float) -> None:
    with pytest.raises(ValueError, match="length"):
        seconds(length)


@pytest.mark.parametrize("length", ["60", None, True])
def test_the_length_of_a_window_is_a_number(length: Any) -> None:
    with pytest.raises(TypeError, match="length"):
        seconds(length)
