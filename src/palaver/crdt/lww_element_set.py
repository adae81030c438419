"""The last-writer-wins element set.

Each element is in or out by the write with the latest stamp; at equal stamps `bias` decides. Replicas that have seen
the same writes have the same state, in whatever order, grouping and number the writes arrived. Source: Shapiro,
Preguiça, Baquero, Zawirski, "A comprehensive study of Convergent and Commutative Replicated Data Types", 2011.

What it refuses to do: lose a local write to a clock (an add without a stamp is in the set when it returns), believe
stamps from the future, forget a remove before everybody has it, merge with a set of another bias.

Invariants: `_cells` only grows in the order of `order.py`, except for tombstones at or below the floor; every stamp
that this replica may still issue is above `_promised`.

One thread at a time: guard a set that threads share with a lock of yours.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple, Self, TypeVar, cast

from palaver.crdt.clock import DEFAULT_MAX_DRIFT, HybridLogicalClock
from palaver.crdt.delta import Delta
from palaver.crdt.elements import check_element, check_elements
from palaver.crdt.errors import BehindFloorError, MismatchError, StampError, WireError
from palaver.crdt.joining import join_few, join_many
from palaver.crdt.observers import ChangeLog, Cursor, Observer
from palaver.crdt.order import (
    BIASES,
    MAX_STAMP,
    MIN_STAMP,
    NOTHING,
    Bias,
    add_cell,
    last_cell,
    remove_cell,
    stamp_in,
)
from palaver.crdt.quarantine import Quarantine, split
from palaver.crdt.state import CellSet
from palaver.crdt.wire import DEFAULT_MAX_BYTES, decode_cells, encode_cells

E = TypeVar("E")

# With as many incoming cells as this part of the state, taking the union as a whole is quicker than walking.
_MANY: Final = 0.5


class Statistics(NamedTuple):
    """How many cells of each kind a set holds, and how many future cells found no room."""

    members: int
    tombstones: int
    pending: int
    turned_away: int


class LWWElementSet(CellSet[E]):
    """A set whose replicas converge by merging; elements are text, bytes, 64-bit integers and tuples of these.

    `replica` names this copy in explanations. `bias` says whether an add or a remove wins at equal stamps; it is
    fixed for the life of the set on all replicas. `clock` gives the stamps of local writes and may be shared by the
    sets of one replica; without it the set makes its own, which believes remote stamps up to `max_drift` ahead of the
    wall clock (`None`: all). Reading, `==` and set algebra go by members and return plain sets; `|` is not merge.
    """

    __slots__ = (
        "_clock", "_floor", "_log", "_observers", "_promised",
        "_quarantine", "_received", "replica",
    )  # fmt: skip

    def __init__(
        self,
        iterable: Iterable[E] = (),
        *,
        replica: str | None = None,
        bias: Bias = "add",
        clock: HybridLogicalClock | None = None,
        max_drift: timedelta | None = DEFAULT_MAX_DRIFT,
    ) -> None:
        if bias not in BIASES:
            raise ValueError(f'bias must be "add" or "remove", not {bias!r}')
        if clock is not None and max_drift != DEFAULT_MAX_DRIFT:
            raise ValueError("give max_drift to the clock, or leave the clock out")
        super().__init__(BIASES.index(bias))
        self.replica = replica or (clock.replica if clock else f"replica-{os.urandom(4).hex()}")
        self._clock = clock or HybridLogicalClock(self.replica, max_drift=max_drift)
        self._floor: int | None = None
        self._received: int | None = None
        self._promised = MIN_STAMP - 1
        self._quarantine: Quarantine[E] = Quarantine()
        self._observers: list[Observer[E]] = []
        self._log: ChangeLog[E] | None = None
        self.update(iterable)

    # Writing

    def add(self, element: E, stamp: int | None = None) -> Delta[E]:
        """Put `element` in and return the delta, which is empty if a later write stands against it.

        Without a stamp the write is stamped later than everything this replica knows of the element, so that it is
        always in afterwards. Raises ElementError, StampError.
        """
        if element.__class__ is not str or not element.isascii():  # type: ignore[attr-defined]  # the class was compared
            check_element(element)
        if stamp is None:
            return self._write(element, add_cell(self._next_stamp(element)))
        if stamp.__class__ is not int or not self._promised < stamp <= MAX_STAMP:
            self._refuse_stamp(stamp)
        return self._write(element, stamp * 2 + 1)

    def remove(self, element: E, stamp: int | None = None) -> Delta[E]:
        """Take `element` out and return the delta; an element never seen is recorded as removed, and no error.

        Unlike `set.remove` this never raises KeyError: the add may still be on its way. Otherwise as `add`.
        """
        if element.__class__ is not str or not element.isascii():  # type: ignore[attr-defined]  # the class was compared
            check_element(element)
        if stamp is None:
            return self._write(element, remove_cell(self._next_stamp(element), self._bias_bit))
        if stamp.__class__ is not int or not self._promised < stamp <= MAX_STAMP:
            self._refuse_stamp(stamp)
        return self._write(element, stamp * 2 + self._bias_bit * 2)

    discard = remove

    def update(self, elements: Iterable[E]) -> Delta[E]:
        """Put all `elements` in, each with a stamp of its own, and return one delta."""
        return self._write_all(elements, add_cell)

    def difference_update(self, elements: Iterable[E]) -> Delta[E]:
        """Take all `elements` out, each with a stamp of its own, and return one delta."""
        return self._write_all(elements, lambda stamp: remove_cell(stamp, self._bias_bit))

    def clear(self) -> Delta[E]:
        """Take every member out and return one delta."""
        return self.difference_update(list(self))

    def _next_stamp(self, element: E) -> int:
        known = self._cells.get(element)
        stamp = self._clock.tick()
        if known is not None and stamp <= (latest := stamp_in(known, self._bias_bit)):
            # A caller's own stamp may be ahead of the clock: going past it for this element alone keeps that right.
            stamp = latest + 1
            if stamp > MAX_STAMP:
                raise StampError(
                    f"element {element!r} carries the last stamp there is: nothing can be written after it"
                )
        return stamp

    def _refuse_stamp(self, stamp: object) -> None:
        if stamp.__class__ is not int:
            raise StampError(f"a stamp is an int, not {stamp!r}; leave it out to use the clock")
        if self._promised >= MIN_STAMP:
            raise StampError(f"stamp {stamp} is not above {self._promised}, which this replica has promised to be past")
        raise StampError(f"stamp {stamp} is not between {MIN_STAMP} and {MAX_STAMP}")

    def _write(self, element: E, cell: int) -> Delta[E]:
        cells = self._cells
        known = cells.get(element, NOTHING)
        if cell <= known:
            return Delta((), (), self._bias_bit)
        cells[element] = cell
        self._live += (cell & 1) - (known & 1)
        if cell > self._top:  # noqa: PLR1730  # a call of max would be a tenth of the whole write
            self._top = cell
        if self._observers:
            self._tell([element], [known], [cell], self.replica)
        return Delta((element,), (cell,), self._bias_bit)

    def _write_all(self, elements: Iterable[E], cell_of: Callable[[int], int]) -> Delta[E]:
        elements = list(dict.fromkeys(elements))
        check_elements(elements)
        return self._join(elements, [cell_of(self._next_stamp(element)) for element in elements], self.replica)

    # Merging

    def merge(self, other: "LWWElementSet[E] | Delta[E]", *, source: str | None = None) -> Delta[E]:
        """Take over what `other` knows and return what changed here, cells released from quarantine included.

        `source` names where it came from, for `explain`. Raises MismatchError for another bias; BehindFloorError if
        one side lacks writes whose tombstones the other has collected. Nothing has changed then.
        """
        if other.bias != self.bias:
            raise MismatchError("bias", self.bias, other.bias)
        elements: Iterable[E]
        cells: Iterable[int]
        if isinstance(other, LWWElementSet):
            self._check_floor(other)
            source = source or other.replica
            elements, cells, top = other._cells, other._cells.values(), other._top
        else:
            elements, cells, top = other.elements, other.cells, other.top
        if not self._quarantine and self._floor is None and self._clock.observe(stamp_in(top, self._bias_bit)):
            return self._join(elements, cells, source)
        return self._join_guarded(elements, cells, source)

    def admit(self) -> Delta[E]:
        """Let those pending cells in that the clock allows by now, and return what changed; `merge` does this too."""
        return self._join_guarded((), (), None)

    def _join_guarded(self, elements: Iterable[E], cells: Iterable[int], source: str | None) -> Delta[E]:
        limit = last_cell(self._clock.limit(), self._bias_bit)
        believed, future = split(elements, cells, limit)
        self._quarantine.hold(future)
        for element, cell in self._quarantine.release(limit):
            believed[element] = max(cell, believed.get(element, NOTHING))
        if self._floor is not None:
            settled = last_cell(self._floor, self._bias_bit)
            believed = {element: cell for element, cell in believed.items() if cell > settled}
        if believed:
            self._clock.observe(stamp_in(max(believed.values()), self._bias_bit))
        return self._join(believed, believed.values(), source)

    def _join(self, elements: Iterable[E], cells: Iterable[int], source: str | None) -> Delta[E]:
        state = self._cells
        if isinstance(elements, dict) and len(elements) > len(state) * _MANY:
            self._cells, changed, now = join_many(state, elements)
            self._counted = False
            before = [state.get(element, NOTHING) for element in changed] if self._observers else []
        else:
            changed, before, now = join_few(state, elements, cells)
            self._live += sum(cell & 1 for cell in now) - sum(cell & 1 for cell in before)
        if changed:
            top = max(now)
            self._top = max(self._top, top)
            if self._observers:
                self._tell(changed, before, now, source)
        return Delta(changed, now, self._bias_bit)

    def _check_floor(self, other: "LWWElementSet[E]") -> None:
        for behind, ahead in ((self, other), (other, self)):
            received = MIN_STAMP - 1 if behind._received is None else behind._received
            if ahead._floor is not None and received < ahead._floor:
                raise BehindFloorError(behind.replica, received, ahead._floor)

    def _tell(self, elements: list[E], before: list[int], now: list[int], source: str | None) -> None:
        for observer in self._observers:
            observer.changed(elements, before, now, source)

    # Looking at the replica

    @property
    def clock(self) -> HybridLogicalClock:
        """The clock that stamps local writes."""
        return self._clock

    @property
    def floor(self) -> int | None:
        """The stamp up to which tombstones have been collected, or None."""
        return self._floor

    @property
    def pending(self) -> dict[E, int]:
        """The elements that have cells in quarantine, with the latest stamp waiting for each."""
        waiting = sorted(self._quarantine, key=lambda item: item[1])
        return {element: stamp_in(cell, self._bias_bit) for element, cell in waiting}

    def statistics(self) -> Statistics:
        """Count what the set holds."""
        members = len(self)
        return Statistics(members, len(self._cells) - members, len(self._quarantine), self._quarantine.turned_away)

    # Copying

    def copy(self) -> Self:
        """Return an independent set with the same state and the same clock, without observers."""
        twin = type(self)(replica=self.replica, bias=self.bias, clock=self._clock)
        twin._cells = self._cells.copy()
        twin._top, twin._live, twin._counted = self._top, self._live, self._counted
        twin._floor, twin._received, twin._promised = self._floor, self._received, self._promised
        twin._quarantine.hold(self._quarantine)
        return twin

    __copy__ = copy

    # Travelling

    def cursor(self) -> Cursor:
        """Return a mark to give to `delta_since` later. The first call starts the change log."""
        if self._log is None:
            self._log = ChangeLog(int.from_bytes(os.urandom(7)), lambda: len(self._cells))
            self._observers.append(self._log)
        return self._log.cursor()

    def delta_since(self, cursor: Cursor | None) -> Delta[E]:
        """Return the cells that changed after `cursor`; all cells if that is None, of another set, or too long ago."""
        changed = self._log.since(cursor) if self._log is not None and cursor is not None else None
        cells = self._cells
        if changed is not None:
            cells = {element: cells[element] for element in changed if element in cells}
        return Delta(tuple(cells), tuple(cells.values()), self._bias_bit)

    def encode(self) -> bytes:
        """Return the canonical wire form: equal states give equal bytes in every process."""
        items: Any = self._cells.items()
        return encode_cells(items, self._bias_bit, floor=self._floor, received=self._received)

    @classmethod
    def decode(
        cls,
        data: bytes,
        *,
        replica: str | None = None,
        clock: HybridLogicalClock | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Self:
        """Read a set; safe on hostile bytes. Raises WireError, or MismatchError for another version.

        Decode what another replica sent in order to merge it: merging applies the guard against future stamps.
        """
        message = decode_cells(data, max_bytes=max_bytes)
        if message.is_delta:
            raise WireError("this is a delta: read it with wire.decode_delta and merge it")
        new = cls(replica=replica, bias=BIASES[message.bias_bit], clock=clock)
        new._cells = cast("dict[E, int]", dict(zip(message.elements, message.cells, strict=True)))
        new._top = max(message.cells, default=NOTHING)
        new._counted = False
        new._floor, new._received = message.floor, message.received
        new._clock.observe(stamp_in(new._top, new._bias_bit))
        return new

    def __repr__(self) -> str:
        shown = ", ".join(repr(element) for element, _ in zip(self, range(6), strict=False))
        more = f", ... {len(self)} in all" if len(self) > 6 else ""
        return f"LWWElementSet({{{shown}{more}}}, replica={self.replica!r}, bias={self.bias!r})"


def merged(one: LWWElementSet[E], other: LWWElementSet[E]) -> LWWElementSet[E]:
    """Return the join of two sets as a new one with the clock of `one`; neither changes, no clock is asked."""
    if one.bias != other.bias:
        raise MismatchError("bias", one.bias, other.bias)
    result = one.copy()
    result._check_floor(other)
    result._join(other._cells, other._cells.values(), other.replica)
    return result
