"""Those who follow the changes of a set: what they are told, and the log that `delta_since` reads.

A set without observers pays nothing for them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from types import MethodType
from typing import Generic, Protocol, TypeVar
from weakref import WeakMethod

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


class Subscription:
    """A handle on one subscription; `close` ends it, and may be called again."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close

    def close(self) -> None:
        """Stop the calls."""
        self._close()


class Subscriptions(Generic[E]):
    """The callbacks of a set's users, each called after the change, one change at a time."""

    def __init__(self) -> None:
        self._callbacks: dict[int, Callable[[], Callable[[frozenset[E], frozenset[E]], object] | None]] = {}
        self._next = 0
        self._waiting: deque[tuple[frozenset[E], frozenset[E]]] = deque()
        self._delivering = False

    def add(self, callback: Callable[[frozenset[E], frozenset[E]], object]) -> Subscription:
        """Call `callback` from now on."""
        number = self._next
        self._next += 1
        self._callbacks[number] = WeakMethod(callback) if isinstance(callback, MethodType) else lambda: callback
        return Subscription(lambda: self._callbacks.pop(number, None))

    def changed(self, elements: Sequence[E], before: Sequence[int], now: Sequence[int], source: str | None) -> None:
        """Hold what entered and left for `deliver`."""
        del source
        rows = list(zip(elements, before, now, strict=True))
        added = frozenset(element for element, old, new in rows if new & 1 and not old & 1)
        removed = frozenset(element for element, old, new in rows if old & 1 and not new & 1)
        if added or removed:
            self._waiting.append((added, removed))

    def forget(self) -> None:
        """Drop what has not been delivered."""
        self._waiting.clear()

    def deliver(self) -> None:
        """Call everybody with what is held, unless a callback is running: then its caller does that."""
        if self._delivering or not self._waiting:
            return
        self._delivering = True
        errors: list[Exception] = []
        try:
            while self._waiting:
                self._deliver(*self._waiting.popleft(), errors)
        finally:
            self._delivering = False
            self._waiting.clear()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("subscribers failed", errors)

    def _deliver(self, added: frozenset[E], removed: frozenset[E], errors: list[Exception]) -> None:
        for number, resolve in list(self._callbacks.items()):
            callback = resolve()
            if callback is None:
                del self._callbacks[number]
            elif number in self._callbacks:
                try:
                    callback(added, removed)
                except Exception as error:  # noqa: BLE001 - raised again when all others have heard of the change
                    errors.append(error)
