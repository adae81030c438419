"""Measures the set and its peers in this interpreter and prints the raw figures as JSON; `benchmarks/crdt.py` calls it.

Every round runs each subject once, in an order drawn anew, so that a noisy machine and cold caches disturb all alike;
building the inputs is not timed. The peers merge from bytes, the only way they have; ours is timed from bytes as well.
A write of ours is complete by itself and gives its delta, so a write of a peer is a transaction by itself; peers that
write all in one transaction are measured beside that.
"""

import argparse
import gc
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from itertools import product
from typing import Any

from crdts import ORSet, ScalarClock
from loro import ExportMode, LoroDoc
from pycrdt import Doc, Map

from palaver.crdt import COMPILED, HybridLogicalClock, LWWElementSet, decode_delta, joining, replica
from palaver.crdt.delta import Delta, DeltaOfMany

START_MS, DAY_MS = 1_795_000_000_000, 86_400_000
Write = tuple[str, int, bool]
# The peers publish no types.
Peer = Any
Setup = Callable[[], Callable[[], object]]


def merge_in_python(mine: LWWElementSet[str], other: LWWElementSet[str] | Delta[str]) -> Delta[str]:
    """Merge as where nothing could be compiled."""
    compiled = {name: getattr(replica, name) for name in ("join_few", "join_many")}
    for name in compiled:
        setattr(replica, name, getattr(joining, name))
    try:
        return mine.merge(other)
    finally:
        for name, loop in compiled.items():
            setattr(replica, name, loop)


def writes(count: int, seed: int) -> list[Write]:
    """Half of the elements of seed 1 are those of seed 0; stamps lie over a day; one write in ten is a remove."""
    rng = random.Random(seed)
    names = [f"user:{seed * count // 2 + number:07d}" for number in range(count)]
    rng.shuffle(names)
    return [(name, (START_MS + rng.randrange(DAY_MS)) << 17, rng.random() < 0.9) for name in names]


def ours(rows: list[Write]) -> LWWElementSet[str]:
    members: LWWElementSet[str] = LWWElementSet(clock=HybridLogicalClock("a", lambda: START_MS + DAY_MS))
    for name, stamp, is_add in rows:
        (members.add if is_add else members.remove)(name, stamp)
    return members


def cells(rows: list[Write]) -> dict[str, int]:
    return {name: 2 * stamp + is_add for name, stamp, is_add in rows}


def dict_loop(mine: dict[str, int], theirs: dict[str, int]) -> None:
    """Merge the plainest way that is right."""
    get = mine.get
    for element, cell in theirs.items():
        known = get(element)
        if known is None or cell > known:
            mine[element] = cell


def yjs(rows: list[Write]) -> Peer:
    doc: Peer = Doc()
    doc["m"] = Map()
    shared = doc["m"]
    with doc.transaction():
        for name, stamp, is_add in rows:
            if is_add:
                shared[name] = stamp
    return doc


def loro(rows: list[Write]) -> Peer:
    doc: Peer = LoroDoc()
    shared = doc.get_map("m")
    for name, stamp, is_add in rows:
        if is_add:
            shared.insert(name, stamp)
    doc.commit()
    return doc


def interleave(subjects: dict[str, Setup], rounds: int, per: int) -> dict[str, list[float]]:
    """Return nanoseconds per item of every subject in every round."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    rng = random.Random(len(subjects))
    for _ in range(rounds):
        for name in rng.sample(list(subjects), len(subjects)):
            run = subjects[name]()
            gc.collect()
            began = time.perf_counter_ns()
            kept = run()
            figures[name].append((time.perf_counter_ns() - began) / per)
            del run, kept
    return figures


def merging(count: int, rounds: int, *, peers: bool) -> dict[str, list[float]]:
    left, right = writes(count, 0), writes(count, 1)
    a, b, dict_a, dict_b = ours(left), ours(right), cells(left), cells(right)
    bytes_b = b.encode()

    def merge_copy() -> Callable[[], object]:
        copy = a.copy()
        return lambda: copy.merge(b)

    def merge_copy_in_python() -> Callable[[], object]:
        copy = a.copy()
        return lambda: merge_in_python(copy, b)

    def merge_bytes() -> Callable[[], object]:
        copy = a.copy()
        return lambda: copy.merge(decode_delta(bytes_b))

    def loop() -> Callable[[], object]:
        copy = dict(dict_a)
        return lambda: dict_loop(copy, dict_b)

    subjects: dict[str, Setup] = {
        "palaver": merge_copy,
        "palaver, in Python": merge_copy_in_python,
        "palaver from bytes": merge_bytes,
        "one-cell dict loop": loop,
        "dict | dict": lambda: lambda: dict_a | dict_b,
    }
    if peers:
        yjs_update, yjs_base = yjs(right).get_update(), yjs(left).get_update()
        loro_update, loro_base = (loro(rows).export(ExportMode.Snapshot()) for rows in (right, left))

        def merge_yjs() -> Callable[[], object]:
            doc: Peer = Doc()
            doc.apply_update(yjs_base)
            return lambda: doc.apply_update(yjs_update)

        def merge_loro() -> Callable[[], object]:
            doc: Peer = LoroDoc()
            doc.import_(loro_base)
            return lambda: (doc.import_(loro_update), doc.get_map("m"))

        subjects |= {"pycrdt": merge_yjs, "loro": merge_loro}
    return interleave(subjects, rounds, count)


def merging_crdts(count: int, rounds: int) -> dict[str, list[float]]:
    """The `crdts` package replays its history, so it is measured on fewer elements; ours beside it on as many."""
    left, right = ORSet(clock=ScalarClock(uuid=b"one")), ORSet(clock=ScalarClock(uuid=b"one"))
    for number in range(count):
        left.observe(f"user:{number:07d}")
        right.observe(f"user:{number + count // 2:07d}")
    base, update = left.history(), right.history()
    a, b = ours(writes(count, 0)), ours(writes(count, 1))

    def merge_copy() -> Callable[[], object]:
        copy = a.copy()
        return lambda: copy.merge(b)

    def replay() -> Callable[[], object]:
        copy = ORSet(clock=ScalarClock(uuid=b"one"))
        for one in base:
            copy.update(one)
        return lambda: [copy.update(one) for one in update]

    return interleave({"palaver": merge_copy, "crdts": replay}, rounds, count)


def writing(count: int, rounds: int, *, is_add: bool) -> dict[str, list[float]]:
    """Adds fall into an empty set, removes on one that has every element, each with a stamp of the caller's."""
    rows = [(name, stamp, True) for name, stamp, _ in writes(count, 0)]
    stamped = [(name, stamp + 1) for name, stamp, _ in rows]
    base = [] if is_add else rows
    few = stamped[: count // 20]

    def mine() -> Callable[[], object]:
        members = ours(base)
        write = members.add if is_add else members.remove

        def run() -> None:
            for name, stamp in stamped:
                write(name, stamp)

        return run

    def guarded_dict() -> Callable[[], object]:
        state = cells(base)

        def run() -> None:
            for name, stamp in stamped:
                cell = 2 * stamp + is_add
                known = state.get(name)
                if known is None or cell > known:
                    state[name] = cell

        return run

    def on_yjs(*, at_once: bool) -> Callable[[], object]:
        doc = yjs(base)
        shared = doc["m"]

        def run() -> None:
            if is_add:
                for name, stamp in stamped:
                    shared[name] = stamp
            else:
                for name, _ in stamped:
                    del shared[name]

        def run_at_once() -> None:
            with doc.transaction():
                run()

        return run_at_once if at_once else run

    def on_loro(*, at_once: bool) -> Callable[[], object]:
        doc = loro(base)
        shared = doc.get_map("m")

        def run() -> None:
            if is_add:
                for name, stamp in stamped:
                    shared.insert(name, stamp)
                    if not at_once:
                        doc.commit()
            else:
                for name, _ in stamped:
                    shared.delete(name)
                    if not at_once:
                        doc.commit()
            doc.commit()

        return run

    def on_crdts() -> Callable[[], object]:
        members = ORSet()
        if not is_add:
            for name, _ in few:
                members.observe(name)
        write = members.observe if is_add else members.remove

        def run() -> None:
            for name, _ in few:
                write(name)

        return run

    figures = interleave(
        {
            "palaver": mine,
            "guarded dict": guarded_dict,
            "pycrdt": lambda: on_yjs(at_once=False),
            "pycrdt, one transaction": lambda: on_yjs(at_once=True),
            "loro": lambda: on_loro(at_once=False),
            "loro, one transaction": lambda: on_loro(at_once=True),
            "crdts": on_crdts,
        },
        rounds,
        count,
    )
    figures["crdts"] = [figure * 20 for figure in figures["crdts"]]
    return figures


def ticking(count: int, rounds: int) -> dict[str, list[float]]:
    """Adding with the hybrid clock's stamp, against adding with a given one."""
    rows = writes(count, 0)
    names = [name for name, _, _ in rows]

    def clocked() -> Callable[[], object]:
        members: LWWElementSet[str] = LWWElementSet()
        add = members.add
        return lambda: [None for name in names if not add(name)]

    def given() -> Callable[[], object]:
        add = ours([]).add
        return lambda: [None for name, stamp, _ in rows if not add(name, stamp)]

    return interleave({"with the clock": clocked, "with a given stamp": given}, rounds, count)


def looking_up(count: int, rounds: int) -> dict[str, list[float]]:
    rows = [(name, stamp, True) for name, stamp, _ in writes(count, 0)]
    asked = [f"user:{number:07d}" for number in range(0, 2 * count, 2)]
    random.Random(7).shuffle(asked)
    members, state = ours(rows), cells(rows)
    docs = yjs(rows), loro(rows)
    shared = docs[0]["m"], docs[1].get_map("m")

    def asking(ask: Callable[[str], object]) -> Callable[[], object]:
        def run() -> None:
            for name in asked:
                ask(name)

        # Once untimed, so that nobody pays for bringing his data into the caches.
        run()
        return run

    def containing(of: Peer) -> Callable[[], object]:
        def run() -> None:
            for name in asked:
                name in of  # noqa: B015  # the question is what is timed

        run()
        return run

    return interleave(
        {
            "palaver": lambda: asking(members.lookup),
            "palaver, in": lambda: containing(members),
            "dict": lambda: containing(state),
            "pycrdt": lambda: containing(shared[0]),
            "loro": lambda: asking(shared[1].get),
        },
        rounds,
        count,
    )


def small_delta(rounds: int, sizes: tuple[int, ...]) -> dict[str, list[float]]:
    """Milliseconds to merge a delta of 1,000 into a state of each of the sizes."""
    figures: dict[str, list[float]] = {}
    for count, in_python in product(sizes, (False, True)):
        state = ours(writes(count, 0))
        row = figures[f"{count}{', in Python' * in_python}"] = []
        for turn in range(rounds):
            rng = random.Random(turn)
            rows = [(f"user:{rng.randrange(2 * count):07d}", (START_MS + DAY_MS) << 17 | turn) for _ in range(1000)]
            picked = dict(rows)
            delta = DeltaOfMany(0, tuple(picked), tuple(2 * stamp + 1 for stamp in picked.values()))
            gc.collect()
            began = time.perf_counter_ns()
            merge_in_python(state, delta) if in_python else state.merge(delta)
            row.append((time.perf_counter_ns() - began) / 1e6)
    return figures


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds, and a tenth of the large size")
    quick: bool = parser.parse_args().quick
    rounds, large = (3, 100_000) if quick else (7, 1_000_000)
    result: dict[str, dict[str, list[float]]] = {
        "merge of 100,000": merging(100_000, rounds, peers=True),
        "merge of 5,000": merging_crdts(5_000, 3),
        "merge of 1,000,000": merging(large, 3, peers=False),
        "add": writing(100_000, rounds, is_add=True),
        "remove": writing(100_000, rounds, is_add=False),
        "clock": ticking(100_000, rounds),
        "lookup": looking_up(100_000, rounds),
        "delta of 1,000": small_delta(2 * rounds, (10_000, large)),
    }
    json.dump({"python": platform.python_version(), "compiled": COMPILED, "raw": result}, sys.stdout)


if __name__ == "__main__":
    main()
