"""What an admission returns, and what is remembered of a change.

A ticket says to which period of the circuit a call belongs. The ticket of a probe is a `Lease`, in `round`.
"""

from typing import Final, NamedTuple

from palaver.breaker.round import Lease
from palaver.breaker.states import Cause, Reason, State
from palaver.breaker.window import Window


class Era:
    """The ticket of a closed period: its window, and the durations of fast successes that wait to be collected."""

    __slots__ = ("edge", "samples", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.samples: list[float] = []
        self.edge = window.edge

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call, and copy the window's edge, so that the fast path finds it without asking."""
        window = self.window
        window.add(now, failed, slow)
        self.edge = window.edge

    def take(self) -> list[float]:
        """Remove and return the samples. Others may append meanwhile; theirs stay."""
        batch = self.samples[:]
        del self.samples[: len(batch)]
        return batch


class InFlight:
    """The ticket of a call that is watched for hanging."""

    __slots__ = ("counted", "era", "started")

    def __init__(self, era: Era, started: float) -> None:
        self.era = era
        self.started = started
        self.counted = False


class Pass:
    """The ticket of a call that shadow or disabled mode lets through unobserved."""

    __slots__ = ()


Ticket = Era | Lease | InFlight | Pass
PASS: Final = Pass()


class Refusal(NamedTuple):
    """Why a call is not admitted, and for how long; None if nobody knows."""

    state: State
    reason: Reason
    retry_after: float | None


class Transition(NamedTuple):
    """One change of state."""

    number: int
    """1 for the first; without gaps."""
    at: float
    """When it was due, in seconds of the breaker's clock."""
    before: State
    """The state that it left."""
    after: State
    """The state that it entered; the same again for a reset, and for who opens what is open."""
    cause: Cause
    """What brought it about."""
    why: str
    """The rule that fired and what it saw, the failure of the probe, or an operator's words."""
    attempt: int
    """The back-off level after the change."""
    wait: float | None
    """Seconds until probes are admitted; None unless it opened for a known time."""
