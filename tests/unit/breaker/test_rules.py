"""Trip rules and the windows they look at: when they fire, what they forget, how they combine."""

from hypothesis import given
from hypothesis import strategies as st

from palaver.breaker import (
    CircuitBreaker,
    State,
    consecutive,
    failure_rate,
    last,
    seconds,
    slow_rate,
)
from palaver.breaker.testing import FakeClock
from palaver.breaker.window import open_window
from tests.unit.breaker.driving import assert_state, fail, succeed


def test_failure_rate_over_the_last_calls(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(0.5, over=last(10), min_calls=4), clock=clock)
    succeed(breaker, 2)
    fail(breaker, 1)
    assert_state(breaker, State.CLOSED)
    fail(breaker, 1)
    assert_state(breaker, State.OPEN)
    assert "50% failed in the last 10 calls" in breaker.history[-1].why


def test_failure_rate_forgets_what_is_older_than_its_window(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(0.5, over=seconds(30), min_calls=4), clock=clock)
    fail(breaker, 3)
    clock.advance(31)
    fail(breaker, 3)
    assert_state(breaker, State.CLOSED)
    fail(breaker)
    assert_state(breaker, State.OPEN)


def test_slow_calls_open_by_their_rate(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=slow_rate(0.5, over=last(10), min_calls=2), slow_after=2, clock=clock)
    breaker.call(lambda: clock.advance(1.99))
    assert_state(breaker, State.CLOSED)
    breaker.call(lambda: clock.advance(2))
    assert_state(breaker, State.OPEN)
    assert breaker.snapshot().slow_calls == 1


def test_rules_combine(clock: FakeClock) -> None:
    both = consecutive(2) & failure_rate(0.5, over=last(10), min_calls=4)
    breaker = CircuitBreaker(trip=both | consecutive(5), clock=clock)
    fail(breaker, 2)
    assert_state(breaker, State.CLOSED)
    succeed(breaker, 1)
    fail(breaker, 1)
    assert_state(breaker, State.CLOSED)
    fail(breaker, 1)
    assert_state(breaker, State.OPEN)


def test_a_count_window_forgets_the_oldest_call_at_a_time(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(1, over=last(3), min_calls=3), clock=clock)
    fail(breaker, 2)
    succeed(breaker, 1)
    assert window(breaker) == (3, 2, 0)
    fail(breaker, 2)
    assert window(breaker) == (3, 2, 0)
    fail(breaker, 1)
    assert_state(breaker, State.OPEN)


def test_a_window_of_time_forgets_a_tenth_at_a_time(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(1, over=seconds(10), min_calls=100), clock=clock)
    for _ in range(10):
        fail(breaker)
        succeed(breaker)
        clock.advance(1)
    seen = []
    for _ in range(11):
        seen.append(window(breaker)[:2])
        clock.advance(1)
    assert seen == [(18 - 2 * n, 9 - n) for n in range(10)] + [(0, 0)]


def test_rules_over_different_spans_each_look_at_their_own(clock: FakeClock) -> None:
    rule = failure_rate(1, over=last(2), min_calls=2) & failure_rate(0.5, over=seconds(60), min_calls=6)
    breaker = CircuitBreaker(trip=rule, clock=clock)
    succeed(breaker, 3)
    fail(breaker, 2)
    assert_state(breaker, State.CLOSED)
    assert window(breaker) == (2, 2, 0)  # of the first rule
    fail(breaker)
    assert_state(breaker, State.OPEN)
    assert breaker.history[-1].why == (
        "100% failed in the last 2 calls, from 2 calls and 50% failed in the last 60 s, from 6 calls (2 of 2, 3 of 6)"
    )


def test_rules_say_what_they_are() -> None:
    rule = consecutive(3) | (slow_rate(0.25, over=seconds(2.5), min_calls=4) & consecutive(1))
    assert str(rule) == "3 failures in a row or (25% slow in the last 2.5 s, from 4 calls and 1 failures in a row)"
    assert str(consecutive(1) & (consecutive(2) | consecutive(3))) == (
        "1 failures in a row and (2 failures in a row or 3 failures in a row)"
    )
    assert (consecutive(1) | consecutive(2)) | consecutive(3) == consecutive(1) | (consecutive(2) | consecutive(3))


def test_a_standing_names_numbers_and_limits(clock: FakeClock) -> None:
    rule = failure_rate(0.5, over=last(10), min_calls=5) & slow_rate(0.5, over=last(10), min_calls=5) | consecutive(9)
    breaker = CircuitBreaker(trip=rule, slow_after=1, clock=clock)
    assert "0 of 0 calls failed in the last 10 calls; opens at 50% of 5 or more; and 0 of 0 calls slow" in (
        breaker.explain()
    )
    fail(breaker)
    succeed(breaker, 3)
    assert "1 of 4 calls failed (25%) in the last 10 calls" in breaker.explain()
    assert "0 of 9 failures in a row" in breaker.explain()


def test_successes_that_nobody_has_collected_yet_count_before_a_failure_is_judged(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(0.5, over=seconds(30), min_calls=1), clock=clock)
    succeed(breaker, 10)
    fail(breaker)
    assert_state(breaker, State.CLOSED)
    assert window(breaker) == (11, 1, 0)


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 9),
    st.sampled_from([2.5, 10.0]),
)
def test_windows_hold_what_a_list_of_calls_holds(calls: list[tuple[int, bool, bool]], size: int, length: float) -> None:
    now, seen = 1000.0, []
    both = open_window((last(size), seconds(length)))
    for quarters, failed, slow in calls:
        now += quarters / 4
        seen.append((now, failed, slow))
        both.add(now, int(failed), int(slow))
        both.look(now)
        young = [call for call in seen if call[0] // (length / 10) > now // (length / 10) - 10]
        for span, held in ((last(size), seen[-size:]), (seconds(length), young)):
            part = both.of(span)
            assert (part.calls, part.failures, part.slow) == (
                len(held),
                sum(call[1] for call in held),
                sum(call[2] for call in held),
            )


def window(breaker: CircuitBreaker) -> tuple[int, int, int]:
    snapshot = breaker.snapshot()
    return snapshot.calls, snapshot.failed, snapshot.slow
