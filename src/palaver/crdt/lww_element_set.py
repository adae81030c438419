"""The last-writer-wins element set.

Each element is in or out by the write with the latest stamp; at equal stamps `bias` decides. Replicas that have seen
the same writes have the same state, in whatever order, grouping and number the writes arrived. Source: Shapiro,
Preguiça, Baquero, Zawirski, "A comprehensive study of Convergent and Commutative Replicated Data Types", 2011.

What it refuses to do: lose a local write to a clock (an add without a stamp is in the set when it returns), believe
stamps from the future, forget a remove before everybody has it, merge with a set of another bias.

Invariant: cells only grow in the order of `order.py`, except that tombstones at or below the floor go.

One thread at a time: guard a set that threads share with a lock of yours.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final, Self, TypeVar, cast

from palaver.crdt.clock import DEFAULT_MAX_DRIFT, HybridLogicalClock
from palaver.crdt.delta import Delta, DeltaOfMany, DeltaOfOne
from palaver.crdt.digest import Digest, DigestIndex, fitting_buckets
from palaver.crdt.elements import check_element, check_elements
from palaver.crdt.errors import MismatchError, StampError, WireError
from palaver.crdt.observers import ChangeLog, Cursor
from palaver.crdt.order import (
    BIASES,
    MAX_STAMP,
    MIN_STAMP,
    NOTHING,
    Bias,
    add_cell,
    remove_cell,
    stamp_in,
)
from palaver.crdt.replica import Replica
from palaver.crdt.wire import DEFAULT_MAX_BYTES, decode_cells, encode_any, encode_cells

E = TypeVar("E")

_KEPT: Final = (
    "_bias_bit",
    "_clock",
    "_dead",
    "_floor",
    "_live",
    "_promised",
    "_quarantine",
    "_received",
    "_top",
    "replica",
)


class LWWElementSet(Replica[E]):
    """A set whose replicas converge by merging; elements are text, bytes, 64-bit integers and tuples of these.

    `replica` names this copy in explanations. `bias` says whether an add or a remove wins at equal stamps; it is
    fixed for the life of the set on all replicas. `clock` gives the stamps of local writes and may be shared by the
    sets of one replica; without it the set makes its own, which believes remote stamps up to `max_drift` ahead of the
    wall clock (60 seconds unless given; `None`: all). Reading, `==` and set algebra go by members and return plain
    sets; `|` is not merge.
    """

    __slots__ = ()

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
        name = replica or (clock.replica if clock else f"replica-{os.urandom(4).hex()}")
        super().__init__(BIASES.index(bias), clock or HybridLogicalClock(name, max_drift=max_drift), name)
        self.update(iterable)

    # Writing

    def add(self, element: E, stamp: int | None = None) -> Delta[E]:  # noqa: C901  # in one piece, for speed
        """Put `element` in and return the delta, which is empty if a later write stands against it.

        Without a stamp the write is stamped later than everything this replica knows of the element, so that it is
        always in afterwards. Raises ElementError, StampError.
        """
        if type(element) is not str or not element.isascii():  # type: ignore[attr-defined]  # it is text by now
            check_element(element)
        if stamp is None:
            stamp = self._next_stamp(element)
        elif stamp.__class__ is not int or stamp <= self._promised:
            self._refuse_stamp(stamp)
        # Two sums are quicker than a product.
        cell = stamp + stamp + 1
        live, dead = self._live, self._dead
        # A live cell is odd, so it is never zero. Asking an empty dict would cost a tenth of the whole write.
        known = live.get(element) or (dead.get(element, NOTHING) if dead else NOTHING)
        if cell <= known:
            return self._unchanged
        # A stamp beyond the last makes a cell above all there are, so that other cells need not be asked about theirs.
        if cell > self._top:
            if stamp > MAX_STAMP:
                self._refuse_stamp(stamp)
            self._top = cell
        watched = self._observers
        try:
            live[element] = cell
            if dead and known > NOTHING and not known & 1:
                del dead[element]
            if watched:
                self._tell([element], [known], [cell], self.replica)
        except BaseException:
            self._undo([element], [known])
            raise
        if watched:
            self._deliver()
        return DeltaOfOne(self._bias_bit, element, cell)

    def remove(self, element: E, stamp: int | None = None) -> Delta[E]:  # noqa: C901  # as add
        """Take `element` out and return the delta; an element never seen is recorded as removed, and no error.

        Unlike `set.remove` this never raises KeyError: the add may still be on its way. Otherwise as `add`.
        """
        # Text that has a cell has been looked at already; `_tombstone` looks at what has none.
        if type(element) is not str:
            check_element(element)
        if stamp is None:
            stamp = self._next_stamp(element)
        elif stamp.__class__ is not int or stamp <= self._promised:
            self._refuse_stamp(stamp)
        cell = stamp + stamp
        bias_bit = self._bias_bit
        if bias_bit:
            cell += 2
        live = self._live
        known = member = live.get(element)
        if known is None:
            known = self._tombstone(element)
        if cell <= known:
            return self._unchanged
        if cell > self._top:  # as in add
            if stamp > MAX_STAMP:
                self._refuse_stamp(stamp)
            self._top = cell
        watched = self._observers
        try:
            self._dead[element] = cell
            if member is not None:
                del live[element]
            if watched:
                self._tell([element], [known], [cell], self.replica)
        except BaseException:
            self._undo([element], [known])
            raise
        if watched:
            self._deliver()
        return DeltaOfOne(bias_bit, element, cell)

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

    def _tombstone(self, element: E) -> int:
        """Return the cell of the removed `element`, or NOTHING if it has none; then look whether it can have one."""
        cell = self._dead.get(element, NOTHING)
        if cell == NOTHING and not (type(element) is str and element.isascii()):  # type: ignore[attr-defined]  # as in add
            check_element(element)
        return cell

    def _next_stamp(self, element: E) -> int:
        stamp = self._clock.tick()
        if 2 * stamp > self._top and stamp > self._promised:
            return stamp
        latest = max(stamp_in(self._cell_of(element), self._bias_bit), self._promised)
        if stamp <= latest:
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

    def _write_all(self, elements: Iterable[E], cell_of: Callable[[int], int]) -> Delta[E]:
        elements = list(dict.fromkeys(elements))
        check_elements(elements)
        cells = [cell_of(self._next_stamp(element)) for element in elements]
        return self._join(elements, cells, max(cells, default=NOTHING), self.replica)

    # Copying

    def copy(self) -> Self:
        """Return an independent set with the same state and the same clock, without observers."""
        twin = type(self)(replica=self.replica, bias=self.bias, clock=self._clock)
        twin._live.update(self._live)
        twin._dead.update(self._dead)
        twin._top = self._top
        twin._floor, twin._received, twin._promised = self._floor, self._received, self._promised
        twin._quarantine.hold(self._quarantine)
        return twin

    __copy__ = copy

    def __getstate__(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Return what a pickle and a deep copy take along: the state and the clock, not those who watch."""
        attributes, slots = cast("tuple[dict[str, Any] | None, dict[str, Any]]", super().__getstate__())
        return attributes, {name: slots[name] for name in _KEPT}

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        """Take up what `__getstate__` gave."""
        attributes, slots = state
        bias = BIASES[slots["_bias_bit"]]
        LWWElementSet.__init__(self, replica=slots["replica"], bias=bias, clock=slots["_clock"])
        for name, value in slots.items():
            setattr(self, name, value)
        self._bind_lookup()
        if attributes:
            vars(self).update(attributes)

    # Travelling

    def cursor(self) -> Cursor:
        """Return a mark to give to `delta_since` later. The first call starts the change log."""
        if self._log is None:
            self._log = ChangeLog(int.from_bytes(os.urandom(7)), lambda: len(self._live) + len(self._dead))
            self._watch(self._log)
        return self._log.cursor()

    def delta_since(self, cursor: Cursor | None) -> Delta[E]:
        """Return the cells that changed after `cursor`; all cells if that is None, of another set, or too long ago."""
        changed = self._log.since(cursor) if self._log is not None and cursor is not None else None
        if changed is None:
            elements, cells = (*self._live, *self._dead), (*self._live.values(), *self._dead.values())
            return DeltaOfMany(self._bias_bit, elements, cells)
        known = [(element, self._cell_of(element)) for element in changed]
        held = {element: cell for element, cell in known if cell > NOTHING}
        return DeltaOfMany(self._bias_bit, tuple(held), tuple(held.values()))

    def digest(self, buckets: int | None = None) -> Digest:
        """Return a summary of the state to send to a peer, who answers with `diff`.

        It has 8 bytes for each of `buckets` (a power of two up to 65,536; one says only whether all is equal); by
        default one bucket for about 32 elements. The first call hashes every element; later ones what has changed.
        """
        if self._index is None:
            self._index = DigestIndex(self._items(), encode_any)
            self._watch(self._index)
        sums = self._index.sums(buckets or fitting_buckets(len(self._live) + len(self._dead)))
        return Digest(self._bias_bit, sums, self._floor, self._received)

    def diff(self, digest: Digest) -> Delta[E]:
        """Return the cells that the sender of `digest` may lack: all of ours in the buckets that differ.

        Raises MismatchError for another bias, BehindFloorError if one side must be reseeded.
        """
        if digest.bias_bit != self._bias_bit:
            raise MismatchError("bias", self.bias, BIASES[digest.bias_bit])
        self._check_marks("the sender of the digest", digest.floor, digest.received)
        mine = self.digest(len(digest.sums))
        if mine.sums == digest.sums or self._index is None:
            return self._unchanged
        elements = self._index.within(mine.differing(digest), len(digest.sums))
        return DeltaOfMany(self._bias_bit, elements, [self._cell_of(element) for element in elements])

    def encode(self) -> bytes:
        """Return the canonical wire form: equal states give equal bytes in every process."""
        items: Any = self._items()
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
            raise WireError("this is a delta: read it with decode_delta and merge it")
        new = cls(replica=replica, bias=BIASES[message.bias_bit], clock=clock)
        cells = message.cells
        new._join(cast("list[E]", message.elements), cells, max(cells, default=NOTHING), None)
        new._floor, new._received = message.floor, message.received
        new._clock.observe(stamp_in(new._top, new._bias_bit))
        if message.received is not None:
            # Others may have collected up to here: nothing may be written at or below it.
            new._promised = message.received
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
    result._check_marks(other.replica, other._floor, other._received)
    if result._floor is None:
        result._join_all(other, other.replica)
    else:
        result._join_above_floor(dict(other._items()), other.replica)
    return result
