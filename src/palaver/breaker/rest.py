"""How long a circuit rests when it opens: the back-off level, the wait, and what the server has asked for.

The wait is decided outside, because the strategy is user code that must not run under the lock. So an opening is
*pending*: `begin` sets a provisional wait, `claim` hands the opening to whoever will ask the strategy, and `decide`
sets the wait.
"""

from math import inf
from typing import Final, NamedTuple

from palaver.breaker.tickets import Transition

_PROVISIONAL: Final = 1.0  # seconds; in force until the strategy has answered, which takes microseconds, or never does


class Opening(NamedTuple):
    """An opening whose wait has not been decided."""

    transition: Transition
    previous: float | None
    """The wait of the opening before, if the circuit was not stable in between."""
    asked: float
    """How long the server asked to be left alone, from the opening on; below 0 if that is over, or was never."""


class Rest:
    """The waits of one circuit."""

    __slots__ = ("_asked_until", "_cap", "_unclaimed", "attempt", "pending", "until", "wait")

    def __init__(self, cap: float) -> None:
        self._cap = cap
        self._asked_until = -inf
        self.attempt = 0
        self.wait: float | None = None
        self.until = -inf
        self.pending: Opening | None = None
        self._unclaimed: Opening | None = None

    def ask(self, until: float) -> None:
        """Note until when the server wants to be left alone."""
        self._asked_until = max(self._asked_until, until)

    def begin(self, now: float, *, stable: bool) -> None:
        """Count one opening more, or the first one if the circuit was stable, and wait provisionally."""
        if stable:
            self.forget()
        self.attempt += 1
        self.until = now + (self.wait or _PROVISIONAL)

    def await_decision(self, transition: Transition) -> None:
        """Keep the opening that `begin` counted until its wait is decided."""
        self.pending = self._unclaimed = Opening(transition, self.wait, self._asked_until - transition.at)
        self._asked_until = -inf

    def claim(self) -> Opening | None:
        """Hand out the pending opening, once."""
        opening, self._unclaimed = self._unclaimed, None
        return opening

    def decide(self, opening: Opening, wait: float) -> Transition | None:
        """Set the wait of a pending opening and return its transition; None if it has been settled meanwhile.

        What the server asked for may lengthen the wait, up to the cap, and never shortens it: a host that answers
        "in a second" for ever must not undo the back-off.
        """
        if self.pending is not opening:
            return None
        self.pending = self._unclaimed = None
        self.wait = max(wait, min(opening.asked, self._cap))
        self.until = opening.transition.at + self.wait
        return opening.transition._replace(wait=self.wait)

    def decide_provisionally(self) -> Transition | None:
        """Let the provisional wait stand, because the circuit moves on before anybody has decided."""
        if self.pending is None:
            return None
        return self.decide(self.pending, self.until - self.pending.transition.at)

    def follow(self, now: float, wait: float, attempt: int) -> None:
        """Take over the wait of another process."""
        self.attempt, self.wait, self.until = attempt, wait, now + wait

    def forget(self) -> None:
        """Begin the back-off anew."""
        self.attempt, self.wait = 0, None

    def forget_all(self) -> None:
        """Also forget what the server asked for."""
        self.forget()
        self._asked_until = -inf
