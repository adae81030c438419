"""A gentle return: after closing, a growing share of the calls is admitted, so that a recovering host is not flooded.

The share grows in a straight line from a tenth to all. Calls are picked evenly, without chance: each adds the present
share to a credit, and one is admitted whenever the credit reaches a whole.
"""

from math import inf
from typing import Final

_FIRST_SHARE: Final = 0.1


class Ramp:
    """The ramp of one circuit; `length` in seconds, None for none."""

    __slots__ = ("_credit", "_length", "until")

    def __init__(self, length: float | None) -> None:
        self._length = length
        self._credit: float  # set by `start`; nobody is admitted by it before
        self.until = -inf

    @property
    def active(self) -> bool:
        """Whether somebody has to ask. Stays true after the end until somebody has."""
        return self.until > -inf

    def start(self, now: float) -> None:
        """Begin, so that the first call is admitted."""
        if self._length is not None:
            self.until = now + self._length
            self._credit = 1.0 - _FIRST_SHARE

    def stop(self) -> None:
        """Admit everybody."""
        self.until = -inf

    def admits(self, now: float) -> bool:
        """Whether the call that asks now is one of the share."""
        if self._length is None or now >= self.until:
            self.stop()
            return True
        self._credit += 1.0 - (1.0 - _FIRST_SHARE) * (self.until - now) / self._length
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
