"""The breaker against the oracle: any sequence of calls, times and commands, on any options."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from palaver.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Permit,
    Rule,
    State,
    consecutive,
    exponential,
    failure_rate,
    last,
    seconds,
    slow_rate,
)
from palaver.breaker.permit import Isolation
from palaver.breaker.states import TRANSITIONS
from palaver.breaker.testing import FakeClock
from tests.property.breaker.oracle import BASE, CAP, RETRY_CAP, Oracle, Settings, Ticket

SLOW_AFTER = 2.0
Call = tuple[Permit, Ticket]

# Times are multiples of a quarter, so that both sides compute with exact numbers.
moments = st.integers(0, 80).map(lambda quarters: quarters / 4)
rates = st.sampled_from([(0.5, 2), (0.5, 4), (1.0, 1), (0.3, 3)])


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    close_after = draw(st.integers(1, 3))
    probes = draw(st.integers(close_after, 4))
    consecutive_failures = draw(st.sampled_from([None, 1, 2, 3]))
    rate = draw(st.none() | rates) if consecutive_failures is not None else draw(rates)
    return Settings(
        consecutive=consecutive_failures,
        rate=rate,
        slow_rate=draw(st.none() | rates),
        together=draw(st.booleans()),
        seconds=draw(st.sampled_from([None, 2.5, 10.0])),
        last=draw(st.integers(4, 9)),
        close_after=close_after,
        probes=probes,
        concurrency=draw(st.integers(1, probes)),
        probe_timeout=draw(st.sampled_from([1.0, 4.0, 30.0])),
        stable_after=draw(st.sampled_from([None, 0.0, 7.0])),
    )


def trip_rule(wanted: Settings) -> Rule:
    over = last(wanted.last) if wanted.seconds is None else seconds(wanted.seconds)
    rules: list[Rule] = []
    if wanted.consecutive is not None:
        rules.append(consecutive(wanted.consecutive))
    if wanted.rate is not None:
        rules.append(failure_rate(wanted.rate[0], over=over, min_calls=wanted.rate[1]))
    if wanted.slow_rate is not None:
        rules.append(slow_rate(wanted.slow_rate[0], over=over, min_calls=wanted.slow_rate[1]))
    combined = rules[0]
    for one in rules[1:]:
        combined = combined & one if wanted.together else combined | one
    return combined


class Machine(RuleBasedStateMachine):
    """Does the same to both, and compares everything that can be seen after each step."""

    calls = Bundle("calls")
    isolations = Bundle("isolations")

    @initialize(wanted=any_settings())
    def begin(self, wanted: Settings) -> None:
        self.clock = FakeClock(1000.0)
        self.slow_after = SLOW_AFTER if wanted.slow_rate is not None else float("inf")
        self.breaker = CircuitBreaker(
            "machine",
            clock=self.clock,
            trip=trip_rule(wanted),
            open_for=exponential(BASE, factor=2, cap=CAP, jitter="none"),
            probes=wanted.probes,
            probe_concurrency=wanted.concurrency,
            close_after=wanted.close_after,
            probe_timeout=wanted.probe_timeout,
            stable_after=wanted.stable_after,
            slow_after=None if wanted.slow_rate is None else SLOW_AFTER,
            retry_after_cap=RETRY_CAP,
            history=10_000,
        )
        self.oracle = Oracle(wanted, self.clock())
        self.open_permits: list[Permit] = []
        self.entered = 0

    def tick(self, duration: float) -> None:
        self.clock.advance(duration)
        self.oracle.pass_time(self.clock())

    @rule(duration=moments)
    def time_passes(self, duration: float) -> None:
        self.tick(duration)

    @rule(target=calls)
    def a_call_begins(self) -> object:
        expected = self.oracle.ask()
        if isinstance(expected, str):
            with pytest.raises(CircuitOpenError) as caught:
                self.breaker.acquire()
            assert caught.value.reason == expected
            return multiple()
        permit = self.breaker.acquire()
        self.open_permits.append(permit)
        return permit, expected

    @rule(call=consumes(calls), outcome=st.sampled_from(["success", "failure", "cancelled"]), asked=st.none() | moments)
    def a_call_ends(self, call: Call, outcome: str, asked: float | None) -> None:
        permit, ticket = call
        if outcome == "success":
            permit.success()
        elif outcome == "failure":
            permit.failure(ValueError("no"), retry_after=asked)
        else:
            permit.release()
        self.oracle.end(ticket, outcome, self.slow_after, asked if outcome == "failure" else None)

    @rule(count=st.integers(1, 150), fails=st.booleans(), took=st.sampled_from([0.0, 0.25, 2.0]))
    def whole_calls_by_the_decorator(self, count: int, fails: bool, took: float) -> None:
        """Through the wrapper, so that the way without the lock and its batches are compared too."""

        def work() -> None:
            self.tick(took)
            if fails:
                raise ValueError("no")

        guarded = self.breaker(work)
        for _ in range(1 if fails else count if took == 0 else 3):
            expected = self.oracle.ask()
            if isinstance(expected, str):
                with pytest.raises(CircuitOpenError):
                    guarded()
            elif fails:
                with pytest.raises(ValueError, match="no"):
                    guarded()
                self.oracle.end(expected, "failure", self.slow_after, None)
            else:
                guarded()
                self.oracle.end(expected, "success", self.slow_after, None)

    @rule()
    def an_operator_opens(self) -> None:
        self.breaker.force_open()
        self.oracle.force()

    @rule()
    def an_operator_resets(self) -> None:
        self.breaker.reset()
        self.oracle.reset()

    @rule(target=isolations)
    def an_isolation_begins(self) -> tuple[Isolation, int]:
        self.entered += 1
        self.oracle.force(self.entered)
        return self.breaker.isolate().__enter__(), self.entered

    @rule(isolation=consumes(isolations))
    def an_isolation_ends(self, isolation: tuple[Isolation, int]) -> None:
        isolation[0].__exit__(None, None, None)
        self.oracle.let_go(isolation[1])

    @rule(mode=st.sampled_from(["normal", "normal", "shadow", "disabled"]))
    def the_mode_changes(self, mode: str) -> None:
        {"normal": self.breaker.enable, "shadow": self.breaker.shadow, "disabled": self.breaker.disable}[mode]()
        self.oracle.mode = mode

    @precondition(lambda self: self.oracle.place == "open")
    @rule()
    def the_wait_ends(self) -> None:
        self.tick(max(0.0, self.oracle.until - self.clock()))

    @precondition(lambda self: self.oracle.probes_out)
    @rule()
    def a_lease_ends(self) -> None:
        self.tick(min(ticket.deadline for ticket in self.oracle.probes_out) - self.clock())

    @invariant()
    def what_can_be_seen_is_the_same(self) -> None:
        if not hasattr(self, "oracle"):
            return
        oracle, seen = self.oracle, self.breaker.snapshot()
        calls = oracle.in_window()
        assert seen.state == oracle.seen()
        assert seen.retry_after == oracle.retry_after()
        assert (seen.calls, seen.failed, seen.slow) == (
            len(calls),
            sum(failed for _, failed, _ in calls),
            sum(slow for _, _, slow in calls),
        )
        assert {name: seen.outcomes[name] for name in oracle.outcomes} == oracle.outcomes  # type: ignore[index]  # the members are strings
        assert {name: seen.rejections[name] for name in oracle.rejections} == oracle.rejections  # type: ignore[index]  # the members are strings
        assert (seen.streak, seen.opens, seen.late_results) == (oracle.streak, oracle.opens, oracle.late)
        assert (seen.shadowed, seen.unobserved, seen.mode) == (oracle.shadowed, oracle.unobserved, oracle.mode)
        assert seen.attempt == (0 if oracle.stable() else oracle.level)
        assert seen.in_flight == len(oracle.probes_out) <= oracle.settings.concurrency

    @invariant()
    def every_transition_is_legal_numbered_and_in_time(self) -> None:
        if not hasattr(self, "breaker"):
            return
        before, moment = State.CLOSED, 1000.0
        for number, transition in enumerate(self.breaker.history, 1):
            assert (transition.number, transition.before) == (number, before)
            assert TRANSITIONS[transition.before, transition.cause] is transition.after
            assert moment <= transition.at <= self.clock()
            before, moment = transition.after, transition.at

    def teardown(self) -> None:
        for permit in getattr(self, "open_permits", []):
            permit.release()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class LongMachine(Machine):
    """The same with many more and longer runs."""


TestMachineForLong = LongMachine.TestCase
TestMachineForLong.settings = settings(max_examples=10_000, stateful_step_count=60, deadline=None)
TestMachineForLong.pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]  # type: ignore[attr-defined]  # pytest reads it
