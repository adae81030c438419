"""Windows: the recent calls that the trip rules look at.

A window counts calls, failures and slow calls. It keeps no timestamps of single calls: `seconds(n)` is cut into slices
and forgets a slice at a time, `last(n)` is a ring of bytes. Adding costs the same whatever the length of the window.

Calls arrive one by one (`add`), or as a number of fast successes at once (`note`). The latter must all have ended
before `edge`, the end of the present slice, so that nobody needs to know when each of them did.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple, Protocol

from palaver.breaker.checks import duration, whole

SLICES: Final = 10  # a window of time forgets a tenth of itself at a time; more would cost memory for little precision


class Totals(NamedTuple):
    """What a window holds now."""

    calls: int
    failures: int
    slow: int


class Window(Protocol):
    """What rules and the core need of a window. `now` never decreases by more than scheduling noise between threads."""

    @property
    def edge(self) -> float:
        """Until when fast successes may be noted in bulk."""

    def note(self, count: int) -> None:
        """Record this many fast successes that ended before `edge`."""

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call; `failed` and `slow` are 0 or 1."""

    def totals(self, now: float) -> Totals:
        """Say what the window holds at `now`."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last `size` calls."""

    size: int

    def __post_init__(self) -> None:
        whole("last: size", self.size)

    def open(self) -> Window:
        """Return an empty window of this span."""
        return CountWindow(self.size)

    def __str__(self) -> str:
        return f"the last {self.size} calls"


@dataclass(frozen=True, slots=True)
class Seconds:
    """The calls of the last `length` seconds."""

    length: float

    def __post_init__(self) -> None:
        duration("seconds: length", self.length)

    def open(self) -> Window:
        """Return an empty window of this span."""
        return TimeWindow(self.length)

    def __str__(self) -> str:
        return f"the last {self.length:g} s"


Span = Last | Seconds


def last(size: int) -> Last:
    """Look at the last `size` calls, at least 1."""
    return Last(size)


def seconds(length: float) -> Seconds:
    """Look at the calls of the last `length` seconds. The oldest tenth leaves at once, so it covers 90 to 100 % of
    it."""
    return Seconds(length)


class TimeWindow:
    """Calls in slices of time. The current slice is three plain counters; full slices wait in a queue to be
    forgotten."""

    __slots__ = ("_calls", "_epoch", "_failures", "_full", "_full_totals", "_slow", "_width", "edge")

    def __init__(self, length: float) -> None:
        self._width = length / SLICES
        self._epoch = 0
        self._full: deque[tuple[int, Totals]] = deque()
        self._full_totals = NOTHING
        self._calls = self._failures = self._slow = 0
        self.edge = -inf  # the first call sets the clock of the slices

    def note(self, count: int) -> None:
        """Record fast successes in the present slice."""
        self._calls += count

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call."""
        if now >= self.edge:
            self._turn(now)
        self._calls += 1
        self._failures += failed
        self._slow += slow

    def totals(self, now: float) -> Totals:
        """Add up the slices that are not older than the window."""
        if now >= self.edge:
            self._turn(now)
        full = self._full_totals
        return Totals(full.calls + self._calls, full.failures + self._failures, full.slow + self._slow)

    def _turn(self, now: float) -> None:
        """Begin the slice that holds `now`, keep the one before it, forget those that are too old."""
        full, calls, failures, slow = self._full, *self._full_totals
        if self._calls:
            full.append((self._epoch, Totals(self._calls, self._failures, self._slow)))
            calls, failures, slow = calls + self._calls, failures + self._failures, slow + self._slow
            self._calls = self._failures = self._slow = 0
        self._epoch = int(now // self._width)
        self.edge = (self._epoch + 1) * self._width
        if self.edge <= now:  # rounding put `now` on the far side of its own slice
            self._epoch += 1
            self.edge = (self._epoch + 1) * self._width
        oldest = self._epoch - SLICES
        while full and full[0][0] <= oldest:
            gone = full.popleft()[1]
            calls, failures, slow = calls - gone.calls, failures - gone.failures, slow - gone.slow
        self._full_totals = Totals(calls, failures, slow)


class CountWindow:
    """The last calls, one byte each: bit 0 says failed, bit 1 says slow."""

    __slots__ = ("_failures", "_next", "_ring", "_size", "_slow")

    edge = inf  # nothing ages here

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray()  # grows to its size with use: a registry holds thousands of idle breakers
        self._next = 0
        self._failures = self._slow = 0

    def note(self, count: int) -> None:
        """Record fast successes."""
        for _ in range(min(count, self._size)):
            self._push(0)

    def add(self, now: float, failed: int, slow: int) -> None:  # noqa: ARG002  # a count window does not age
        """Record one call."""
        self._push(failed | slow << 1)

    def totals(self, now: float) -> Totals:  # noqa: ARG002  # a count window does not age
        """Say what the ring holds."""
        return Totals(len(self._ring), self._failures, self._slow)

    def _push(self, mark: int) -> None:
        """Put one call in the place of the oldest."""
        if len(self._ring) < self._size:
            self._ring.append(mark)
        else:
            at = self._next
            gone, self._ring[at] = self._ring[at], mark
            self._next = at + 1 if at + 1 < self._size else 0
            self._failures -= gone & 1
            self._slow -= gone >> 1
        self._failures += mark & 1
        self._slow += mark >> 1


class NoWindow:
    """For rules that look at no window: takes everything, keeps nothing."""

    __slots__ = ()

    edge = inf

    def note(self, count: int) -> None:
        """Keep nothing."""

    def add(self, now: float, failed: int, slow: int) -> None:
        """Keep nothing."""

    def totals(self, now: float) -> Totals:  # noqa: ARG002  # there is nothing at any time
        """Nothing."""
        return NOTHING


class Windows:
    """Several windows, for rules over different spans, recorded as one."""

    __slots__ = ("parts",)

    def __init__(self, spans: tuple[Span, ...]) -> None:
        self.parts = {span: span.open() for span in spans}

    @property
    def edge(self) -> float:
        """The first edge of any part."""
        return min(part.edge for part in self.parts.values())

    def note(self, count: int) -> None:
        """Record fast successes in each part."""
        for part in self.parts.values():
            part.note(count)

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call in each part."""
        for part in self.parts.values():
            part.add(now, failed, slow)

    def totals(self, now: float) -> Totals:
        """Say what the first part holds."""
        return next(iter(self.parts.values())).totals(now)


NOTHING: Final = Totals(0, 0, 0)
