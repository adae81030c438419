"""How many calls a provider gets, and when; the time is a parameter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.failures import Failure, FailureKind
from palaver.review.throttle import LONGEST_GUARD_WAIT_SECONDS, Throttle

BUSY = Failure("overloaded")


def test_it_starts_at_its_ceiling_and_lets_no_more_through() -> None:
    throttle = Throttle(2)

    throttle.start()
    assert throttle.free(0.0)
    throttle.start()
    assert not throttle.free(0.0)


def test_calls_that_failed_together_halve_the_limit_once() -> None:
    throttle = Throttle(8)
    for _ in range(4):
        throttle.start()
    for _ in range(4):
        throttle.end(started=0.0, now=1.0, failure=BUSY)

    assert throttle.limit == 4.0


def test_successes_bring_the_limit_back_and_not_beyond_the_ceiling() -> None:
    throttle = Throttle(4)
    throttle.start()
    throttle.end(0.0, 1.0, BUSY)
    for _ in range(30):
        throttle.start()
        throttle.end(2.0, 3.0, None)

    assert throttle.limit == 4.0


def test_retry_after_is_kept_even_if_another_call_succeeds() -> None:
    throttle = Throttle(4)
    throttle.start()
    throttle.start()
    throttle.end(0.0, 1.0, Failure("rate_limited", retry_after_seconds=5.0))
    throttle.end(0.0, 1.5, None)

    assert not throttle.free(5.9)
    assert throttle.free(6.0)


def test_an_open_guard_is_asked_again_soon_and_a_success_ends_the_wait() -> None:
    throttle = Throttle(4)
    throttle.start()
    throttle.start()
    throttle.end(0.0, 1.0, Failure("waiting", retry_after_seconds=30.0))

    assert not throttle.free(1.5)
    assert throttle.free(1.0 + LONGEST_GUARD_WAIT_SECONDS)
    throttle.end(0.0, 1.2, None)
    assert throttle.free(1.2)


def test_pauses_grow_while_nothing_comes_through() -> None:
    throttle = Throttle(1, first_backoff_seconds=1.0)
    pauses = []
    now = 0.0
    for _ in range(8):
        throttle.start()
        throttle.end(now, now, BUSY)
        pauses.append(throttle.not_before - now)
        now = throttle.not_before + 0.1

    assert pauses == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0])


@given(st.lists(st.tuples(st.sampled_from(["overloaded", "rate_limited", "empty", None]), st.floats(0, 10))))
def test_the_limit_stays_between_one_and_the_ceiling(ends: list[tuple[FailureKind | None, float]]) -> None:
    throttle, now = Throttle(6), 0.0
    for kind, passed in ends:
        throttle.start()
        throttle.end(now, now + passed, None if kind is None else Failure(kind))
        now += passed
        assert 1.0 <= throttle.limit <= 6.0
        assert throttle.under_way == 0
