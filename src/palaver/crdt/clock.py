"""A hybrid logical clock: stamps that follow the wall clock and never go back.

A stamp is one integer: milliseconds since the Unix epoch in the upper 43 bits, which last until the year 2248, and a
counter in the lower 17. One more than the last stamp counts within a millisecond, and when the counter is full the
carry runs into the milliseconds by plain addition. Source: Kulkarni, Demirbas et al., "Logical Physical Clocks and
Consistent Snapshots in Globally Distributed Databases", 2014.

Invariants: every `tick` is greater than every stamp ticked or observed before; observing never leads the clock further
than `max_drift` ahead of its own wall clock.

The clock stores nothing: keep `latest` across a restart, or observe the stamps of the restored state.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from palaver.crdt.errors import StampError
from palaver.crdt.order import MAX_STAMP

COUNTER_BITS: Final = 17
DEFAULT_MAX_DRIFT: Final = timedelta(seconds=60)


def wall_milliseconds() -> int:
    """Return the milliseconds since the Unix epoch by this machine's wall clock."""
    return time.time_ns() // 1_000_000


def milliseconds_in(stamp: int) -> int:
    """Return the milliseconds since the Unix epoch that a clock's `stamp` stands for."""
    return stamp >> COUNTER_BITS


def counter_in(stamp: int) -> int:
    """Return the position of `stamp` within its millisecond."""
    return stamp & ((1 << COUNTER_BITS) - 1)


class HybridLogicalClock:
    """Gives increasing 60-bit stamps near the wall clock; one clock may serve many sets of a replica.

    `replica` names the owner in logs and explanations and takes no part in comparison. `now` returns milliseconds
    since the Unix epoch and may jump or stand still. `max_drift` is how far into the future a remote stamp may lie
    to be believed; `None` believes all. `latest` resumes after a stamp that was issued before. Not safe for use by
    several threads at once.
    """

    __slots__ = ("_drift_ms", "_latest", "_now", "replica")

    def __init__(
        self,
        replica: str,
        now: Callable[[], int] = wall_milliseconds,
        *,
        max_drift: timedelta | None = DEFAULT_MAX_DRIFT,
        latest: int = -1,
    ) -> None:
        if max_drift is not None and max_drift < timedelta(0):
            raise ValueError(f"max_drift must not be negative, not {max_drift}; None believes every stamp")
        if not -1 <= latest <= MAX_STAMP:
            raise StampError(f"latest must be a stamp from -1 to {MAX_STAMP}, not {latest}")
        self.replica = replica
        self._now = now
        self._drift_ms = None if max_drift is None else max_drift // timedelta(milliseconds=1)
        self._latest = latest

    @property
    def latest(self) -> int:
        """The greatest stamp issued or observed so far, -1 before the first."""
        return self._latest

    @property
    def lead(self) -> timedelta:
        """How far this clock is ahead of its wall clock; negative while it has been idle."""
        return timedelta(milliseconds=milliseconds_in(self._latest) - self._now())

    def tick(self) -> int:
        """Return a stamp greater than all before. Raises StampError in the year 2248."""
        stamp = self._latest + 1
        wall = self._now() << COUNTER_BITS
        if wall > stamp:  # noqa: PLR1730  # a call of max would cost as much as the rest
            stamp = wall
        if stamp > MAX_STAMP:
            raise StampError(f"the clock of {self.replica!r} is past the last stamp, {MAX_STAMP}: check its wall clock")
        self._latest = stamp
        return stamp

    def limit(self) -> int:
        """Return the greatest remote stamp that is believed now: that of the wall clock plus the drift."""
        if self._drift_ms is None:
            return MAX_STAMP
        return min(((self._now() + self._drift_ms + 1) << COUNTER_BITS) - 1, MAX_STAMP)

    def observe(self, stamp: int) -> bool:
        """Move past a remote `stamp`; return False and stay where we are if it lies too far in the future."""
        if stamp > self._latest:
            if stamp > self.limit():
                return False
            self._latest = stamp
        return True

    def __repr__(self) -> str:
        return f"HybridLogicalClock({self.replica!r}, latest={self._latest})"
