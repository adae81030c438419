"""How long to wait before dialling again: exponential back-off with full jitter.

The wait before attempt n is drawn evenly from 0 to min(cap, base * 2**n), so that the clients of a server that went
away do not come back in step. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable


class Backoff:
    """Counts attempts and draws the waits, in seconds. `random` returns a float from 0.0 to below 1.0."""

    __slots__ = ("_attempt", "_base", "_cap", "_random")

    def __init__(self, base_seconds: float, cap_seconds: float, random: Callable[[], float]) -> None:
        if not 0 < base_seconds <= cap_seconds:
            raise ValueError(f"base_seconds must be above 0 and at most cap_seconds: {base_seconds}, {cap_seconds}")
        self._base, self._cap, self._random = base_seconds, cap_seconds, random
        self._attempt = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt; the one after that may wait twice as long."""
        ceiling: float = min(self._cap, self._base * 2.0 ** min(self._attempt, 60))  # 2**60 s: no float overflow
        self._attempt += 1
        return self._random() * ceiling

    def reset(self) -> None:
        """Start again from the base: the connection has proved itself."""
        self._attempt = 0
