"""Why an element is in or out: the question a moderator asks."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from palaver.crdt.clock import milliseconds_in
from palaver.crdt.order import NOTHING, present_in, stamp_in

E = TypeVar("E")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Origin(NamedTuple):
    """Where a deciding write came from, and the cell it beat (NOTHING if none)."""

    source: str | None
    beaten: int


class Provenance(Generic[E]):
    """Remembers the origin of the deciding write of every element, from when it was started."""

    def __init__(self) -> None:
        self._origins: dict[E, Origin] = {}

    def changed(self, elements: Sequence[E], before: Sequence[int], now: Sequence[int], source: str | None) -> None:
        """Note where the writes came from; forget elements that are forgotten."""
        for element, old, new in zip(elements, before, now, strict=True):
            if new == NOTHING:
                self._origins.pop(element, None)
            else:
                self._origins[element] = Origin(source, old)

    def forget(self, elements: Iterable[E]) -> None:
        """Say nothing of these elements."""
        for element in elements:
            self._origins.pop(element, None)

    def of(self, element: E) -> Origin | None:
        """Return the origin of the deciding write, if it came after the start."""
        return self._origins.get(element)


class Explanation(NamedTuple, Generic[E]):
    """The deciding write of `element` and what is known of its rivals. Printing it gives sentences.

    `stamp` is None if the element was never written. `source` and `beaten_stamp` are None unless the set keeps
    provenance. `pending` are the stamps in quarantine.
    """

    element: E
    present: bool
    stamp: int | None
    source: str | None
    beaten_stamp: int | None
    beaten_was_add: bool
    pending: tuple[int, ...]

    @classmethod
    def of(
        cls, element: E, cell: int, bias_bit: int, origin: Origin | None, pending: tuple[int, ...]
    ) -> "Explanation[E]":
        """Explain a cell."""
        beaten = origin.beaten if origin is not None else NOTHING
        return cls(
            element=element,
            present=present_in(cell),
            stamp=None if cell == NOTHING else stamp_in(cell, bias_bit),
            source=origin.source if origin is not None else None,
            beaten_stamp=None if beaten == NOTHING else stamp_in(beaten, bias_bit),
            beaten_was_add=present_in(beaten),
            pending=pending,
        )

    @property
    def written_at(self) -> datetime | None:
        """The wall time in the deciding stamp, if a hybrid clock made it; None outside the years 1 to 9999."""
        if self.stamp is None:
            return None
        try:
            return _EPOCH + timedelta(milliseconds=milliseconds_in(self.stamp))
        except OverflowError:
            return None

    def __str__(self) -> str:
        """Say it in sentences."""
        if self.stamp is None:
            text = f"{self.element!r} is out: it was never written."
        else:
            way, act = ("in", "add") if self.present else ("out", "remove")
            where = f" from {self.source}" if self.source else ""
            text = f"{self.element!r} is {way}: the {act} with stamp {self.stamp}{where} decides."
        if self.beaten_stamp is not None:
            text += f" It beat the {'add' if self.beaten_was_add else 'remove'} with stamp {self.beaten_stamp}."
        if self.pending:
            text += f" {len(self.pending)} write(s) from the future wait in quarantine."
        return text
