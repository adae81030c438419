"""How often is too often."""

from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.limits import Bucket, Pace, RoomPaces, SlidingWindow, UserWindows, milliseconds

_steps = st.lists(st.floats(0, 0.6, allow_nan=False), max_size=60)


@given(limit=st.integers(1, 6), steps=_steps)
def test_no_window_of_any_phase_holds_more_than_the_limit(limit: int, steps: list[float]) -> None:
    window, now, accepted = SlidingWindow(limit, 1.0), 100.0, list[float]()
    for step in steps:
        now += step
        if window.wait(now) == 0.0:
            window.take(now)
            accepted.append(now)

    for index in range(len(accepted) - limit):
        assert accepted[index + limit] - accepted[index] >= 1.0


@given(limit=st.integers(1, 6), steps=_steps)
def test_a_refused_event_is_accepted_after_the_wait_it_was_told(limit: int, steps: list[float]) -> None:
    window, now = SlidingWindow(limit, 1.0), 100.0
    for step in steps:
        now += step
        wait = window.wait(now)
        if wait > 0.0:
            now += milliseconds(wait) / 1000
        assert window.wait(now) == 0.0
        window.take(now)


@given(limit=st.integers(1, 6), steps=_steps)
def test_to_admit_is_to_take_where_nothing_has_to_wait(limit: int, steps: list[float]) -> None:
    one, other, now = SlidingWindow(limit, 1.0), SlidingWindow(limit, 1.0), 100.0
    for step in steps:
        now += step
        allowed = other.wait(now) == 0.0
        if allowed:
            other.take(now)
        assert one.admit(now) == allowed
        assert one.standing(now) == other.standing(now)


def test_what_is_given_back_does_not_count() -> None:
    window = SlidingWindow(2, 1.0)
    window.take(10.0)
    window.take(10.1)

    window.give_back(10.0)

    assert window.wait(10.2) == 0.0
    assert window.remaining(10.2) == 1


def test_giving_back_what_was_forgotten_changes_nothing() -> None:
    window = SlidingWindow(1, 1.0)
    window.take(10.0)
    window.take(11.5)

    window.give_back(10.0)

    assert window.remaining(11.6) == 0


@given(rate=st.integers(1, 50), burst=st.integers(1, 100), now=st.floats(0, 1e6), ago=st.floats(0, 1e3))
def test_a_bucket_whose_state_is_past_is_empty(rate: int, burst: int, now: float, ago: float) -> None:
    bucket = Bucket(rate, burst)
    assert bucket.wait(now - ago, now) == 0.0
    assert bucket.take(now - ago, now) == now + bucket.interval


@given(rate=st.integers(1, 50), burst=st.integers(1, 100), steps=st.lists(st.floats(0, 0.5), max_size=200))
def test_a_bucket_never_lets_more_than_burst_plus_rate_through(rate: int, burst: int, steps: list[float]) -> None:
    bucket, arrival, now, taken = Bucket(rate, burst), 0.0, 1000.0, list[float]()
    for step in steps:
        now += step
        if bucket.wait(arrival, now) == 0.0:
            arrival = bucket.take(arrival, now)
            taken.append(now)

    for start in range(len(taken)):
        allowed = burst + rate * (taken[-1] - taken[start])
        assert len(taken) - start <= allowed + 1e-6


def test_a_new_guest_from_the_same_address_inherits_the_window_left_behind() -> None:
    windows = UserWindows(2, 1.0)
    for moment in (10.0, 10.1):
        windows.of("old").take(moment)
    windows.leave_behind("old", "1.2.3.4", 10.2)

    windows.take_over("new", "1.2.3.4", 10.3)
    windows.take_over("neighbour", "1.2.3.4", 10.3)

    assert windows.of("new").wait(10.3) > 0.0
    assert windows.of("neighbour").wait(10.3) == 0.0


def test_a_neighbour_who_inherits_a_past_does_not_share_the_future() -> None:
    windows = UserWindows(2, 1.0)
    for moment in (10.0, 10.1):
        windows.of("old").take(moment)
    for moment in (10.2, 10.3):  # gone twice, and back with their session each time
        windows.leave_behind("old", "1.2.3.4", moment)
    windows.take_over("new", "1.2.3.4", 10.4)
    windows.take_over("neighbour", "1.2.3.4", 10.4)

    windows.of("old").take(11.1)
    windows.of("old").take(11.2)

    assert windows.of("neighbour").wait(10.4) == 0.0
    assert windows.of("new").wait(10.4) > 0.0
    assert windows.of("new").wait(11.2) == 0.0


def test_windows_that_weigh_nothing_are_forgotten() -> None:
    windows = UserWindows(2, 1.0)
    windows.of("ada").take(10.0)
    windows.leave_behind("ada", "1.2.3.4", 10.1)

    windows.sweep(11.0)

    assert len(windows) == 0


def test_slow_mode_that_became_shorter_or_longer_binds_who_spoke_before_as_little_as_possible() -> None:
    pace = Pace()
    pace.spoke("ada", 60.0, 10.0)

    assert pace.pause("ada", 60.0, 11.0) == 59.0
    assert pace.pause("ada", 5.0, 11.0) == 4.0
    assert pace.pause("ada", 5.0, 15.0) == 0.0
    assert pace.pause("ada", 600.0, 70.0) == 0.0
    assert pace.pause("bob", 60.0, 11.0) == 0.0


def test_paces_that_weigh_nothing_are_forgotten() -> None:
    paces, bucket = RoomPaces(), Bucket(1.0, 1.0)
    paces.of("slow").spoke("ada", 5.0, 10.0)
    paces.of("busy").arrival = bucket.take(0.0, 10.0)
    paces.of("quiet")

    paces.sweep(10.5)
    assert len(paces) == 2
    paces.sweep(11.0)
    assert len(paces) == 1
    assert paces.of("slow").pause("ada", 5.0, 11.0) == 4.0
    paces.sweep(15.0)
    assert len(paces) == 0
