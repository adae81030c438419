"""The short ways through the engine count what the long ways count, and nobody is told later than they should be."""

import logging
from typing import Any

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, State, failure_rate, last, seconds, slow_rate
from palaver.breaker.engine import Engine
from palaver.breaker.states import Outcome
from palaver.breaker.testing import FakeClock
from palaver.breaker.tickets import Era, Transition

BATCH = 64
DEFERRED = 1024


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker("db", failure_threshold=2, open_for=30, clock=clock)


def succeed(breaker: CircuitBreaker, clock: FakeClock, seconds: float = 0.0) -> None:
    with breaker.guard():
        clock.advance(seconds)


def fail(breaker: CircuitBreaker) -> None:
    with pytest.raises(OSError, match="gone"), breaker.guard():
        raise OSError("gone")


def test_a_short_success_is_counted_with_its_own_time(breaker: CircuitBreaker, clock: FakeClock) -> None:
    succeed(breaker, clock, 0.25)
    succeed(breaker, clock, 0.5)
    assert breaker.snapshot().latency.seconds == 0.75
    assert breaker.snapshot().last_success_at == 100.75


def test_short_successes_are_collected_when_there_are_enough(breaker: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(BATCH - 1):
        succeed(breaker, clock)
    door = breaker.engine.core.door
    assert door is not None
    assert len(door.samples) == BATCH - 1
    succeed(breaker, clock)
    assert door.samples == []
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == BATCH


def test_rejections_are_collected_when_there_are_enough(breaker: CircuitBreaker) -> None:
    fail(breaker)
    fail(breaker)
    for number in range(BATCH):
        assert len(breaker.engine.core.refused) == number
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
    assert breaker.engine.core.refused == []
    assert sum(breaker.snapshot().rejections.values()) == BATCH


class TrippedMeanwhile(list[float]):
    """Samples of an era that ends while a call puts its own there: another thread was quicker."""

    breaker: CircuitBreaker

    def append(self, value: float, /) -> None:
        self.breaker.force_open()
        super().append(value)


def test_a_success_whose_era_ends_that_moment_is_late_and_not_lost(breaker: CircuitBreaker, clock: FakeClock) -> None:
    door = breaker.engine.core.door
    assert isinstance(door, Era)
    door.samples = samples = TrippedMeanwhile()
    samples.breaker = breaker
    succeed(breaker, clock)
    assert door.samples == []
    assert breaker.snapshot().late_results == 1


def test_the_first_probe_is_announced_before_it_runs(breaker: CircuitBreaker, clock: FakeClock) -> None:
    heard: list[State] = []
    breaker.engine.add_listener(lambda transition: heard.append(transition.after))
    fail(breaker)
    fail(breaker)
    clock.advance(30)
    with breaker.guard():
        assert heard == [State.OPEN, State.HALF_OPEN]


def test_who_is_refused_beside_a_probe_is_told_the_last_failure(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker)
    fail(breaker)
    clock.advance(30)
    with breaker.guard(), pytest.raises(CircuitOpenError) as refused:
        breaker.acquire()
    assert refused.value.state is State.HALF_OPEN
    assert refused.value.last_failure is not None
    assert refused.value.last_failure.message == "gone"


def test_a_fleet_is_woken_by_every_admission_and_result_that_took_the_long_way(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    woken: list[str] = []
    fail(breaker)
    fail(breaker)
    clock.advance(30)
    breaker.engine.share(lambda: woken.append("again"))
    permit = breaker.acquire()
    assert len(woken) == 1
    permit.failure(OSError("gone"))
    assert len(woken) == 2


def test_a_listener_that_raises_is_written_down_and_harms_nobody(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(transition: object) -> None:
        raise RuntimeError("a listener's own affair")

    heard: list[object] = []
    breaker.engine.add_listener(broken)
    breaker.engine.add_listener(heard.append)
    with caplog.at_level(logging.ERROR):
        breaker.force_open()
    assert len(heard) == 1
    assert "a listener's own affair" in caplog.text


def test_a_listener_that_stops_the_program_stops_no_later_news(breaker: CircuitBreaker) -> None:
    def interrupted(transition: Transition) -> None:
        if transition.after is State.OPEN:
            raise KeyboardInterrupt

    heard: list[State] = []
    breaker.engine.add_listener(lambda transition: heard.append(transition.after))
    breaker.engine.add_listener(interrupted)
    with pytest.raises(KeyboardInterrupt):
        breaker.force_open()
    breaker.reset()
    assert heard == [State.OPEN, State.CLOSED]


def test_a_call_that_was_forgotten_is_cancelled_and_took_no_time(clock: FakeClock) -> None:
    slow = slow_rate(1, over=last(5), min_calls=5)
    breaker = CircuitBreaker(trip=slow, slow_after=1, count_cancelled_after=0.5, hang_after=60, clock=clock)
    permit = breaker.acquire()
    clock.advance(10)
    with pytest.warns(ResourceWarning):
        del permit
    snapshot = breaker.snapshot()
    assert (snapshot.outcomes[Outcome.CANCELLED], snapshot.slow_calls, snapshot.in_flight) == (1, 0, 0)


def test_what_the_garbage_collector_drops_is_bounded(breaker: CircuitBreaker) -> None:
    engine: Engine = breaker.engine
    ticket: Any = object()
    for _ in range(DEFERRED + 10):
        engine._defer(ticket, Outcome.CANCELLED, 0.0, 100.0)
    assert len(engine.deferred) == DEFERRED
    engine.deferred.clear()


def test_listeners_hear_transitions_in_order_although_one_of_them_makes_the_next(breaker: CircuitBreaker) -> None:
    heard: list[State] = []
    breaker.engine.add_listener(lambda change: breaker.reset() if change.after is State.OPEN else None)
    breaker.engine.add_listener(lambda change: heard.append(change.after))
    breaker.force_open()
    assert heard == [State.OPEN, State.CLOSED]


def test_a_success_at_the_edge_of_a_slice_belongs_to_the_next_one(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=failure_rate(0.5, over=seconds(10), min_calls=100), clock=clock)
    succeed(breaker, clock)
    clock.advance(1)
    succeed(breaker, clock)
    clock.advance(9)
    assert breaker.snapshot().calls == 1


def test_an_admission_that_finds_a_lease_run_out_has_the_wait_decided_and_told(clock: FakeClock) -> None:
    waits = iter([10.0, 20.0])
    breaker = CircuitBreaker(failure_threshold=1, probe_timeout=4, open_for=lambda _: next(waits), clock=clock)
    told: list[float | None] = []
    breaker.engine.add_listener(lambda change: told.append(change.wait) if change.after is State.OPEN else None)
    fail(breaker)
    clock.advance(10)
    probe = breaker.acquire()
    clock.advance(4.5)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    assert told == [10.0, 20.0]
    probe.release()


def test_a_success_that_had_to_wait_for_the_lock_comes_before_the_failure_after_it(breaker: CircuitBreaker) -> None:
    fail(breaker)
    permit = breaker.acquire()
    with breaker.engine.lock:
        permit.success(elapsed=0.1)
    fail(breaker)
    assert breaker.is_closed, "two failures, but not in a row"


def interrupted(transition: Transition) -> None:
    """A listener that stops the program."""
    raise KeyboardInterrupt


def test_a_probe_that_a_listener_keeps_from_beginning_gives_its_place_back(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    fail(breaker)
    fail(breaker)
    clock.advance(30)
    stop = breaker.listen(interrupted)
    with pytest.raises(KeyboardInterrupt):
        breaker.acquire()
    stop()
    assert breaker.snapshot().in_flight == 0
    succeed(breaker, clock)
    assert breaker.state is State.CLOSED


def test_a_listener_that_stops_the_program_is_heard_by_a_refused_caller_too(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    """There is no ticket then, so there is nothing to give back."""

    fail(breaker)
    fail(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    stop = breaker.listen(interrupted)
    clock.advance(30)  # the lease runs out
    with pytest.raises(KeyboardInterrupt):
        breaker.acquire()
    stop()
    assert (breaker.state, breaker.engine.deferred) == (State.OPEN, [])
    probe.release()


def test_a_forked_process_waits_for_no_lock_and_no_listener_of_the_other_one(breaker: CircuitBreaker) -> None:
    heard: list[State] = []
    breaker.listen(lambda change: heard.append(change.after))
    engine = breaker.engine
    engine.lock.acquire()
    engine._delivering = True
    engine.unlock()
    breaker.force_open()
    assert heard == [State.OPEN]


@pytest.mark.parametrize("close", [False, True])
def test_what_is_given_up_is_slow_after_its_own_time_and_no_sooner(clock: FakeClock, close: bool) -> None:
    slow = slow_rate(1, over=last(5), min_calls=5)
    breaker = CircuitBreaker(trip=slow, slow_after=1, count_cancelled_after=3, clock=clock)
    for took, count in ((2.9, 0), (3.0, 1)):
        permit = breaker.acquire()
        clock.advance(took)
        assert permit.failure(GeneratorExit()) if close else permit.release()
        assert breaker.snapshot().slow_calls == count
