"""A replica: a state that takes in what others know, under guard of its clock and its floor, and tells who watches.

Whatever arrives goes the same way: bias and floor are checked, cells from the future wait in quarantine, cells at or
below the floor are old news, the rest is joined, the clock moves past it, observers hear of it.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from palaver.crdt.clock import HybridLogicalClock
from palaver.crdt.delta import Delta, DeltaOfMany
from palaver.crdt.digest import DigestIndex
from palaver.crdt.errors import BehindFloorError, MismatchError
from palaver.crdt.explanation import Explanation, Provenance
from palaver.crdt.joining import Changes, put
from palaver.crdt.observers import ChangeLog, Observer, Subscription, Subscriptions
from palaver.crdt.order import MIN_STAMP, NOTHING, join, last_cell, stamp_in
from palaver.crdt.quarantine import Quarantine, split
from palaver.crdt.state import CellSet

try:
    from palaver.crdt._joining import join_few, join_many
except ImportError:
    from palaver.crdt.joining import join_few, join_many

E = TypeVar("E")

COMPILED: Final = join_few.__module__ != Changes.__module__
"""Whether states are joined by the compiled form of `joining.py`; it differs in nothing but speed."""

# With as many incoming cells as this part of the state, taking the union as a whole is quicker than walking.
_MANY: Final = 0.5


class Statistics(NamedTuple):
    """How many cells of each kind a set holds, and how many future cells found no room."""

    members: int
    tombstones: int
    pending: int
    turned_away: int


class Replica(CellSet[E]):
    """The receiving half of `LWWElementSet`; not made by itself.

    Invariants: every stamp that this replica may still issue is above `_promised`; everything that anybody wrote at or
    below `_received` has arrived; `_floor` is at most `_received`. The last two are None without a roster.
    """

    __slots__ = (
        "_clock",
        "_floor",
        "_index",
        "_log",
        "_observers",
        "_promised",
        "_provenance",
        "_quarantine",
        "_received",
        "_subscriptions",
        "_unchanged",
        "lookup",
        "replica",
    )

    def __init__(self, bias_bit: int, clock: HybridLogicalClock, replica: str) -> None:
        super().__init__(bias_bit)
        self._bind_lookup()
        self.replica = replica
        self._clock = clock
        self._unchanged: Delta[E] = DeltaOfMany(bias_bit, (), ())
        self._floor: int | None = None
        self._received: int | None = None
        self._promised = MIN_STAMP - 1
        self._quarantine: Quarantine[E] = Quarantine()
        self._observers: list[Observer[E]] = []
        self._index: DigestIndex[E] | None = None
        self._log: ChangeLog[E] | None = None
        self._provenance: Provenance[E] | None = None
        self._subscriptions: Subscriptions[E] | None = None

    def _bind_lookup(self) -> None:
        # The dict's own method takes a third of the time of one of ours. So nothing may replace this dict by another.
        # To the slot itself: a plain assignment would hide the method of a subclass.
        Replica.lookup.__set__(self, self._live.__contains__)  # type: ignore[attr-defined]  # mypy sees the method

    def merge(self, other: "Replica[E] | Delta[E]", *, source: str | None = None) -> Delta[E]:
        """Take over what `other` knows and return what changed here, cells released from quarantine included.

        `source` names where it came from, for `explain`. Raises MismatchError for another bias; BehindFloorError if
        one side lacks writes whose tombstones the other has collected. Nothing has changed then.
        """
        if other.bias != self.bias:
            raise MismatchError("bias", self.bias, other.bias)
        if isinstance(other, Delta):
            if self._believes(other.top):
                return self._join(other.elements, other.cells, other.top, source)
            return self._join_guarded(other.items(), source)
        self._check_marks(other.replica, other._floor, other._received)
        source = source or other.replica
        if not self._believes(other._top):
            return self._join_guarded(other._items(), source)
        if len(other._live) + len(other._dead) > _MANY * (len(self._live) + len(self._dead)):
            return self._join_all(other, source)
        elements, cells = chain(other._live, other._dead), chain(other._live.values(), other._dead.values())
        return self._join(elements, cells, other._top, source)

    def _believes(self, top: int) -> bool:
        """Say whether cells up to `top` can join as they are, and move the clock past them if so."""
        if self._quarantine or self._floor is not None:
            return False
        return self._clock.observe(stamp_in(top, self._bias_bit))

    def admit(self) -> Delta[E]:
        """Let those pending cells in that the clock allows by now, and return what changed; `merge` does this too."""
        return self._join_guarded((), None)

    def _join_guarded(self, items: Iterable[tuple[E, int]], source: str | None) -> Delta[E]:
        limit = last_cell(self._clock.limit(), self._bias_bit)
        believed, future = split(items, limit)
        self._quarantine.hold(future)
        for element, cell in self._quarantine.release(limit):
            believed[element] = join(cell, believed.get(element, NOTHING))
        if believed:
            self._clock.observe(stamp_in(max(believed.values()), self._bias_bit))
        return self._join_above_floor(believed, source)

    def _join_above_floor(self, cells: dict[E, int], source: str | None) -> Delta[E]:
        if self._floor is not None:
            settled = last_cell(self._floor, self._bias_bit)
            cells = {element: cell for element, cell in cells.items() if cell > settled}
        return self._join(cells, cells.values(), max(cells.values(), default=NOTHING), source)

    def _join(self, elements: Iterable[E], cells: Iterable[int], top: int, source: str | None) -> Delta[E]:
        return self._change(lambda changes: join_few(self._live, self._dead, elements, cells, changes), top, source)

    def _join_all(self, other: "Replica[E]", source: str | None) -> Delta[E]:
        watched = bool(self._observers)
        return self._change(
            lambda changes: join_many(self._live, self._dead, other._live, other._dead, changes, watched),
            other._top,
            source,
        )

    def _change(self, write: Callable[[Changes[E]], None], top: int, source: str | None) -> Delta[E]:
        """Let `write` change cells, to at most `top`, and tell those who watch. Broken off, nothing has happened.

        That is for Ctrl-C, which may come between any two steps: what `write` has changed it must have written down.
        """
        changes: Changes[E] = Changes([], [], [])
        self._top = join(self._top, top)
        try:
            write(changes)
            if changes.elements and self._observers:
                self._tell(*changes, source)
        except BaseException:
            self._undo(changes.elements, changes.before)
            raise
        self._deliver()
        return DeltaOfMany(self._bias_bit, changes.elements, changes.now)

    def _undo(self, elements: list[E], before: list[int]) -> None:
        """Take back a write that was broken off, and let go of whatever may or may not have heard of it.

        The digest is made anew when it is asked for, and a cursor from before gets the full state.
        """
        put(self._live, self._dead, elements, before)
        self._log = self._index = None
        self._observers = [one for one in (self._provenance, self._subscriptions) if one is not None]
        if self._provenance is not None:
            self._provenance.forget(elements)
        if self._subscriptions is not None:
            self._subscriptions.forget()

    def _check_marks(self, other: str, floor: int | None, received: int | None) -> None:
        mine = MIN_STAMP - 1 if self._received is None else self._received
        theirs = MIN_STAMP - 1 if received is None else received
        if floor is not None and mine < floor:
            raise BehindFloorError(self.replica, mine, floor)
        if self._floor is not None and theirs < self._floor:
            raise BehindFloorError(other, theirs, self._floor)

    def _tell(self, elements: list[E], before: list[int], now: list[int], source: str | None) -> None:
        for observer in self._observers:
            observer.changed(elements, before, now, source)

    def _deliver(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.deliver()

    # Watching

    def subscribe(self, callback: Callable[[frozenset[E], frozenset[E]], object]) -> Subscription:
        """Call `callback(added, removed)` after every change of the members, until the handle is closed.

        A write made from within a callback is reported after it has returned, never inside. A bound method is held
        weakly: when its object goes, so does the subscription. What a callback raises reaches the writer, in an
        ExceptionGroup if several do, after all others have been called; the change stands.
        """
        if self._subscriptions is None:
            self._subscriptions = Subscriptions()
            # Last, so that what its callbacks write comes after everybody has heard of the change before.
            self._observers.append(self._subscriptions)
        return self._subscriptions.add(callback)

    def _watch(self, observer: Observer[E]) -> None:
        self._observers.insert(0, observer)

    def keep_provenance(self) -> None:
        """From now on remember for `explain` where each deciding write came from and what it beat."""
        if self._provenance is None:
            self._provenance = Provenance()
            self._watch(self._provenance)

    def explain(self, element: E) -> Explanation[E]:
        """Say why `element` is in or out: which write decides, of when, from where, and what it beat."""
        waiting = [stamp_in(cell, self._bias_bit) for held, cell in self._quarantine if held == element]
        origin = self._provenance.of(element) if self._provenance is not None else None
        return Explanation.of(element, self._cell_of(element), self._bias_bit, origin, tuple(sorted(waiting)))

    # The floor: what a roster calls

    def promise(self) -> int:
        """Return a stamp that every later write of this replica will be above, with a stamp of the caller's too."""
        self._promised = max(self._promised, self._clock.tick())
        return self._promised

    def vouch(self, received: int) -> None:
        """Note that everything anybody wrote at or below the stamp `received` has arrived here.

        From the first call on, the set merges only with sets that have marks too.
        """
        self._received = max(received, MIN_STAMP if self._received is None else self._received)
        # What has arrived must be in the state, which outlives this process, and not in quarantine, which does not.
        self._release(last_cell(self._received, self._bias_bit))
        self._promised = max(self._promised, MIN_STAMP)
        if self._floor is None:
            self._floor = MIN_STAMP

    def collect(self, floor: int) -> int:
        """Forget every tombstone at or below the stamp `floor`, and from now on ignore cells there; return how many.

        Sound if every member of the roster has received every write at or below `floor` and will write only above it;
        `palaver.crdt.roster` finds such a stamp. Raises ValueError if this replica has not received as much.
        """
        if self._received is None or floor > self._received:
            raise ValueError(f"floor {floor} is above {self._received}, up to which everything has been received")
        if self._floor is not None and floor <= self._floor:
            return 0
        # All have it, so none of it is from a future that anybody doubts.
        settled = last_cell(floor, self._bias_bit)
        self._release(settled)
        self._floor = floor
        gone = {element: cell for element, cell in self._dead.items() if cell <= settled}
        self._put(Changes(list(gone), list(gone.values()), [NOTHING] * len(gone)), NOTHING, None)
        return len(gone)

    def _put(self, changes: Changes[E], top: int, source: str | None) -> None:
        def write(noted: Changes[E]) -> None:
            noted.elements.extend(changes.elements)
            noted.before.extend(changes.before)
            noted.now.extend(changes.now)
            put(self._live, self._dead, changes.elements, changes.now)

        self._change(write, top, source)

    def _release(self, limit: int) -> None:
        released = dict(self._quarantine.release(limit))
        self._join(released, released.values(), max(released.values(), default=NOTHING), None)

    def reseed(self, snapshot: "Replica[E]") -> list[E]:
        """Take over the state and the floor of a current member; of what was here only cells above its floor remain.

        For a replica that `BehindFloorError` named, and for a new member. Returns the elements whose cells changed.
        """
        if snapshot.bias != self.bias:
            raise MismatchError("bias", self.bias, snapshot.bias)
        if snapshot._floor is None or snapshot._received is None:
            raise ValueError("the snapshot has no floor: merge it")
        settled = last_cell(snapshot._floor, self._bias_bit)
        before = dict(self._items())
        live, dead = snapshot._live.copy(), snapshot._dead.copy()
        recent = {element: cell for element, cell in before.items() if cell > settled}
        join_few(live, dead, recent, recent.values(), Changes([], [], []))
        after = live | dead
        changed = [element for element in before | after if before.get(element) != after.get(element)]
        was, now = ([side.get(element, NOTHING) for element in changed] for side in (before, after))
        self._put(Changes(changed, was, now), snapshot._top, snapshot.replica)
        self._floor, self._received = snapshot._floor, snapshot._received
        self._promised = max(self._promised, snapshot._floor)
        self._clock.observe(stamp_in(snapshot._top, self._bias_bit))
        return changed

    # Looking at it

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
        return Statistics(len(self._live), len(self._dead), len(self._quarantine), self._quarantine.turned_away)
