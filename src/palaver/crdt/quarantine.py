"""Where cells from the future wait until the local clock allows them.

A remote stamp beyond the clock's limit is not believed (one bad clock would win for ever), not clamped (the result
would depend on who received it when) and not dropped (replicas would differ until somebody sent it again). It is held
here and joins the state as soon as the wall clock has caught up. The room is bounded: what comes when it is full is
turned away and counted, and digests bring it again.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

E = TypeVar("E")

DEFAULT_MAX_PENDING: Final = 10_000


class Quarantine(Generic[E]):
    """Waiting cells, each once; several of one element wait side by side, so that none hides another."""

    def __init__(self, capacity: int = DEFAULT_MAX_PENDING) -> None:
        self._capacity = capacity
        self._held: set[tuple[E, int]] = set()
        self.turned_away = 0

    def hold(self, items: Iterable[tuple[E, int]]) -> int:
        """Keep the cells, as far as there is room; return how many were turned away."""
        before = self.turned_away
        for item in items:
            if item in self._held:
                continue
            if len(self._held) < self._capacity:
                self._held.add(item)
            else:
                self.turned_away += 1
        return self.turned_away - before

    def release(self, limit: int) -> list[tuple[E, int]]:
        """Let go of every cell that is at most `limit`, greatest last."""
        ready = [item for item in self._held if item[1] <= limit]
        self._held.difference_update(ready)
        return sorted(ready, key=lambda item: item[1])

    def __iter__(self) -> Iterator[tuple[E, int]]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


def split(items: Iterable[tuple[E, int]], limit: int) -> tuple[dict[E, int], list[tuple[E, int]]]:
    """Part cells into those that are at most `limit` and those that are not."""
    believed: dict[E, int] = {}
    future: list[tuple[E, int]] = []
    for item in items:
        if item[1] <= limit:
            believed[item[0]] = item[1]
        else:
            future.append(item)
    return believed, future
