"""What holds for the set, as theorems that z3 checks, and what would not hold if it were built otherwise.

The functions of `palaver.crdt.order` and the clock are run here on z3's integers (symbolic.py), so the model has no
order of its own that could drift from the program's. A state is a function from elements to cells; every claim is about
an arbitrary element and therefore about sets of any size. A claim is proved when its negation has no model.

`THEOREMS` must be proved and `MISTAKES` must be refuted: each of those was made in some library.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import z3

from palaver.crdt.clock import COUNTER_BITS, HybridLogicalClock
from palaver.crdt.order import (
    MAX_STAMP,
    MIN_STAMP,
    NOTHING,
    add_cell,
    join,
    last_cell,
    present_in,
    remove_cell,
    stamp_in,
)
from proofs.symbolic import Claim, Symbol, Term, evaluate, explore, holds, term_of

s, t, f, g = z3.Ints("s t f g")
a, b, c, x, y, z = z3.Ints("a b c x y z")


def legal(*stamps: Term) -> Claim:
    """Say that the terms are stamps."""
    return z3.And(*[z3.And(stamp >= MIN_STAMP, stamp <= MAX_STAMP) for stamp in stamps])


def cells(bias: int, *terms: Term) -> Claim:
    """Say that each term is NOTHING or the cell of a legal stamp."""
    return z3.And(
        *[
            z3.Or(
                term == NOTHING,
                z3.And(
                    legal(evaluate(stamp_in, term, bias)),
                    z3.Or(
                        term == evaluate(add_cell, evaluate(stamp_in, term, bias)),
                        term == evaluate(remove_cell, evaluate(stamp_in, term, bias), bias),
                    ),
                ),
            )
            for term in terms
        ]
    )


def joined(one: Term, other: Term) -> Term:
    """Return the join of two cells, by the program's own function."""
    return evaluate(join, one, other)


def present(cell: Term) -> Claim:
    """Say that the cell is an add, by the program's own function."""
    return holds(present_in, cell)


# The chain of cells, and the lattice of states (pointwise at an arbitrary element)


def _lattice(bias: int) -> Iterator[tuple[str, Claim]]:
    add_s, add_t = evaluate(add_cell, s), evaluate(add_cell, t)
    rem_s, rem_t = evaluate(remove_cell, s, bias), evaluate(remove_cell, t, bias)
    yield "adds are ordered by stamp", (add_s < add_t) == (s < t)
    yield "removes are ordered by stamp", (rem_s < rem_t) == (s < t)
    yield "an add beats a remove by stamp, then by bias", (add_s > rem_t) == z3.Or(s > t, z3.And(s == t, bias == 0))
    yield "a remove beats an add by stamp, then by bias", (rem_s > add_t) == z3.Or(s > t, z3.And(s == t, bias == 1))
    yield "an add and a remove are never the same cell", add_s != rem_t
    yield (
        "a cell gives its stamp back",
        z3.And(evaluate(stamp_in, add_s, bias) == s, evaluate(stamp_in, rem_s, bias) == s),
    )
    yield "a cell gives its kind back", z3.And(present(add_s), z3.Not(present(rem_s)))
    yield (
        "nothing is below every cell and no add",
        z3.Implies(legal(s), z3.And(add_s > NOTHING, rem_s > NOTHING, z3.Not(present(z3.IntVal(NOTHING))))),
    )
    yield (
        "cells of legal stamps fit 63 bits",
        z3.Implies(legal(s), z3.And(add_s < 1 << 62, rem_s < 1 << 62, add_s > -(1 << 62), rem_s > -(1 << 62))),
    )
    yield (
        "the last cell of a stamp divides the order there",
        z3.And(
            (add_s <= evaluate(last_cell, f, bias)) == (s <= f), (rem_s <= evaluate(last_cell, f, bias)) == (s <= f)
        ),
    )
    here = cells(bias, a, b, c)
    yield "merge is commutative", z3.Implies(here, joined(a, b) == joined(b, a))
    yield "merge is associative", z3.Implies(here, joined(joined(a, b), c) == joined(a, joined(b, c)))
    yield "merge is idempotent", z3.Implies(here, joined(a, a) == a)
    yield "the empty set is neutral", z3.Implies(here, joined(a, z3.IntVal(NOTHING)) == a)
    yield "merge stays within the cells", z3.Implies(here, cells(bias, joined(a, b)))
    yield "merge is an upper bound", z3.Implies(here, z3.And(joined(a, b) >= a, joined(a, b) >= b))
    yield "merge is the least upper bound", z3.Implies(z3.And(here, c >= a, c >= b), c >= joined(a, b))
    yield "a write never lowers a state", z3.Implies(here, joined(a, b) >= a)
    yield "deltas may be grouped before they are applied", joined(joined(x, a), b) == joined(x, joined(a, b))
    yield "a delta twice is a delta once", joined(joined(x, a), a) == joined(x, a)
    difference = z3.If(b > a, b, z3.IntVal(NOTHING))
    yield "the difference is enough", z3.Implies(here, joined(a, difference) == joined(a, b))
    yield (
        "less than the difference is not enough",
        z3.Implies(z3.And(here, difference != NOTHING), joined(a, z3.IntVal(NOTHING)) != joined(a, b)),
    )


# Replicas that saw the same updates agree, and what they show is the specification


def _greatest(of: z3.FuncDeclRef, cell: Term) -> Claim:
    """Say that `cell` is the greatest in a set of cells, or NOTHING if that is empty."""
    bound = z3.Int("bound")
    return z3.And(
        z3.Or(of(cell), z3.And(cell == NOTHING, z3.ForAll(bound, z3.Not(of(bound))))),
        z3.ForAll(bound, z3.Implies(of(bound), bound <= cell)),
    )


def _convergence(bias: int) -> Iterator[tuple[str, Claim]]:
    first = z3.Function("first", z3.IntSort(), z3.BoolSort())
    second = z3.Function("second", z3.IntSort(), z3.BoolSort())
    w = z3.Int("w")
    either = joined(a, b)
    yield (
        "merging two states that stand for two sets of updates stands for their union",
        z3.Implies(
            z3.And(
                _greatest(first, a),
                _greatest(second, b),
                z3.ForAll(w, z3.Implies(first(w), w > NOTHING)),
                z3.ForAll(w, z3.Implies(second(w), w > NOTHING)),
            ),
            z3.And(
                z3.Or(first(either), second(either), either == NOTHING),
                z3.ForAll(w, z3.Implies(z3.Or(first(w), second(w)), w <= either)),
            ),
        ),
    )
    yield (
        "replicas that saw the same updates have the same cell",
        z3.Implies(
            z3.And(_greatest(first, a), _greatest(first, b), z3.ForAll(w, z3.Implies(first(w), w > NOTHING))), a == b
        ),
    )
    added = z3.Function("added", z3.IntSort(), z3.BoolSort())
    removed = z3.Function("removed", z3.IntSort(), z3.BoolSort())
    greatest = z3.And(
        z3.ForAll(w, z3.Implies(added(w), z3.And(legal(w), evaluate(add_cell, w) <= a))),
        z3.ForAll(w, z3.Implies(removed(w), z3.And(legal(w), evaluate(remove_cell, w, bias) <= a))),
        z3.Or(
            z3.And(added(s), a == evaluate(add_cell, s)),
            z3.And(removed(s), a == evaluate(remove_cell, s, bias)),
            z3.And(a == NOTHING, z3.ForAll(w, z3.Not(z3.Or(added(w), removed(w))))),
        ),
    )
    survives = z3.ForAll(w, z3.Implies(removed(w), z3.Or(w < t, z3.And(w == t, bias == 0))))
    yield (
        "an element that is in has an add that no remove beats",
        z3.Implies(z3.And(greatest, present(a), t == s), z3.And(added(t), survives)),
    )
    yield (
        "an element that has an add that no remove beats is in",
        z3.Implies(z3.And(greatest, added(t), survives), present(a)),
    )
    yield "the two maps of the paper merge to the same cell", _two_maps(bias)


def _two_maps(bias: int) -> Claim:
    """Say that taking the later stamp of each kind apart, then deciding, is deciding and then joining."""

    def decided(add: Term, remove: Term) -> Term:
        return joined(evaluate(add_cell, add), evaluate(remove_cell, remove, bias))

    later_add, later_remove = z3.If(s > f, s, f), z3.If(t > g, t, g)
    return decided(later_add, later_remove) == joined(decided(s, t), decided(f, g))


# Tombstones: what a replica holds (c) and what it would hold had it kept everything (a), at floor f


def _settled(cell: Term, floor: Term, bias: int) -> Claim:
    return cell <= evaluate(last_cell, floor, bias)


def _faithful(held: Term, full: Term, floor: Term, bias: int) -> Claim:
    """Say that only a tombstone at or below the floor may be missing."""
    return z3.Or(held == full, z3.And(held == NOTHING, z3.Not(present(full)), _settled(full, floor, bias)))


def _collection(bias: int) -> Iterator[tuple[str, Claim]]:
    here = z3.And(cells(bias, a, b, c, x, y), legal(f, g))
    faithful = _faithful(c, a, f, bias)
    yield "collecting changes no answer", z3.Implies(z3.And(here, faithful), present(c) == present(a))
    yield (
        "collecting keeps a state faithful",
        z3.Implies(
            z3.And(here, a != NOTHING, z3.Not(present(a)), _settled(a, f, bias)),
            _faithful(z3.IntVal(NOTHING), a, f, bias),
        ),
    )
    # Everybody has every update at or below the floor, so one that arrives again is at most what they have.
    received = z3.Implies(_settled(b, f, bias), b <= a)
    taken = z3.If(_settled(b, f, bias), c, joined(c, b))
    yield (
        "receiving under a floor keeps a state faithful",
        z3.Implies(z3.And(here, faithful, received), _faithful(taken, joined(a, b), f, bias)),
    )
    yield (
        "raising the floor keeps a state faithful",
        z3.Implies(z3.And(here, faithful, g >= f), _faithful(c, a, g, bias)),
    )
    # The other has floor g, holds y, and would hold x. Both have all updates at or below both floors.
    same = z3.And(
        z3.Implies(_settled(a, f, bias), a <= x),
        z3.Implies(_settled(a, g, bias), a <= x),
        z3.Implies(_settled(x, f, bias), x <= a),
        z3.Implies(_settled(x, g, bias), x <= a),
    )
    merged = z3.If(_settled(y, f, bias), c, joined(c, y))
    yield (
        "members with different floors merge faithfully",
        z3.Implies(
            z3.And(here, faithful, _faithful(y, x, g, bias), same),
            _faithful(merged, joined(a, x), z3.If(f > g, f, g), bias),
        ),
    )


# The clock, run as it is


def _clock(latest: Term, wall: Term, drift_ms: int | None = 5) -> HybridLogicalClock:
    drift = None if drift_ms is None else timedelta(milliseconds=drift_ms)
    clock = HybridLogicalClock("proof", lambda: Symbol(wall), max_drift=drift)  # type: ignore[arg-type, return-value]  # the wall clock is unknown
    clock._latest = Symbol(latest)  # type: ignore[assignment]  # noqa: SLF001  # so is its past
    return clock


def _after(latest: Term, wall: Term, act: Callable[[HybridLogicalClock], object]) -> list[tuple[Claim, Term]]:
    def program() -> Term:
        clock = _clock(latest, wall)
        act(clock)
        return term_of(clock.latest)

    sane = z3.And(latest >= -1, latest < 1 << 50, wall >= 0, wall < 1 << 30)
    return [(path.condition, path.result) for path in explore(program, sane)]


def _hybrid_clock() -> Iterator[tuple[str, Claim]]:
    unit = 1 << COUNTER_BITS
    ticks = _after(s, t, lambda clock: clock.tick())
    paper_ms = z3.If(s / unit > t, s / unit, t)
    paper_counter = z3.If(paper_ms == s / unit, s % unit + 1, z3.IntVal(0))
    yield "a tick is after everything before", z3.And(*[z3.Implies(path, after > s) for path, after in ticks])
    yield (
        "a tick is never behind the wall clock",
        z3.And(*[z3.Implies(path, after >= t * unit) for path, after in ticks]),
    )
    yield (
        "a tick is that of the paper, with the carry",
        z3.And(*[z3.Implies(z3.And(path, s >= 0), after == paper_ms * unit + paper_counter) for path, after in ticks]),
    )
    observed = _after(s, t, lambda clock: clock.observe(Symbol(x)))  # type: ignore[arg-type]  # any stamp
    within = (t + 6) * unit
    yield (
        "observing leads the clock no further than the drift",
        z3.And(*[z3.Implies(z3.And(path, s < within), after < within) for path, after in observed]),
    )
    yield "observing never sets the clock back", z3.And(*[z3.Implies(path, after >= s) for path, after in observed])


# What would go wrong


def _mistakes(bias: int) -> Iterator[tuple[str, Claim]]:
    here = z3.And(cells(bias, a, b, c, x, y), legal(s, t, f, g))
    rem_s, add_t = evaluate(remove_cell, s, bias), evaluate(add_cell, t)
    by_stamp = z3.If(evaluate(stamp_in, b, bias) > evaluate(stamp_in, a, bias), b, a)
    by_stamp_back = z3.If(evaluate(stamp_in, a, bias) > evaluate(stamp_in, b, bias), a, b)
    yield "a tie keeps the local write: commutative", z3.Implies(here, by_stamp == by_stamp_back)
    add_first = joined(add_t, rem_s)
    remove_first = joined(z3.IntVal(NOTHING), add_t)
    yield "a remove needs the element to be there: commutative", z3.Implies(here, add_first == remove_first)
    yield "a local write overwrites: never lowers a state", z3.Implies(here, b >= a)
    default = z3.If(a == NOTHING, z3.IntVal(0), a)
    yield "missing is zero: neutral", z3.Implies(here, joined(default, b) == joined(a, b))
    if bias == 0:
        default_b = z3.If(b == NOTHING, z3.IntVal(0), b)
        yield (
            "both kinds are missing at zero: never seen is out",
            z3.Implies(z3.And(a == NOTHING, b == NOTHING), z3.Not(default >= default_b)),
        )
    kept = z3.If(evaluate(stamp_in, a, bias) <= 0, z3.IntVal(NOTHING), a)
    yield "merge drops stamps at or below zero: idempotent", z3.Implies(here, joined(kept, kept) == a)
    other_bias = evaluate(remove_cell, s, 1 - bias)
    yield (
        "each replica has its own bias: they agree",
        (joined(rem_s, add_t) == rem_s) == (joined(other_bias, add_t) == other_bias),
    )
    replica_add, replica_remove = z3.Ints("replica_add replica_remove")
    first_by_replica = z3.Or(t > s, z3.And(t == s, replica_add > replica_remove))
    yield (
        "the replica decides before the bias: the bias does",
        first_by_replica == z3.Or(t > s, z3.And(t == s, bias == 0)),
    )
    restamped = z3.If(b > a, b + 2, a)
    yield "merge writes a stamp of its own: commutative", z3.Implies(here, restamped == z3.If(a > b, a + 2, b))
    yield (
        "clamped stamps: a function of the updates",
        z3.Implies(z3.And(here, s < t), z3.If(a > s, s, a) == z3.If(a > t, t, a)),
    )
    yield (
        "tombstones go without a floor: answers stay",
        z3.Implies(z3.And(here, z3.Not(present(a))), present(joined(z3.IntVal(NOTHING), b)) == present(joined(a, b))),
    )
    # All hold the tombstone a and drop it; an older add b comes out of a queue, and is not at or below any floor.
    yield (
        "tombstones go when all hold them: answers stay",
        z3.Implies(
            z3.And(here, z3.Not(present(a)), a > NOTHING, b < a, b > NOTHING),
            present(joined(z3.IntVal(NOTHING), b)) == present(a),
        ),
    )
    yield (
        "a floor above what was received: faithful",
        z3.Implies(
            z3.And(here, _faithful(c, a, f, bias)),
            _faithful(z3.If(_settled(b, f, bias), c, joined(c, b)), joined(a, b), f, bias),
        ),
    )


def _unguarded_clock() -> Claim:
    """Say that a clock without a bound keeps near its wall clock."""

    def program() -> Term:
        clock = _clock(s, t, None)
        clock.observe(Symbol(x))  # type: ignore[arg-type]  # any stamp
        return term_of(clock.latest)

    near = (t + 6) * (1 << COUNTER_BITS)
    sane = z3.And(s >= -1, s < near, t >= 0, t < 1 << 30)
    return z3.And(*[z3.Implies(path.condition, path.result < near) for path in explore(program, sane)])


def _for_both(claims: Callable[[int], Iterator[tuple[str, Claim]]]) -> dict[str, Claim]:
    names = ("add", "remove")
    return {f"{name} [{names[bias]} wins]": claim for bias in (0, 1) for name, claim in claims(bias)}


def theorems() -> dict[str, Claim]:
    """Return everything that must be proved."""
    return {**_for_both(_lattice), **_for_both(_convergence), **_for_both(_collection), **dict(_hybrid_clock())}


def mistakes() -> dict[str, Claim]:
    """Return the claims about wrong variants, each of which must have a counterexample."""
    return {**_for_both(_mistakes), "a clock without a guard: near its wall clock": _unguarded_clock()}


def verdict(claim: Claim) -> z3.CheckSatResult:
    """Return unsat if the claim is proved, sat if it is refuted."""
    solver = z3.Solver()
    solver.set("timeout", 20_000)
    solver.add(z3.Not(claim))
    return solver.check()


PROVED, REFUTED = z3.unsat, z3.sat
__all__ = ["PROVED", "REFUTED", "mistakes", "theorems", "verdict"]
