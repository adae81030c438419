"""A script for a breaker: what happens, when, and what must hold, in the order of the lines."""

from typing import Self, Unpack

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.config import Options
from palaver.breaker.errors import CircuitOpenError
from palaver.breaker.permit import Permit
from palaver.breaker.states import Reason, State
from palaver.breaker.testing.clock import FakeClock


class ScriptedError(Exception):
    """What a scripted call fails with, unless the script says otherwise."""


class Scenario:
    """Runs calls against a breaker on a fake clock. Every step returns the scenario, so that steps can be chained.

    Example:
        Scenario(failure_threshold=3, open_for=30).fail(3).rejected().wait(30).succeed().expect(State.CLOSED)

    Args:
        breaker: The breaker under test, on `clock`. None makes one from the options.
        clock: The clock that `wait` and `took` advance.
        **options: Options of the breaker that is made.
    """

    def __init__(
        self, breaker: CircuitBreaker | None = None, clock: FakeClock | None = None, **options: Unpack[Options]
    ) -> None:
        if breaker is not None and (clock is None or options):
            raise ValueError("a breaker of your own comes with its clock, and with no options")
        self.clock = clock if clock is not None else FakeClock()
        self.breaker = breaker if breaker is not None else CircuitBreaker("scenario", clock=self.clock, **options)

    def succeed(self, times: int = 1, *, took: float = 0.0) -> Self:
        """Make calls that are admitted and succeed after `took` seconds."""
        for _ in range(times):
            self._admitted(took).success()
        return self

    def fail(self, times: int = 1, *, took: float = 0.0, error: BaseException | None = None) -> Self:
        """Make calls that are admitted and raise `error` after `took` seconds."""
        for _ in range(times):
            self._admitted(took).failure(error or ScriptedError("scripted"))
        return self

    def cancel(self, times: int = 1, *, took: float = 0.0) -> Self:
        """Make calls that are admitted and given up after `took` seconds."""
        for _ in range(times):
            self._admitted(took).release()
        return self

    def rejected(self, times: int = 1, *, reason: Reason | None = None) -> Self:
        """Make calls that must be rejected, for this reason if one is given."""
        for _ in range(times):
            try:
                permit = self.breaker.acquire()
            except CircuitOpenError as error:
                self._check(reason is None or error.reason is reason, f"rejected for {error.reason}, not {reason}")
            else:
                permit.release()
                self._check(False, "the call was admitted, but should have been rejected")  # it is wrong
        return self

    def wait(self, seconds: float) -> Self:
        """Let time pass."""
        self.clock.advance(seconds)
        return self

    def expect(self, state: State) -> Self:
        """Demand a state."""
        self._check(self.breaker.state is state, f"it is {self.breaker.state}, not {state}")
        return self

    def _admitted(self, took: float) -> Permit:
        try:
            permit = self.breaker.acquire()
        except CircuitOpenError as error:
            raise AssertionError(self._text(f"the call was rejected, but should have been admitted: {error}")) from None
        self.clock.advance(took)
        return permit

    def _check(self, holds: bool, otherwise: str) -> None:  # an assertion with a text
        if not holds:
            raise AssertionError(self._text(otherwise))

    def _text(self, otherwise: str) -> str:
        return f"at {self.clock():g} s {otherwise}\n{self.breaker.explain()}"
