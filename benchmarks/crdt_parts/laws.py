"""Looks for violations of the laws of the set in a million random histories, as fast as Python allows.

    python benchmarks/crdt_parts/laws.py [--runs 1000000] [--seed 0] [--processes 2]

A history is a handful of writes, with stamps of the caller's, on three replicas, of two elements, under one bias. The
stamps are few, so that ties abound, and the worst: 0, negative, equal, the first, the last, and a future that a guarded
replica must hold back. Each history is checked against the definition (the greatest stamp of each kind, then the bias),
which knows nothing of cells, and against every law that the proofs state. Exits with 1 if one is broken.
"""

import argparse
import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import NamedTuple

from palaver.crdt import MAX_STAMP, MIN_STAMP, HybridLogicalClock, LWWElementSet, merged
from palaver.crdt.order import BIASES

NOW_MS = 1_000_000
PRESENT = NOW_MS << 17
FUTURE = (NOW_MS + 90_000) << 17
STAMPS = (0, 0, 1, 1, -1, -2, 2, 3, MIN_STAMP, MAX_STAMP, PRESENT, PRESENT + 1, FUTURE, FUTURE + 1)
ELEMENTS = ("ada", "bob")
Members = LWWElementSet[str]


class Write(NamedTuple):
    """One update, and the replica that hears of it first."""

    replica: int
    is_add: bool
    element: str
    stamp: int


class Wall:
    """A wall clock that stands where it is put."""

    milliseconds = NOW_MS

    def __call__(self) -> int:
        return self.milliseconds


def specified(writes: list[Write], bias: str) -> set[str]:
    """Return the members by definition: an element is in by an add that no remove beats."""
    adds: dict[str, int] = {}
    removes: dict[str, int] = {}
    for write in writes:
        side = adds if write.is_add else removes
        known = side.get(write.element)
        if known is None or write.stamp > known:
            side[write.element] = write.stamp
    return {
        element
        for element, stamp in adds.items()
        if (gone := removes.get(element)) is None or gone < stamp or (gone == stamp and bias == "add")
    }


def broken(rng: random.Random) -> Iterator[str]:
    """Make one history and name the laws that it breaks."""
    bias = BIASES[rng.random() < 0.5]
    clock = HybridLogicalClock("fuzz", lambda: NOW_MS, max_drift=None)
    a, b, c = replicas = tuple(Members(bias=bias, clock=clock) for _ in range(3))
    writes: list[Write] = []
    for _ in range(rng.randrange(7)):
        write = Write(rng.randrange(3), rng.random() < 0.5, rng.choice(ELEMENTS), rng.choice(STAMPS))
        writes.append(write)
        members = replicas[write.replica]
        held = members.stamp_of(write.element)
        (members.add if write.is_add else members.remove)(write.element, write.stamp)
        after = members.stamp_of(write.element)
        if after is None or after < write.stamp or (held is not None and after < held):
            yield "a write never lowers a state"
    both, back = merged(a, b), merged(b, a)
    whole, other_way = merged(both, c), merged(a, merged(b, c))
    if not both.state_equal(back):
        yield "merge is commutative"
    if not whole.state_equal(other_way):
        yield "merge is associative"
    if a.merge(a) or whole.merge(c) or not merged(a, a).state_equal(a):
        yield "merge is idempotent"
    if not (both.dominates(a) and both.dominates(b) and whole.dominates(both)):
        yield "merge is an upper bound"
    if whole.frozen() != specified(writes, bias):
        yield "lookup is the specification"
    if not _guarded(rng, replicas).state_equal(whole):
        yield "a guarded replica comes to the same state"


def _guarded(rng: random.Random, replicas: tuple[Members, ...]) -> Members:
    """Bring everything to a replica that holds the future back: in some order, twice, as sets and as deltas."""
    wall = Wall()
    clock = HybridLogicalClock("guarded", wall, max_drift=timedelta(seconds=60))
    guarded = Members(bias=replicas[0].bias, clock=clock)
    for number in rng.sample((0, 1, 2, 0, 1, 2), 6):
        guarded.merge(replicas[number] if rng.random() < 0.5 else replicas[number].delta_since(None))
    # The last stamp there is lies in the year 2248.
    wall.milliseconds = MAX_STAMP >> 17
    guarded.admit()
    return guarded


def search(seed: int, runs: int) -> dict[str, int]:
    """Return how often each law was broken, if ever."""
    rng = random.Random(seed)
    found: dict[str, int] = {}
    for _ in range(runs):
        for law in broken(rng):
            found[law] = found.get(law, 0) + 1
    return found


def violations(runs: int, seed: int, processes: int) -> dict[str, int]:
    """Return what `search` finds in so many runs, spread over processes."""
    share = [runs // processes + (number < runs % processes) for number in range(processes)]
    total: dict[str, int] = {}
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(search, range(seed, seed + processes), share):
            for law, count in found.items():
                total[law] = total.get(law, 0) + count
    return total


def main() -> int:
    """Search, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    options = parser.parse_args()
    found = violations(options.runs, options.seed, options.processes)
    print(f"{sum(found.values())} violations in {options.runs:,} runs from seed {options.seed} {found or ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
