"""The breaker in the hands of operators, and what it tells: modes, holds, listeners, explanations."""

import functools

import pytest

from palaver.breaker import (
    Cause,
    CircuitBreaker,
    Mode,
    Reason,
    State,
    Transition,
)
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError, assert_state, fail, rejected, succeed


def test_forcing_isolating_disabling_and_resetting(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    breaker.force_open("maintenance")
    clock.advance(10_000)
    error = rejected(breaker)
    assert (error.reason, error.retry_after) == (Reason.FORCED, None)
    breaker.reset()
    succeed(breaker)
    with breaker.isolate():
        with breaker.isolate():
            rejected(breaker)
        rejected(breaker)
    assert_state(breaker, State.HALF_OPEN)
    succeed(breaker)
    assert_state(breaker, State.CLOSED)
    breaker.disable()
    fail(breaker, 10)
    assert (breaker.mode, breaker.state) == (Mode.DISABLED, State.CLOSED)
    breaker.enable()
    fail(breaker)
    rejected(breaker)


def test_one_isolation_may_be_entered_by_several(clock: FakeClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    isolation = breaker.isolate()
    with isolation:
        with isolation:
            rejected(breaker)
        assert rejected(breaker).reason is Reason.FORCED
    assert_state(breaker, State.HALF_OPEN)


def test_leaving_an_isolation_after_a_reset_changes_nothing(clock: FakeClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    with breaker.isolate():
        breaker.reset()
    assert_state(breaker, State.CLOSED)
    assert len(breaker.history) == 2


def test_shadow_mode_changes_state_and_rejects_nobody(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    breaker.shadow()
    fail(breaker)
    assert_state(breaker, State.OPEN)
    succeed(breaker, 3)
    snapshot = breaker.snapshot()
    assert (snapshot.shadowed, snapshot.unobserved) == (3, 3)
    assert snapshot.rejections[Reason.OPEN] == 0


def test_listeners_hear_every_transition_in_order_without_the_lock(clock: FakeClock) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    heard: list[tuple[State, State]] = []

    def listener(transition: Transition) -> None:
        heard.append((transition.before, transition.after))
        assert breaker.snapshot().name is None  # takes the lock, so nobody else may hold it
        raise BoomError("a listener's own fault")

    stop = breaker.listen(listener)
    fail(breaker)
    clock.advance(10)
    succeed(breaker)
    assert heard == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]
    stop()
    fail(breaker)
    assert len(heard) == 3


def test_an_async_listener_is_refused() -> None:
    async def listener(transition: Transition) -> None: ...

    class Listener:
        async def __call__(self, transition: Transition) -> None: ...

    for wrong in (listener, functools.partial(listener), Listener()):
        with pytest.raises(TypeError, match="queue"):
            CircuitBreaker().listen(wrong)


def test_explain_says_where_it_stands_and_why(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", failure_threshold=2, open_for=10, clock=clock)
    fail(breaker)
    assert "1 of 2 failures in a row" in breaker.explain()
    fail(breaker)
    text = breaker.explain()
    assert "Circuit db is open" in text
    assert "2 failures in a row (2 in a row)" in text
    assert "probes begin in 10 s" in text
    assert repr(breaker) == "<CircuitBreaker 'db', open>"


def test_an_isolation_that_a_listener_keeps_from_beginning_holds_nothing() -> None:
    breaker = CircuitBreaker()

    def interrupted(transition: Transition) -> None:
        if transition.cause is Cause.FORCED:
            raise KeyboardInterrupt

    breaker.listen(interrupted)
    with pytest.raises(KeyboardInterrupt), breaker.isolate():
        pytest.fail("it was not entered")
    assert breaker.state is State.HALF_OPEN
