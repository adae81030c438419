"""Joining cells into a state: the two inner loops, pointwise maximum and nothing else.

A state is two dicts that share no element: `live` from members to their cells, which are odd, and `dead` from removed
elements to theirs, which are even. So membership is a question to one dict, and the size is known.

`join_few` walks the incoming cells and costs nothing for the size of the state; `join_many` lets the dicts themselves
take the unions and then puts right what was newer here, which is quicker when the two sides are of like size. Both give
the same state and the same changes; proofs/ runs both on symbolic cells.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from palaver.crdt.order import NOTHING

E = TypeVar("E")


def join_few(
    live: dict[E, int], dead: dict[E, int], elements: Iterable[E], cells: Iterable[int]
) -> tuple[list[E], list[int], list[int]]:
    """Join the cells into the state in place; return the changed elements, their cells before, and their cells now."""
    changed: list[E] = []
    before: list[int] = []
    now: list[int] = []
    live_cell, dead_cell = live.get, dead.get
    for element, cell in zip(elements, cells, strict=True):
        # A live cell is odd, so it is never zero.
        known = live_cell(element) or dead_cell(element, NOTHING)
        if cell > known:
            if cell & 1:
                live[element] = cell
                if known > NOTHING and not known & 1:
                    del dead[element]
            else:
                dead[element] = cell
                if known & 1:
                    del live[element]
            changed.append(element)
            before.append(known)
            now.append(cell)
    return changed, before, now


def join_many(
    live: dict[E, int], dead: dict[E, int], adds: dict[E, int], removes: dict[E, int]
) -> tuple[dict[E, int], dict[E, int], list[E], list[int]]:
    """Join `adds`, `removes` to `live`, `dead`; return both as new dicts, the changed elements, their cells now."""
    joined_live, changed, now = _unite(live, adds)
    joined_dead, changed_dead, now_dead = _unite(dead, removes)
    leaving, returning = [], []
    live_cell, add_cell = live.get, adds.get
    for element, cell in removes.items():
        known = live_cell(element)
        if known is not None:
            if cell > known:
                leaving.append(element)
            else:
                del joined_dead[element]
    for element, cell in dead.items():
        add = add_cell(element)
        if add is not None:
            if add > cell:
                returning.append(element)
            else:
                del joined_live[element]
    # What stands behind the old entries is new, and has won: what lost to the other kind is gone by now.
    for joined, old, names, cells in (
        (joined_live, live, changed, now),
        (joined_dead, dead, changed_dead, now_dead),
    ):
        new = len(joined) - len(old)
        names.extend(islice(reversed(joined), new))
        cells.extend(islice(reversed(joined.values()), new))
    for element in leaving:
        del joined_live[element]
    for element in returning:
        del joined_dead[element]
    changed.extend(changed_dead)
    now.extend(now_dead)
    return joined_live, joined_dead, changed, now


def _unite(old: dict[E, int], incoming: dict[E, int]) -> tuple[dict[E, int], list[E], list[int]]:
    """Return the greater cells of two dicts, and the entries of `old` that gave way."""
    joined = old | incoming
    changed: list[E] = []
    now: list[int] = []
    # A union keeps the order of its left side, so the two are walked in step and nothing is hashed twice.
    for element, known, cell in zip(old, old.values(), joined.values(), strict=False):
        if known is not cell:
            if cell > known:
                changed.append(element)
                now.append(cell)
            else:
                joined[element] = known
    return joined, changed, now
