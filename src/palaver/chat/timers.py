"""When to look at what again: one heap for all timers of the engine.

A timer is a key and a time; setting a key again replaces its time. Nothing is called from here: `due` hands the keys
back to whoever decides. Cost, amortised: O(log n) to set, O(1) to cancel.
"""

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from math import inf

_FEW = 64  # dead entries that are not worth the work


class Timers:
    """Deadlines by key, on monotonic seconds."""

    __slots__ = ("_heap", "_order", "_when")

    def __init__(self) -> None:
        self._when: dict[Hashable, float] = {}
        # The order breaks ties, so that keys are never compared. Replaced and cancelled entries stay until they
        # surface or are compacted.
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._when)

    def is_set(self, key: Hashable) -> bool:
        """Whether `key` will come up."""
        return key in self._when

    def set(self, key: Hashable, when: float) -> None:
        """Have `key` come up at `when`, and at no other time."""
        self._when[key] = when
        self._order += 1
        heappush(self._heap, (when, self._order, key))
        self._compact_if_mostly_dead()

    def set_at_latest(self, key: Hashable, when: float) -> None:
        """Have `key` come up at `when`, unless it comes up before."""
        if when < self._when.get(key, inf):
            self.set(key, when)

    def set_if_unset(self, key: Hashable, when: float) -> None:
        """Have `key` come up at `when` unless it is set already."""
        if key not in self._when:
            self.set(key, when)

    def cancel(self, key: Hashable) -> None:
        """Forget the key, if it is set."""
        self._when.pop(key, None)
        self._compact_if_mostly_dead()

    def _compact_if_mostly_dead(self) -> None:
        """Drop replaced and cancelled entries, so that what they refer to is freed. Amortised O(1) per call."""
        if len(self._heap) > 2 * len(self._when) + _FEW:
            self._heap = [entry for entry in self._heap if self._when.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def next(self) -> float | None:
        """The earliest time set."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._when.get(key) == when:
                return when
            heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[Hashable]:
        """Take out and yield each key whose time has come. Keys set meanwhile for a time not after `now` come too."""
        while (when := self.next()) is not None and when <= now:
            key = heappop(self._heap)[2]
            del self._when[key]
            yield key
