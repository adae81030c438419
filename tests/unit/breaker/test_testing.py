"""What the package ships for other people's tests."""

import pytest

from palaver.breaker import CallRecord, CircuitBreaker, Outcome, Reason, State
from palaver.breaker.testing import FakeClock, Recorder, Scenario, ScriptedError, replay


def test_a_fake_clock_moves_by_advance_only_and_never_back() -> None:
    clock = FakeClock(5)
    assert (clock(), clock()) == (5, 5)
    clock.advance(2.5)
    assert clock() == 7.5
    assert repr(clock) == "FakeClock(7.5)"
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    assert clock() == 7.5


def test_a_scenario_runs_its_lines_in_order() -> None:
    scenario = Scenario(failure_threshold=3, open_for=30)
    scenario.succeed(2).fail(3).expect(State.OPEN).rejected(2, reason=Reason.OPEN).wait(30).cancel()
    scenario.expect(State.HALF_OPEN).succeed(took=0.5).expect(State.CLOSED)
    outcomes = scenario.breaker.snapshot().outcomes
    assert (outcomes[Outcome.SUCCESS], outcomes[Outcome.FAILURE], outcomes[Outcome.CANCELLED]) == (3, 3, 1)
    assert scenario.clock() == 30.5


def test_a_scenario_fails_with_the_breakers_own_explanation() -> None:
    with pytest.raises(AssertionError, match=r"(?s)rejected, but should have been admitted.*is open for"):
        Scenario(failure_threshold=1).fail().succeed()
    with pytest.raises(AssertionError, match="admitted, but should have been rejected"):
        Scenario().rejected()
    with pytest.raises(AssertionError, match="it is closed, not open"):
        Scenario().expect(State.OPEN)
    with pytest.raises(AssertionError, match="rejected for open, not forced"):
        Scenario(failure_threshold=1).fail().rejected(reason=Reason.FORCED)


def test_a_scenario_takes_a_breaker_of_ones_own_with_its_clock() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(failure_threshold=1, failures=OSError, clock=clock)
    Scenario(breaker, clock).fail(5).expect(State.CLOSED).fail(error=OSError()).expect(State.OPEN)
    assert ScriptedError.__name__ in str(Scenario(failure_threshold=1).fail().breaker.snapshot().last_failure)
    with pytest.raises(ValueError, match="comes with its clock"):
        Scenario(breaker)
    with pytest.raises(ValueError, match="with no options"):
        Scenario(breaker, clock, failure_threshold=2)


def test_a_recorder_keeps_the_last_calls_and_stops() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(failure_threshold=9, clock=clock)
    with Recorder(breaker, limit=2) as recorder:
        for took in (1, 2, 3):
            breaker.call(clock.advance, took)
        breaker.acquire().failure(OSError())
    breaker.call(lambda: None)
    assert list(recorder.calls) == [CallRecord(3, 3, Outcome.SUCCESS), CallRecord(6, 0, Outcome.FAILURE)]
    assert breaker.engine.core.door is not None, "the short way is open again"
    with pytest.raises(ValueError, match="limit=0"):
        Recorder(breaker, limit=0)


def test_a_replay_says_what_other_thresholds_would_have_done() -> None:
    ok, bad = Outcome.SUCCESS, Outcome.FAILURE
    night = [CallRecord(float(second), 0.5, bad if 10 <= second < 20 else ok) for second in range(30)]
    lenient = replay(night, failure_threshold=100)
    assert (lenient.admitted, lenient.rejected, lenient.transitions) == (30, 0, ())
    strict = replay(reversed(night), failure_threshold=3, open_for=5)
    # Opens at 12.5, probes at 18 and fails, is open until 23.5, probes at 24.
    assert (strict.spared_failures, strict.lost_successes) == (6, 4)
    assert (strict.admitted, strict.rejected) == (20, 10)
    assert [change.at for change in strict.transitions if change.after is State.OPEN] == [12.5, 18.5]


def test_a_replay_keeps_overlapping_calls_overlapping_and_knows_neutral_ends() -> None:
    together = [CallRecord(0.0, 10.0 - number, Outcome.FAILURE) for number in range(4)]
    assert replay(together, failure_threshold=2).admitted == 4
    apart = [CallRecord(20.0 * number, 1.0, Outcome.UNREACHABLE) for number in range(4)]
    assert replay(apart, failure_threshold=2, open_for=1000).spared_failures == 2
    neutral = [CallRecord(float(number), 0.1, Outcome.CANCELLED) for number in range(9)]
    assert replay(neutral, failure_threshold=1).rejected == 0
    assert replay([], failure_threshold=1) == (0, 0, 0, 0, ())
