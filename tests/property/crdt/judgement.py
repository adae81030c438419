"""Everything that must hold, small enough to be asked of every mutant; takes the package to judge as an argument."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise, permutations, product
from typing import Any

from tests.property.crdt.specification import Update, specified

# A package like palaver.crdt; its types are not those that mypy knows.
Package = Any
# Neighbours, since cells of neighbours touch, and one so great that equal cells are not one object.
EVERY = [Update("ada", is_add, stamp) for is_add, stamp in product((True, False), (-1, 0, 1 << 40))]
HISTORIES = [history for size in range(3) for history in product(EVERY, repeat=size)]
BIASES = ("add", "remove")
# Enough others that a merge walks the smaller side instead of uniting both.
CROWD = [f"other-{number}" for number in range(6)]


class Wall:
    """A wall clock that stands where it is put."""

    milliseconds = 1_000_000

    def __call__(self) -> int:
        return self.milliseconds


def replica(crdt: Package, bias: str = "add", wall: Wall | None = None, name: str = "a") -> Package:
    """Make a set with a clock of its own that doubts the future, unless there is no wall."""
    drift = None if wall is None else timedelta(seconds=60)
    return crdt.LWWElementSet(bias=bias, clock=crdt.HybridLogicalClock(name, wall or Wall(), max_drift=drift))


def written(crdt: Package, history: tuple[Update, ...], bias: str) -> Package:
    """Write a history into a new set."""
    members = replica(crdt, bias)
    for update in history:
        (members.add if update.is_add else members.remove)(update.element, update.stamp)
    return members


def greatest(history: tuple[Update, ...], bias: Any) -> Update | None:
    """Return the update that decides, by definition."""
    latest = [update for update in history if update.stamp == max(one.stamp for one in history)]
    return next((one for one in latest if one.is_add == bool(specified(latest, bias))), None)


def shows(members: Package, history: tuple[Update, ...], bias: Any) -> bool:
    """Say whether a set shows what the history defines, in every way that it can be asked."""
    decides = greatest(history, bias)
    present = decides is not None and decides.is_add
    return bool(
        members.lookup("ada") is present
        and ("ada" in members.frozen()) is present
        and ("ada" in members.tombstones()) is (decides is not None and not present)
        and members.stamp_of("ada") == (None if decides is None else decides.stamp)
        and members.explain("ada").present is present
    )


def writing(crdt: Package) -> bool:
    """Every order of a history gives the definition; a write that changes nothing returns nothing."""
    for bias, history in product(BIASES, HISTORIES):
        for order in permutations(history):
            members = written(crdt, order, bias)
            if not shows(members, history, bias) or any(
                (members.add if update.is_add else members.remove)(update.element, update.stamp) for update in history
            ):
                return False
    return True


def refusing(crdt: Package) -> bool:
    """What is no stamp is refused, whatever has been written before, and changes nothing."""
    acts, beyond = ("add", "remove"), (crdt.MIN_STAMP - 1, crdt.MAX_STAMP + 1)
    for bias, first, act, stamp in product(BIASES, (None, *acts), acts, beyond):
        members = replica(crdt, bias)
        if first:
            getattr(members, first)("ada", crdt.MAX_STAMP)
        before = members.copy()
        try:
            getattr(members, act)("ada", stamp)
        except crdt.StampError:
            if not members.state_equal(before):
                return False
        else:
            return False
    return True


def merging(crdt: Package) -> bool:
    """A merge, whichever way it is done, gives the definition, and returns the difference."""
    ways: list[Callable[[Package, Package], Package]] = [
        lambda mine, theirs: mine.merge(theirs),
        lambda mine, theirs: mine.merge(theirs.delta_since(None)),
        lambda mine, theirs: [mine.update(CROWD), mine.merge(theirs)][1],
    ]
    for bias, one, other, way in product(BIASES, HISTORIES, HISTORIES, ways):
        mine, theirs = written(crdt, one, bias), written(crdt, other, bias)
        before, changes = mine.copy(), way(mine, theirs)
        rises = greatest(one + other, bias) != greatest(one, bias)
        if not shows(mine, one + other, bias) or bool(changes) is not rises or mine.merge(theirs):
            return False
        before.merge(changes)
        if not shows(before, one + other, bias):
            return False
    return True


def laws(crdt: Package) -> bool:
    """Merging is commutative, associative and idempotent, for sets and for deltas."""
    for bias, (one, two) in product(BIASES, product(HISTORIES, repeat=2)):
        a, b, c = written(crdt, one, bias), written(crdt, two, bias), written(crdt, one[:1] + two[1:], bias)
        both = crdt.merged(a, b)
        if not (both.state_equal(crdt.merged(b, a)) and both.dominates(a) and both.dominates(b)):
            return False
        if not crdt.merged(both, c).state_equal(crdt.merged(a, crdt.merged(b, c))):
            return False
        if not crdt.merged(a, a).state_equal(a) or a.dominates(both) != a.state_equal(both):
            return False
        joined = a.delta_since(None).joined(b.delta_since(None))
        if joined != both.delta_since(None):
            return False
    return True


def travelling(crdt: Package) -> bool:
    """Bytes and digests say which state it is."""
    states = [written(crdt, history, bias) for bias in BIASES for history in HISTORIES]
    for one in states:
        if not crdt.LWWElementSet.decode(one.encode()).state_equal(one):
            return False
    for one, other in pairwise(states):
        same = one.state_equal(other)
        if (one.encode() == other.encode()) is not same or (one.digest() == other.digest()) is not same:
            return False
    members = replica(crdt)
    members.digest()
    members.add("ada", 1)
    members.remove("ada", 2)
    return bool(members.digest() == members.copy().digest())


def time(crdt: Package) -> bool:
    """Stamps grow, local writes take effect, one bad clock spoils nothing."""
    wall = Wall()
    for first, then in (("remove", "add"), ("add", "remove")):
        members = replica(crdt, wall=wall)
        getattr(members, first)("ada", crdt.MAX_STAMP - 1)
        getattr(members, then)("ada")
        if ("ada" in members) is not (then == "add"):
            return False
    stamps = [members.clock.tick() for _ in range(3)]
    if stamps != sorted(set(stamps)) or members.clock.lead > timedelta(seconds=1):
        return False
    behind = replica(crdt, wall=wall)
    behind.merge(members)
    if "ada" in behind.tombstones() or not behind.pending or behind.clock.lead > timedelta(seconds=60):
        return False
    wall.milliseconds = crdt.MAX_STAMP >> 17
    behind.admit()
    return bool(behind.state_equal(members))


def tombstones(crdt: Package) -> bool:
    """They go when all have passed them, not before, and nothing comes back."""
    wall = Wall()
    a, b = replica(crdt, wall=wall, name="a"), replica(crdt, wall=wall, name="b")
    rosters = crdt.Roster(a, ["a", "b"]), crdt.Roster(b, ["a", "b"])
    slow = a.add("ada")
    a.remove("ada")
    # B has reported, but has not heard of the remove yet.
    wall.milliseconds += 1
    rosters[0].receive(rosters[1].report(), b)
    rosters[0].report()
    if rosters[0].collect() or "ada" not in a.tombstones():
        return False
    for _ in range(2):
        for sender, mine, receiver in ((a, rosters[0], rosters[1]), (b, rosters[1], rosters[0])):
            wall.milliseconds += 1
            receiver.receive(mine.report(), crdt.LWWElementSet.decode(sender.encode(), replica=sender.replica))
    b.remove("bob")
    if rosters[0].collect() != 1 or rosters[1].collect() != 1 or b.tombstones() != {"bob"}:
        return False
    a.merge(slow)
    try:
        a.merge(replica(crdt, name="stale"))
    except crdt.BehindFloorError:
        return "ada" not in a
    return False


def settling(crdt: Package) -> bool:
    """A floor divides the order exactly after its stamp, under either bias."""
    for bias in BIASES:
        members, late = replica(crdt, bias), replica(crdt, bias)
        for stamp in (4, 5, 6):
            members.remove(f"gone at {stamp}", stamp)
            late.add(f"late at {stamp}", stamp)
        members.vouch(5)
        if members.collect(5) != 2 or members.tombstones() != {"gone at 6"}:
            return False
        if members.merge(late.delta_since(None)).added() != {"late at 6"}:
            return False
    return True


def restarting(crdt: Package) -> bool:
    """What was vouched for outlives the process, and nothing may be written below it."""
    wall = Wall()
    members, fast = replica(crdt, wall=wall), replica(crdt, wall=None)
    fast.add("ada", 2_000_000 << 17)
    members.merge(fast)
    wall.milliseconds = 3_000_000
    members.vouch(2_500_000 << 17)
    again = crdt.LWWElementSet.decode(members.encode())
    try:
        again.add("bob", 2_400_000 << 17)
    except crdt.StampError:
        return "ada" in again
    return False


def broken(crdt: Package) -> Iterator[str]:
    """Name what does not hold; what raises does not hold either."""
    for law in (time, tombstones, settling, restarting, travelling, refusing, writing, laws, merging):
        try:
            holds = law(crdt)
        except Exception as error:  # noqa: BLE001 - a mutant may fail in any way, and each is a death
            yield f"{law.__name__} ({error!r})"
        else:
            if not holds:
                yield law.__name__
