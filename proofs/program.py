"""The program against the model: `LWWElementSet` itself, run on symbolic stamps and cells, path by path.

Each claim runs one operation of the shipped class on an element whose cells and stamp are unknown and says that on
every path the state afterwards is the join of the states before, that members are those with odd cells, and that the
delta that comes back is the difference; a stamp that is not legal is refused and changes nothing. Other elements are
known; operations on one element do not look at others.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import z3

from palaver.crdt import Delta, HybridLogicalClock, LWWElementSet, StampError, merged
from palaver.crdt.order import BIASES, MAX_STAMP, MIN_STAMP, NOTHING, add_cell, join, last_cell, remove_cell
from proofs.symbolic import Claim, Symbol, Term, evaluate, explore, term_of

KINDS = ("absent", "live", "dead")
ELEMENT = "e"
# Enough other elements that the walking loop is taken instead of the union.
OTHERS = ("p", "q", "r", "s")


class Start(NamedTuple):
    """A replica's element before the operation, and what is assumed about it."""

    kind: str
    cell: Term
    assumption: Claim


class Outcome(NamedTuple):
    """What one path leaves behind."""

    cell: Term
    is_member: bool
    changed: tuple[Term, ...]


def start(name: str, kind: str, bias: int) -> Start:
    """Return an unknown cell of the given kind."""
    stamp = z3.Int(f"stamp_{name}")
    legal = z3.And(stamp >= MIN_STAMP, stamp <= MAX_STAMP)
    if kind == "absent":
        return Start(kind, z3.IntVal(NOTHING), z3.BoolVal(True))
    return Start(kind, evaluate(add_cell, stamp) if kind == "live" else evaluate(remove_cell, stamp, bias), legal)


def replica(begin: Start, bias: int, *, crowded: bool = False) -> LWWElementSet[str]:
    """Return a set that holds the unknown cell."""
    clock = HybridLogicalClock("proof", lambda: 0, max_drift=None)
    members: LWWElementSet[str] = LWWElementSet(bias=BIASES[bias], clock=clock)
    if crowded:
        for other in OTHERS:
            members.add(other, MIN_STAMP)
    if begin.kind != "absent":
        state = members._live if begin.kind == "live" else members._dead  # noqa: SLF001  # a state no API could make
        state[ELEMENT] = Symbol(begin.cell)  # type: ignore[assignment]  # the point of it
        members._top = last_cell(MAX_STAMP, bias)  # noqa: SLF001  # as above
    return members


def outcome(members: LWWElementSet[str], delta: Delta[str]) -> Outcome:
    """Look at the element after the operation."""
    live, dead = members._live, members._dead  # noqa: SLF001  # the invariant is about these
    assert not (ELEMENT in live and ELEMENT in dead)
    cell = live[ELEMENT] if ELEMENT in live else dead.get(ELEMENT, NOTHING)
    changed = tuple(term_of(now) for element, now in delta.items() if element == ELEMENT)
    return Outcome(term_of(cell), ELEMENT in members, changed)


def _right(path: Outcome, before: Term, incoming: Term) -> Claim:
    expected = evaluate(join, before, incoming)
    rises = incoming > before
    if path.changed:
        (now,) = path.changed
        difference = z3.And(rises, now == incoming)
    else:
        difference = z3.Not(rises)
    return z3.And(path.cell == expected, (path.cell % 2 == 1) == path.is_member, difference)


def _claim(program: Callable[[], Outcome], assuming: Claim, before: Term, incoming: Term) -> Claim:
    paths = explore(program, assuming)
    assert paths
    return z3.And(*[z3.Implies(path.condition, _right(path.result, before, incoming)) for path in paths])


def _writes(bias: int) -> Iterator[tuple[str, Claim]]:
    stamp = z3.Int("stamp")
    legal = z3.And(stamp >= MIN_STAMP, stamp <= MAX_STAMP)
    for kind, act in product(KINDS, ("add", "remove")):
        begin = start("mine", kind, bias)
        incoming = evaluate(add_cell, stamp) if act == "add" else evaluate(remove_cell, stamp, bias)

        def program(begin: Start = begin, act: str = act) -> Outcome:
            members = replica(begin, bias)
            write = members.add if act == "add" else members.remove
            return outcome(members, write(ELEMENT, Symbol(stamp)))  # type: ignore[arg-type]  # any stamp

        yield f"{act} on {kind}", _claim(program, z3.And(legal, begin.assumption), begin.cell, incoming)


def _refusals(bias: int) -> Iterator[tuple[str, Claim]]:
    """Any number given as a stamp is refused if and only if it is not legal, whatever was written before."""
    stamp, top = z3.Int("stamp"), z3.Int("top")
    legal = z3.And(stamp >= MIN_STAMP, stamp <= MAX_STAMP)
    for kind, act in product(KINDS, ("add", "remove")):
        begin = start("mine", kind, bias)

        def program(begin: Start = begin, act: str = act) -> Term | None:
            members = replica(begin, bias)
            members._top = Symbol(top)  # type: ignore[assignment]  # noqa: SLF001  # as in `replica`
            write = members.add if act == "add" else members.remove
            try:
                write(ELEMENT, Symbol(stamp))  # type: ignore[arg-type]  # any number
            except StampError:
                return outcome(members, members.delta_since(None)).cell
            return None

        paths = explore(program, z3.And(begin.assumption, begin.cell <= top, top <= last_cell(MAX_STAMP, bias)))
        assert any(path.result is not None for path in paths)
        right = [legal if path.result is None else z3.And(z3.Not(legal), path.result == begin.cell) for path in paths]
        claim = z3.And(*[z3.Implies(path.condition, each) for path, each in zip(paths, right, strict=True)])
        yield f"{act} on {kind} of any stamp", claim


def _merges(bias: int) -> Iterator[tuple[str, Claim]]:
    ways: dict[str, Callable[[Start, Start], Outcome]] = {
        "merge by union": lambda mine, theirs: _merge(mine, theirs, bias, crowded=False),
        "merge by walking": lambda mine, theirs: _merge(mine, theirs, bias, crowded=True),
        "merge of a delta": lambda mine, theirs: _merge_delta(mine, theirs, bias),
        "merged": lambda mine, theirs: _merged(mine, theirs, bias),
    }
    for (way, run), mine_kind, their_kind in product(ways.items(), KINDS, KINDS):
        mine, theirs = start("mine", mine_kind, bias), start("theirs", their_kind, bias)

        def program(
            run: Callable[[Start, Start], Outcome] = run, mine: Start = mine, theirs: Start = theirs
        ) -> Outcome:
            return run(mine, theirs)

        name = f"{way}, {their_kind} into {mine_kind}"
        yield name, _claim(program, z3.And(mine.assumption, theirs.assumption), mine.cell, theirs.cell)


def _merge(mine: Start, theirs: Start, bias: int, *, crowded: bool) -> Outcome:
    members = replica(mine, bias, crowded=crowded)
    return outcome(members, members.merge(replica(theirs, bias)))


def _merge_delta(mine: Start, theirs: Start, bias: int) -> Outcome:
    members = replica(mine, bias)
    return outcome(members, members.merge(replica(theirs, bias).delta_since(None)))


def _merged(mine: Start, theirs: Start, bias: int) -> Outcome:
    one, other = replica(mine, bias), replica(theirs, bias)
    both = merged(one, other)
    return outcome(both, one.merge(other))


def claims() -> dict[str, Claim]:
    """Return every claim about the program; all must be proved."""
    return {
        f"{name} [{BIASES[bias]} wins]": claim
        for bias in (0, 1)
        for family in (_writes, _refusals, _merges)
        for name, claim in family(bias)
    }
