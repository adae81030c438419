"""Windows: the recent calls that the trip rules look at.

A window counts calls, failures and slow calls. It keeps no timestamps of single calls: `seconds(n)` is cut into slices
and forgets a slice at a time, `last(n)` is a ring of bytes. Adding costs the same whatever the length of the window.

Calls arrive one by one (`add`), or as a number of fast successes at once (`note`). The latter must all have ended
before `edge`, the end of the present slice, so that nobody needs to know when each of them did.
"""

from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from palaver.breaker.checks import duration, whole

SLICES: Final = 10  # a window of time forgets a tenth of itself at a time; more would cost memory for little precision
SHORTEST: Final = 1e-6  # seconds; the number of the present slice must stay one that a float holds exactly


class Window(Protocol):
    """What rules and the core need of a window. `now` never decreases by more than scheduling noise between threads."""

    calls: int
    """How many calls it holds; the next two as well. Exact after `look`."""
    failures: int
    slow: int
    edge: float
    """Until when fast successes may be noted in bulk."""

    def note(self, count: int) -> None:
        """Record this many fast successes that ended before `edge`."""

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call; `failed` and `slow` are 0 or 1."""

    def look(self, now: float) -> None:
        """Forget what is too old at `now`."""

    def of(self, span: "Span") -> "Window":
        """Return the part that looks at this span."""
        ...


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
        if self.length < SHORTEST:
            raise ValueError(f"seconds: length={self.length!r}: give at least {SHORTEST} s; no clock tells less apart")

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
    """Calls in slices of time: running totals, and for each full slice what goes with it when it is forgotten."""

    __slots__ = ("_before", "_epoch", "_full", "_width", "calls", "edge", "failures", "slow")

    def __init__(self, length: float) -> None:
        self._width = length / SLICES
        self._epoch = 0
        self._full: list[tuple[int, int, int, int]] = []  # at most `SLICES`: epoch, calls, failures, slow calls
        self._before = (0, 0, 0)  # the totals when the present slice began
        self.calls = self.failures = self.slow = 0
        self.edge = -inf  # the first call sets the clock of the slices

    def note(self, count: int) -> None:
        """Record fast successes in the present slice."""
        self.calls += count

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call."""
        if now >= self.edge:
            self._turn(now)
        self.calls += 1
        self.failures += failed
        self.slow += slow

    def look(self, now: float) -> None:
        """Forget the slices that are older than the window."""
        if now >= self.edge:
            self._turn(now)

    def of(self, span: "Span") -> Window:  # noqa: ARG002  # there is one
        """Return itself."""
        return self

    def _turn(self, now: float) -> None:
        """Begin the slice that holds `now`, keep the one before it, forget those that are too old."""
        full, (calls, failures, slow) = self._full, self._before
        full.append((self._epoch, self.calls - calls, self.failures - failures, self.slow - slow))
        self._epoch = int(now // self._width)
        self.edge = (self._epoch + 1) * self._width
        if self.edge <= now:  # rounding put `now` on the far side of its own slice
            self._epoch += 1
            self.edge = (self._epoch + 1) * self._width
        oldest = self._epoch - SLICES
        while full and full[0][0] <= oldest:
            _, calls, failures, slow = full.pop(0)
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow
        self._before = (self.calls, self.failures, self.slow)


class CountWindow:
    """The last calls, one byte each: bit 0 says failed, bit 1 says slow."""

    __slots__ = ("_next", "_ring", "_size", "calls", "edge", "failures", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray()  # grows to its size with use: a registry holds thousands of idle breakers
        self._next = 0
        self.calls = self.failures = self.slow = 0
        self.edge = inf  # nothing ages here

    def note(self, count: int) -> None:
        """Record fast successes."""
        for _ in range(min(count, self._size)):
            self._push(0)

    def add(self, now: float, failed: int, slow: int) -> None:  # noqa: ARG002  # a count window does not age
        """Record one call."""
        self._push(failed | slow << 1)

    def look(self, now: float) -> None:
        """Forget nothing: a count window does not age."""

    def of(self, span: "Span") -> Window:  # noqa: ARG002  # there is one
        """Return itself."""
        return self

    def _push(self, mark: int) -> None:
        """Put one call in the place of the oldest."""
        if self.calls < self._size:
            self._ring.append(mark)
            self.calls += 1
        else:
            at = self._next
            gone, self._ring[at] = self._ring[at], mark
            self._next = at + 1 if at + 1 < self._size else 0
            self.failures -= gone & 1
            self.slow -= gone >> 1
        self.failures += mark & 1
        self.slow += mark >> 1


class NoWindow:
    """For rules that look at no window: takes everything, keeps nothing."""

    __slots__ = ("calls", "edge", "failures", "slow")

    def __init__(self) -> None:
        self.calls = self.failures = self.slow = 0
        self.edge = inf

    def note(self, count: int) -> None:
        """Keep nothing."""

    def add(self, now: float, failed: int, slow: int) -> None:
        """Keep nothing."""

    def look(self, now: float) -> None:
        """Forget nothing."""

    def of(self, span: "Span") -> Window:  # noqa: ARG002  # no rule asks
        """Return itself."""
        return self


class Windows:
    """Several windows, for rules over different spans, recorded as one. Its own numbers are those of the first."""

    __slots__ = ("_first", "_parts", "calls", "edge", "failures", "slow")

    def __init__(self, spans: tuple[Span, ...]) -> None:
        self._parts = {span: span.open() for span in spans}
        self._first = self._parts[spans[0]]
        self._copy()

    def note(self, count: int) -> None:
        """Record fast successes in each part."""
        for part in self._parts.values():
            part.note(count)
        self._copy()

    def add(self, now: float, failed: int, slow: int) -> None:
        """Record one call in each part."""
        for part in self._parts.values():
            part.add(now, failed, slow)
        self._copy()

    def look(self, now: float) -> None:
        """Let each part forget."""
        for part in self._parts.values():
            part.look(now)
        self._copy()

    def of(self, span: Span) -> Window:
        """Return the part over this span."""
        return self._parts[span]

    def _copy(self) -> None:
        first = self._first
        self.calls, self.failures, self.slow = first.calls, first.failures, first.slow
        self.edge = min(part.edge for part in self._parts.values())


def open_window(spans: tuple[Span, ...]) -> Window:
    """Return an empty window that serves every one of these spans."""
    if not spans:
        return NoWindow()
    return spans[0].open() if len(spans) == 1 else Windows(spans)
