"""What is said to programs and people: what settling returns, what is logged, what errors are called."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from palaver.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Reason,
    State,
    exponential,
    failure_rate,
    last,
    seconds,
    slow_rate,
)
from palaver.breaker.classify import Classifier, checked, result_fails
from palaver.breaker.permit import Permit
from palaver.breaker.states import Outcome
from palaver.breaker.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


SETTLE: list[Callable[[Permit], bool]] = [Permit.success, Permit.failure, Permit.release]


@pytest.mark.parametrize("first", SETTLE)
@pytest.mark.parametrize("second", SETTLE)
def test_settling_says_whether_it_settled(first: Callable[[Permit], bool], second: Callable[[Permit], bool]) -> None:
    permit = CircuitBreaker().acquire()
    assert first(permit) is True
    assert second(permit) is False


def test_a_settling_with_a_time_of_its_own_says_so_too() -> None:
    permit = CircuitBreaker().acquire()
    assert permit.success(elapsed=1.5) is True
    assert permit.success(elapsed=1.5) is False


def test_an_isolation_says_why(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", clock=clock)
    with breaker.isolate("the migration runs"), pytest.raises(CircuitOpenError):
        breaker.acquire()
    assert breaker.history[0].why == "the migration runs"


def test_a_probe_that_renews_its_lease_outlives_it(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, probe_timeout=5, clock=clock)
    breaker.acquire().failure()
    clock.advance(10)
    probe = breaker.acquire()
    clock.advance(4)
    probe.renew()
    clock.advance(4)
    assert probe.success()
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().late_results == 0


def test_a_removed_observer_sees_nothing_and_the_others_do() -> None:
    breaker = CircuitBreaker()
    one: list[object] = []
    two: list[object] = []
    remove = breaker.engine.add_observer(one.append)
    breaker.engine.add_observer(two.append)
    remove()
    breaker.acquire().success()
    assert (len(one), len(two)) == (0, 1)


def test_a_warning_of_a_forgotten_permit_points_at_who_forgot_it() -> None:
    with pytest.warns(ResourceWarning, match="never settled") as warned:
        del_here()
    assert (warned[0].filename, warned[0].lineno) == (__file__, del_here.__code__.co_firstlineno + 2)


def del_here() -> None:
    permit = CircuitBreaker().acquire()
    del permit


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (lambda _context: 1 / 0, "open_for of breaker 'db' raised; waiting "),
        (lambda _context: -1.0, "open_for of breaker 'db' returned -1.0; waiting "),
    ],
)
def test_a_strategy_that_cannot_be_used_is_logged(
    strategy: Callable[[object], float], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = CircuitBreaker("db", failure_threshold=1, open_for=strategy)
    with caplog.at_level(logging.ERROR):
        breaker.acquire().failure()
    assert said in caplog.text
    assert breaker.state is State.OPEN


def test_a_predicate_over_results_that_raises_is_logged_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert result_fails(lambda result: result == 1 // 0, 1) is False
    assert "failure_results raised; the result counts as a success" in caplog.text


def test_a_predicate_over_exceptions_that_raises_is_logged_with_what_it_leads_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(error: BaseException) -> bool:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR):
        assert Classifier(broken, (), ())(OSError()) is Outcome.FAILURE
    assert "raised; counts as a failure" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        assert Classifier((Exception,), broken, ())(OSError()) is Outcome.FAILURE
    assert "raised; no match" in caplog.text


def test_a_predicate_is_accepted_as_it_is() -> None:
    def timed_out(error: BaseException) -> bool:
        return isinstance(error, TimeoutError)

    assert checked("failures", timed_out) is timed_out
    classify = Classifier(checked("failures", timed_out), (), ())
    assert (classify(TimeoutError()), classify(ValueError())) == (Outcome.FAILURE, Outcome.IGNORED)


def test_the_cap_is_reached_where_the_power_reaches_it() -> None:
    waits = exponential(2, factor=2, cap=16, jitter="none")
    assert [waits.ceiling(attempt) for attempt in range(1, 7)] == [2, 4, 8, 16, 16, 16]
    assert exponential(0.5, factor=3, cap=100).ceiling(10_000) == 100


def test_a_base_below_a_second_grows_like_any_other() -> None:
    waits = exponential(0.1, factor=10, cap=5, jitter="none")
    assert [waits.ceiling(attempt) for attempt in range(1, 5)] == [0.1, 1, 5, 5]


def test_a_power_that_no_float_holds_is_the_cap() -> None:
    assert exponential(1e-200, factor=2, cap=1e200).ceiling(10**9) == 1e200
    assert exponential(1, factor=10, cap=1e200).ceiling(10**9) == 1e200


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: failure_rate(2, over=last(10), min_calls=5), "failure_rate(2): give a share above 0 and up to 1"),
        (lambda: slow_rate(0, over=last(10), min_calls=5), "slow_rate(0): give a share above 0 and up to 1"),
        (lambda: failure_rate(0.5, over=last(10), min_calls=11), "failure_rate(min_calls=11): "),
        (lambda: failure_rate(0.5, over=last(10), min_calls=0), "failure_rate: min_calls"),
    ],
)
def test_a_rate_that_cannot_work_is_refused_by_its_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


def test_every_call_may_fail_and_as_many_may_be_asked_for_as_the_window_holds() -> None:
    assert failure_rate(1, over=last(10), min_calls=10) is not None


@pytest.mark.parametrize("share", [-0.01, 1.01, 1.5, 50])
def test_a_quantile_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="give a share from 0 to 1"):
        CircuitBreaker().snapshot().latency.quantile(share)


def test_each_rejection_counts_once_by_its_reason(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    breaker.acquire().failure()
    rejected(breaker)
    clock.advance(10)
    probe = breaker.acquire()
    rejected(breaker)
    probe.release()
    breaker.force_open()
    rejected(breaker)
    counts = breaker.snapshot().rejections
    assert (counts[Reason.OPEN], counts[Reason.PROBE_LIMIT], counts[Reason.FORCED]) == (1, 1, 1)


def rejected(breaker: CircuitBreaker) -> None:
    with pytest.raises(CircuitOpenError):
        breaker.acquire()


@pytest.mark.parametrize(
    "make",
    [lambda: last(0), lambda: last(-1), lambda: seconds(0), lambda: seconds(-1.0), lambda: seconds(9e-7)],
)
def test_a_window_holds_something(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"^(last: size|seconds: length)"):
        make()


def test_the_shortest_window_of_time_works_with_any_clock() -> None:
    for now in (1e-9, 1.0, 1e9):
        window = seconds(1e-6).open()
        window.add(now, 1, 0)
        assert (window.calls, window.failures) == (1, 1)
        assert window.edge > now


@pytest.mark.parametrize("elapsed", [-1, float("nan"), float("inf"), "1", True])
def test_a_permit_takes_no_time_that_is_none_and_stays_unsettled(elapsed: Any) -> None:
    breaker = CircuitBreaker()
    permit = breaker.acquire()
    with pytest.raises((TypeError, ValueError), match="elapsed="):
        permit.success(elapsed=elapsed)
    with pytest.raises((TypeError, ValueError), match="retry_after="):
        permit.failure(None, retry_after=elapsed)
    assert not permit.settled
    assert permit.success(elapsed=0)
    assert breaker.acquire().failure(None, retry_after=0)
