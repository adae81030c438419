"""How long a circuit stays open: exponential, capped, with jitter that is drawn once for each opening.

A strategy is any callable from `OpenContext` to seconds. It is called outside the breaker's lock, once for each
opening.

Sources: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015) for full and equal jitter.
"""

import random as _random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from palaver.breaker.checks import duration, finite, predicate
from palaver.breaker.errors import Failure

Jitter = Literal["full", "equal", "none"]
_JITTERS: Final = ("full", "equal", "none")
_OPEN_FOR: Final = "finite seconds, more than 0, exponential(...) or a callable"


class OpenContext(NamedTuple):
    """What a strategy may look at."""

    attempt: int
    """How often the circuit has opened since it was last stable: 1 for the first time."""
    previous: float | None
    """The wait of the opening before, in seconds; None for the first."""
    name: str | None
    """Name of the breaker."""
    failure: Failure | None
    """The last failure that was recorded."""


OpenFor = Callable[[OpenContext], float]


@dataclass(frozen=True, slots=True)
class Exponential:
    """`base`, `base * factor`, `base * factor**2` … up to `cap`, with jitter. Build it with `exponential()`."""

    base: float
    factor: float
    cap: float
    jitter: Jitter
    random: Callable[[], float] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        duration("exponential: base", self.base)
        wanted = "a finite number of at least 1"
        if finite("exponential: factor", self.factor, wanted) < 1:
            raise ValueError(f"exponential: factor={self.factor!r}: give {wanted}")
        wanted = f"a finite number of at least base, {self.base!r}"
        if finite("exponential: cap", self.cap, wanted) < self.base:
            raise ValueError(f"exponential: cap={self.cap!r}: give {wanted}")
        if self.jitter not in _JITTERS:
            raise ValueError(f"exponential: jitter={self.jitter!r}: give one of {', '.join(_JITTERS)}")
        predicate("exponential: random", self.random, "a function that returns numbers in [0, 1)")

    def ceiling(self, attempt: int) -> float:
        """The wait of this attempt before jitter, in seconds."""
        try:
            return min(self.cap, self.base * float(self.factor) ** (attempt - 1))
        except OverflowError:  # more than any cap
            return self.cap

    def __call__(self, context: OpenContext) -> float:
        """Draw the wait: above 0 and at most `cap` seconds."""
        ceiling = self.ceiling(context.attempt)
        if self.jitter == "none":
            return ceiling
        share = 1.0 - self.random()  # random() is in [0, 1), and a wait of 0 is no wait
        return ceiling * share if self.jitter == "full" else ceiling * (1.0 + share) / 2


@dataclass(frozen=True, slots=True)
class Constant:
    """The same wait every time."""

    base: float

    def __post_init__(self) -> None:
        duration("open_for", self.base)

    def __call__(self, context: OpenContext) -> float:  # noqa: ARG002  # the same whatever happened
        """Return the wait in seconds."""
        return self.base


def exponential(
    base: float = 5.0,
    *,
    factor: float = 2.0,
    cap: float = 300.0,
    jitter: Jitter = "equal",
    random: Callable[[], float] = _random.random,
) -> Exponential:
    """Wait longer each time a circuit opens again before it was stable.

    Args:
        base: Seconds of the first wait, more than 0.
        factor: What each further wait is multiplied by, at least 1.
        cap: The longest wait in seconds, at least `base`.
        jitter: `full` draws from (0, wait], `equal` from (wait/2, wait], `none` takes the wait itself.
        random: Returns numbers in [0, 1).
    """
    return Exponential(base, factor, cap, jitter, random)


def open_for(value: float | OpenFor) -> OpenFor:
    """Turn what an option may hold, a number of seconds or a strategy, into a strategy."""
    if not callable(value):
        return Constant(finite("open_for", value, _OPEN_FOR))
    predicate("open_for", value, _OPEN_FOR)
    return value
