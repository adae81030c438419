"""The hybrid clock: monotone, near the wall clock, and not to be dragged away."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.crdt import MAX_STAMP, HybridLogicalClock, StampError
from palaver.crdt.clock import COUNTER_BITS, counter_in, milliseconds_in, wall_milliseconds

WALLS = st.lists(st.integers(-5, 1 << 42), min_size=1, max_size=30)


class Wall:
    milliseconds = 1_000

    def __call__(self) -> int:
        return self.milliseconds


@given(WALLS)
def test_ticks_grow_whatever_the_wall_clock_does(walls: list[int]) -> None:
    times = iter(walls)
    clock = HybridLogicalClock("a", lambda: next(times))

    stamps = [clock.tick() for _ in walls]

    assert stamps == sorted(set(stamps))
    assert all(0 <= stamp <= MAX_STAMP for stamp in stamps)


def test_a_tick_is_the_wall_clock_when_that_has_moved() -> None:
    wall = Wall()
    clock = HybridLogicalClock("a", wall)

    first, second = clock.tick(), clock.tick()
    wall.milliseconds += 1
    third = clock.tick()

    assert [(milliseconds_in(s), counter_in(s)) for s in (first, second, third)] == [(1000, 0), (1000, 1), (1001, 0)]


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridLogicalClock("a", lambda: 1_000, latest=(1_001 << COUNTER_BITS) - 1)

    stamp = clock.tick()

    assert (milliseconds_in(stamp), counter_in(stamp)) == (1_001, 0)


@given(st.integers(0, MAX_STAMP - 1))
def test_a_tick_is_greater_than_everything_observed(stamp: int) -> None:
    clock = HybridLogicalClock("a", lambda: 1_000, max_drift=None)

    assert clock.observe(stamp)
    assert clock.tick() > stamp


@given(st.lists(st.integers(0, MAX_STAMP), max_size=20), st.integers(0, 10_000))
def test_observing_leads_the_clock_no_further_than_the_drift(stamps: list[int], drift_ms: int) -> None:
    clock = HybridLogicalClock("a", lambda: 1 << 40, max_drift=timedelta(milliseconds=drift_ms))

    for stamp in stamps:
        assert clock.observe(stamp) == (stamp <= clock.limit())

    assert clock.lead <= timedelta(milliseconds=drift_ms)


def test_only_the_future_is_guarded_not_the_past() -> None:
    clock = HybridLogicalClock("a", lambda: 1 << 40, max_drift=timedelta(0))

    assert clock.observe(-(1 << 60))
    assert clock.observe(0)
    assert clock.latest == 0


def test_a_clock_resumes_after_a_restart_behind_its_own_stamps() -> None:
    before = HybridLogicalClock("a", lambda: 5_000)
    last = before.tick()

    assert HybridLogicalClock("a", lambda: 3, latest=before.latest).tick() > last


def test_a_clock_past_the_last_stamp_says_so() -> None:
    with pytest.raises(StampError, match="check its wall clock"):
        HybridLogicalClock("a", lambda: 1 << 43).tick()
    with pytest.raises(StampError, match="'a'"):
        HybridLogicalClock("a", lambda: 0, latest=MAX_STAMP).tick()


def test_bad_arguments_are_refused_with_the_value_named() -> None:
    with pytest.raises(ValueError, match="-1 day"):
        HybridLogicalClock("a", max_drift=timedelta(days=-1))
    with pytest.raises(StampError, match="-2"):
        HybridLogicalClock("a", latest=-2)


def test_the_default_wall_clock_is_this_machines() -> None:
    clock = HybridLogicalClock("a")

    earlier = wall_milliseconds()
    assert earlier <= milliseconds_in(clock.tick()) <= wall_milliseconds()
    assert repr(clock).startswith("HybridLogicalClock('a', latest=")
