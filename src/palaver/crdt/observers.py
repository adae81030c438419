"""Those who follow the changes of a set: what they are told, and the log that `delta_since` reads.

A set without observers pays nothing for them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

import msgspec

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


class Observer(Protocol[E_contra]):
    """Is told of every change after it has been made; it must not write to the set from within `changed`."""

    def changed(
        self, elements: Sequence[E_contra], before: Sequence[int], now: Sequence[int], source: str | None
    ) -> None:
        """Note that the cells of `elements` went from `before` to `now`, by a write that came from `source`."""


class Cursor(msgspec.Struct, frozen=True):
    """A place in the history of one set object in one process; `LWWElementSet.cursor` gives it."""

    log: int
    position: int


class ChangeLog(Generic[E]):
    """The elements that changed, oldest first; of the oldest it forgets what is more than twice the size of the set."""

    def __init__(self, identity: int, size: Callable[[], int]) -> None:
        self._identity = identity
        self._size = size
        self._elements: deque[E] = deque()
        self._forgotten = 0

    def changed(self, elements: Sequence[E], before: Sequence[int], now: Sequence[int], source: str | None) -> None:
        """Append the elements."""
        del before, now, source
        self._elements.extend(elements)
        # More changes than elements: the full state is then about as short as what the log would name.
        excess = len(self._elements) - max(2 * self._size(), 1024)
        for _ in range(excess):
            self._elements.popleft()
        self._forgotten += max(excess, 0)

    def cursor(self) -> Cursor:
        """Return the place after the newest change."""
        return Cursor(self._identity, self._forgotten + len(self._elements))

    def since(self, cursor: Cursor) -> Iterable[E] | None:
        """Return the elements changed after `cursor`, each once, or None if that is no longer known."""
        if cursor.log != self._identity or not self._forgotten <= cursor.position:
            return None
        count = self._forgotten + len(self._elements) - cursor.position
        return dict.fromkeys(islice(reversed(self._elements), count)) if count > 0 else ()
