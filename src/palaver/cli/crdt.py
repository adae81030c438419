"""`palaver crdt demo`: how replicas that have diverged come to agree, told scene by scene.

Every line is printed by replicas that really did it, and each scene ends with a claim that is checked: the command
exits with 1 if one does not hold. `docs/tutorial/crdt.md` does the same by hand.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import permutations

import click

from palaver.crdt import MAX_STAMP, Bias, HybridLogicalClock, LWWElementSet, merged

NOON_MS = 1_795_262_400_000
Members = LWWElementSet[str]
Lines = Iterator[str]


class BrokenError(Exception):
    """A scene did not end as it must."""


class Wall:
    """A wall clock that the scenes set."""

    def __init__(self, milliseconds: int = NOON_MS) -> None:
        self.milliseconds = milliseconds

    def __call__(self) -> int:
        return self.milliseconds


@click.group()
def crdt() -> None:
    """The last-writer-wins element set."""


@crdt.command()
def demo() -> None:
    """Let replicas diverge and merge, scene by scene; exit with 1 if they do not agree."""
    for number, (title, scene) in enumerate(SCENES, start=1):
        click.echo(f"{number}. {title}")
        try:
            for line in scene():
                click.echo(f"   {line}")
        except BrokenError as broken:
            click.echo(f"   THIS DOES NOT HOLD: {broken}")
            sys.exit(1)
        click.echo()


def replica(name: str, *, bias: Bias = "add", wall: Wall | None = None) -> Members:
    """Make a replica with a wall clock of its own."""
    return Members(bias=bias, clock=HybridLogicalClock(name, wall or Wall()))


def write(members: Members, act: str, element: str, stamp: int | None = None) -> str:
    """Add or remove, and say so."""
    delta = (members.add if act == "add" else members.remove)(element, stamp)
    at = "" if stamp is None else f" at stamp {stamp}"
    return f"{members.replica} {act}s {element}{at}{'' if delta else ', which changes nothing: a later write stands'}"


def shown(members: Members) -> str:
    """Say what a replica shows."""
    names = ", ".join(sorted(members)) or "nobody"
    gone = f" (removed: {', '.join(sorted(members.tombstones()))})" if members.tombstones() else ""
    return f"{members.replica} shows {names}{gone}"


def agree(expected: set[str], *replicas: Members) -> str:
    """Check that all have one state with these members, and say so."""
    first, *others = replicas
    if set(first) != expected or any(first.encode() != other.encode() for other in others):
        raise BrokenError("; ".join(shown(members) for members in replicas))
    names = " and ".join(members.replica for members in replicas)
    return f"{names} agree on {', '.join(sorted(expected)) or 'nobody'}, byte for byte"


def exchange(one: Members, other: Members) -> str:
    """Merge both ways, from the states before."""
    before = one.copy()
    one.merge(other)
    other.merge(before)
    return f"{one.replica} and {other.replica} exchange what they know"


def _concurrent() -> Lines:
    east, west = replica("east"), replica("west")
    yield write(east, "add", "ada", 1)
    yield exchange(east, west)
    yield "the link breaks"
    yield write(east, "remove", "ada", 5)
    yield write(west, "add", "ada", 7)
    yield shown(east)
    yield shown(west)
    yield "the link is back"
    yield exchange(east, west)
    yield agree({"ada"}, east, west) + ", because 7 is later than 5"


def _equal_stamps() -> Lines:
    biases: tuple[Bias, Bias] = ("add", "remove")
    for bias in biases:
        east, west = replica("east", bias=bias), replica("west", bias=bias)
        yield f'with bias "{bias}":'
        yield write(east, "add", "ada", 5)
        yield write(west, "remove", "ada", 5)
        yield exchange(east, west)
        yield agree({"ada"} if bias == "add" else set(), east, west) + f": at equal stamps the {bias} wins"


def _late_add() -> Lines:
    east, west = replica("east"), replica("west")
    late = east.add("ada", 3)
    yield "east adds ada at stamp 3; the message to west is slow"
    yield write(west, "remove", "ada", 6)
    west.merge(late)
    yield "the add of stamp 3 reaches west after the remove of stamp 6"
    yield shown(west)
    yield exchange(east, west)
    yield agree(set(), east, west) + ": what counts is when it was written, not when it came"


def _remove_before_add() -> Lines:
    east, west = replica("east"), replica("west")
    yield write(west, "remove", "ada", 4) + ", whom it has never seen"
    yield write(west, "add", "ada", 2)
    yield write(east, "add", "ada", 2)
    yield exchange(east, west)
    yield agree(set(), east, west) + ": the remove was remembered and met the older add"


def _add_again() -> Lines:
    east, west = replica("east"), replica("west")
    for act, stamp in (("add", 1), ("remove", 2), ("add", 3)):
        yield write(east, act, "ada", stamp)
    yield exchange(east, west)
    yield agree({"ada"}, east, west) + ": a remove is not for ever"


def _every_order() -> Lines:
    east, west, north = replica("east"), replica("west"), replica("north")
    yield write(east, "add", "ada", 4)
    yield write(west, "remove", "ada", 4)
    yield write(west, "add", "bob", 6)
    yield write(north, "remove", "bob", 9)
    yield write(north, "add", "cy", 1)
    results = set()
    for a, b, c in permutations((east, west, north)):
        results |= {merged(merged(a, b), c).encode(), merged(a, merged(b, c)).encode()}
        results.add(merged(merged(a, merged(a, b)), merged(c, merged(b, c))).encode())
    if len(results) != 1:
        raise BrokenError(f"{len(results)} different states")
    (data,) = results
    yield "merged in all 6 orders, in both groupings, and with repetitions: 18 ways"
    yield f"all 18 give the same {len(data)} bytes: {', '.join(sorted(Members.decode(data)))}"


def _skew() -> Lines:
    slow = Wall(NOON_MS - 45_000)
    east, west = replica("east"), replica("west", wall=slow)
    yield "the wall clock of west is 45 seconds slow"
    yield write(east, "add", "ada")
    yield exchange(east, west)
    yield write(west, "remove", "ada")
    if "ada" in west:
        raise BrokenError("a local write was lost to a clock")
    yield shown(west) + ": by the wall clocks alone the remove would be older than the add, and lost"
    yield exchange(east, west)
    yield agree(set(), east, west) + ": a hybrid clock has moved past every stamp that it has seen"


def _far_future() -> Lines:
    wall = Wall()
    east, west = replica("east", wall=wall), replica("west", wall=Wall(NOON_MS + 3_600_000))
    yield "the wall clock of west is an hour fast"
    east.merge(west.add("ada"))
    yield "west adds ada; east is told, and does not believe it yet"
    yield f"{shown(east)}; waiting in quarantine: {', '.join(east.pending)}"
    yield write(east, "add", "bob")
    if east.clock.lead.total_seconds() > 1:
        raise BrokenError("one bad clock has moved another")
    yield "the clock of east still keeps to its own wall"
    wall.milliseconds += 3_600_000
    east.admit()
    yield "an hour later the stamp is no longer of the future, and east lets it in"
    west.merge(east)
    yield agree({"ada", "bob"}, east, west) + ": nothing was believed too early, clamped or dropped"
    west.add("cy", MAX_STAMP)
    east.merge(west)
    yield f"a stamp of the year 2248 waits as well, and hides nothing: {shown(east)}"


SCENES: tuple[tuple[str, Callable[[], Lines]], ...] = (
    ("Concurrent add and remove: the later stamp wins", _concurrent),
    ("Equal stamps: the bias decides", _equal_stamps),
    ("A late add: it comes after the remove and is older", _late_add),
    ("A remove before the add: nobody has seen the element yet", _remove_before_add),
    ("An add after a remove: back again", _add_again),
    ("Three replicas: every order of merging", _every_order),
    ("A slow clock: a local write still takes effect", _skew),
    ("A far-future stamp: it waits", _far_future),
)
