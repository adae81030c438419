"""The breaker as its users see it: admission, outcomes, recovery."""

import asyncio
import contextlib

import pytest

from palaver.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Outcome,
    Reason,
    State,
    WrongKindError,
    exponential,
)
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError, assert_state, fail, rejected, succeed


def test_a_new_breaker_is_closed_and_passes_results_through(clock: FakeClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    assert_state(breaker, State.CLOSED)
    succeed(breaker, 3)
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 3


def test_it_opens_exactly_at_the_threshold(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", failure_threshold=3, open_for=10, clock=clock)
    fail(breaker, 2)
    assert_state(breaker, State.CLOSED)
    fail(breaker)
    assert_state(breaker, State.OPEN)
    error = rejected(breaker)
    assert (error.name, error.state, error.reason, error.retry_after) == ("db", State.OPEN, Reason.OPEN, 10.0)
    assert error.last_failure is not None
    assert error.last_failure.message == "no"
    assert error.last_failure.kind.endswith("BoomError")


def test_a_success_between_failures_resets_the_streak(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=3, clock=clock)
    fail(breaker, 2)
    succeed(breaker)
    fail(breaker, 2)
    assert_state(breaker, State.CLOSED)


def test_the_original_exception_comes_out_on_the_call_that_opens(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, clock=clock)
    original = BoomError("the very object")

    def raises() -> None:
        raise original

    with pytest.raises(BoomError) as caught:
        breaker.call(raises)
    assert caught.value is original
    assert caught.value.__cause__ is None
    assert_state(breaker, State.OPEN)


def test_after_the_wait_one_probe_decides(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    fail(breaker)
    clock.advance(9.99)
    assert_state(breaker, State.OPEN)
    clock.advance(0.01)
    assert_state(breaker, State.HALF_OPEN)
    succeed(breaker)
    assert_state(breaker, State.CLOSED)


def test_a_failed_probe_opens_again_and_the_next_call_is_rejected(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    fail(breaker)
    clock.advance(10)
    fail(breaker)
    assert_state(breaker, State.OPEN)
    assert rejected(breaker).retry_after == 10


def test_probes_beyond_the_limit_are_rejected_with_the_time_the_lease_has_left(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, probe_timeout=4, clock=clock)
    fail(breaker)
    clock.advance(10)
    permit = breaker.acquire()
    clock.advance(1)
    error = rejected(breaker)
    assert (error.reason, error.state, error.retry_after) == (Reason.PROBE_LIMIT, State.HALF_OPEN, 3.0)
    assert permit.success()


def test_a_hung_probe_loses_its_lease_and_its_late_result_moves_nothing(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, probe_timeout=4, clock=clock)
    fail(breaker)
    clock.advance(10)
    hung = breaker.acquire()
    clock.advance(4)
    assert_state(breaker, State.OPEN)
    assert breaker.retry_after == 10
    hung.success()
    assert_state(breaker, State.OPEN)
    assert breaker.snapshot().late_results == 1
    clock.advance(10)
    succeed(breaker)
    assert_state(breaker, State.CLOSED)


def test_a_lease_ends_at_its_deadline_however_late_anybody_looks(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, probe_timeout=4, clock=clock)
    fail(breaker)
    clock.advance(10)
    lost = breaker.acquire()
    clock.advance(100)
    assert_state(breaker, State.HALF_OPEN)
    assert breaker.history[-1].at == 1014.0
    succeed(breaker)
    assert lost.success()
    assert breaker.snapshot().late_results == 1


def test_back_off_is_exact_capped_and_not_reset_by_one_lucky_probe(clock: FakeClock) -> None:
    strategy = exponential(5, factor=2, cap=60, jitter="none")
    breaker = CircuitBreaker(failure_threshold=1, open_for=strategy, clock=clock)
    waits = []
    for _ in range(6):
        fail(breaker)
        waits.append(breaker.retry_after)
        clock.advance(waits[-1] or 0)
        succeed(breaker)
    assert waits == [5, 10, 20, 40, 60, 60]
    clock.advance(60)
    assert breaker.snapshot().attempt == 0
    fail(breaker)
    assert breaker.retry_after == 5


def test_jitter_is_drawn_once_for_each_opening(clock: FakeClock) -> None:
    draws: list[float] = []

    def random() -> float:
        draws.append(0.5)
        return 0.5

    breaker = CircuitBreaker(failure_threshold=1, open_for=exponential(10, jitter="full", random=random), clock=clock)
    fail(breaker)
    assert {rejected(breaker).retry_after for _ in range(50)} == {5.0}
    assert draws == [0.5]


def test_cancellation_is_neutral_in_every_state(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    fail(breaker, 3, asyncio.CancelledError)
    assert_state(breaker, State.CLOSED)
    fail(breaker)
    clock.advance(10)
    fail(breaker, 1, asyncio.CancelledError)
    assert_state(breaker, State.HALF_OPEN)
    fail(breaker, 1, KeyboardInterrupt)
    succeed(breaker)
    assert_state(breaker, State.CLOSED)
    assert breaker.snapshot().outcomes[Outcome.CANCELLED] == 5


def test_what_is_not_a_failure_never_closes_a_circuit(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, failures=BoomError, clock=clock)
    fail(breaker, 5, ValueError)
    fail(breaker)
    clock.advance(10)
    fail(breaker, 1, ValueError)
    assert_state(breaker, State.HALF_OPEN)


def test_results_of_an_earlier_state_move_nothing_and_are_counted(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    good, bad = breaker.acquire(), breaker.acquire()
    fail(breaker)
    good.success()
    assert_state(breaker, State.OPEN)
    clock.advance(10)
    probe = breaker.acquire()
    bad.failure(BoomError())
    assert_state(breaker, State.HALF_OPEN)
    probe.success()
    assert_state(breaker, State.CLOSED)
    assert breaker.snapshot().late_results == 2


def test_a_probe_of_an_earlier_round_neither_closes_nor_frees_a_place(clock: FakeClock) -> None:
    breaker = CircuitBreaker(
        failure_threshold=1, open_for=10, probes=2, probe_concurrency=2, close_after=2, clock=clock
    )
    fail(breaker)
    clock.advance(10)
    old, failing = breaker.acquire(), breaker.acquire()
    failing.failure(BoomError())
    clock.advance(10)
    first, second = breaker.acquire(), breaker.acquire()
    old.success()
    assert rejected(breaker).reason is Reason.PROBE_LIMIT
    first.success()
    assert_state(breaker, State.HALF_OPEN)
    second.success()
    assert_state(breaker, State.CLOSED)


def test_results_can_be_failures(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=2, failure_results=lambda status: status >= 500, clock=clock)
    assert breaker.call(lambda: 500) == 500
    assert breaker.call(lambda: 200) == 200
    assert [breaker.call(lambda: 503), breaker.call(lambda: 502)] == [503, 502]
    assert_state(breaker, State.OPEN)


def test_a_servers_wish_lengthens_the_wait_up_to_its_cap(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, retry_after_cap=300, clock=clock)
    breaker.acquire().failure(BoomError(), retry_after=120)
    assert breaker.retry_after == 120
    breaker.reset()
    breaker.acquire().failure(BoomError(), retry_after=86400)
    assert breaker.retry_after == 300
    breaker.reset()
    breaker.acquire().failure(BoomError(), retry_after=1)
    assert breaker.retry_after == 10


def test_hanging_calls_open_the_circuit_before_they_return(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=3, hang_after=5, clock=clock)
    hanging = [breaker.acquire() for _ in range(3)]
    clock.advance(4.9)
    assert breaker.acquire().release()
    clock.advance(0.1)
    assert rejected(breaker).reason is Reason.OPEN
    for permit in hanging:
        permit.success()
    assert breaker.snapshot().hung_calls == 3
    assert_state(breaker, State.OPEN)


def test_a_ramp_admits_a_growing_share_after_recovery(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, ramp=10, clock=clock)
    fail(breaker)
    clock.advance(10)
    succeed(breaker)

    def admitted() -> int:
        before = breaker.snapshot().rejections[Reason.RAMP]
        for _ in range(100):
            with contextlib.suppress(CircuitOpenError):
                breaker.call(lambda: None)
        return 100 - (breaker.snapshot().rejections[Reason.RAMP] - before)

    assert admitted() == 10 or admitted() == 11
    clock.advance(5)
    assert 54 <= admitted() <= 56
    clock.advance(5)
    assert admitted() == 100
    assert breaker.snapshot().rejections[Reason.RAMP] > 0


def test_a_plain_function_that_returns_a_coroutine_is_an_error(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, clock=clock)

    async def work() -> int:
        return 1

    def plain() -> object:
        return work()

    with pytest.raises(WrongKindError, match="async def"):
        breaker.call(plain)
    with pytest.raises(WrongKindError, match="async def"):
        breaker(plain)()
    assert_state(breaker, State.CLOSED)


async def test_acall_awaits_and_refuses_what_cannot_be_awaited(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, clock=clock)

    async def work(value: int) -> int:
        return value

    assert await breaker.acall(work, 3) == 3

    def not_async() -> int:
        return 3

    with pytest.raises(WrongKindError, match="use call"):
        await breaker.acall(not_async)  # type: ignore[arg-type]  # what the checker forbids must fail at run time too
    assert_state(breaker, State.CLOSED)


def test_a_forgotten_probe_gives_its_place_back_and_warns(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", failure_threshold=1, open_for=10, clock=clock)
    fail(breaker)
    clock.advance(10)
    permit = breaker.acquire()
    with pytest.warns(ResourceWarning, match="'db' was never settled"):
        del permit
    succeed(breaker)
    assert_state(breaker, State.CLOSED)
