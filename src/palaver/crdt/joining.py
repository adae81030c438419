"""Joining cells into a state: the two inner loops, pointwise maximum and nothing else.

`join_few` walks the incoming cells and costs nothing for the size of the state; `join_many` lets the dict itself take
the union and then puts back what was newer here, which is quicker when the two sides are of like size. Both give the
same state and the same changes; proofs/ runs both on symbolic cells.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from palaver.crdt.order import NOTHING

E = TypeVar("E")


def join_few(state: dict[E, int], elements: Iterable[E], cells: Iterable[int]) -> tuple[list[E], list[int], list[int]]:
    """Join the cells into `state` in place; return the changed elements, their cells before, and their cells now."""
    changed: list[E] = []
    before: list[int] = []
    now: list[int] = []
    known_of = state.get
    for element, cell in zip(elements, cells, strict=True):
        known = known_of(element, NOTHING)
        if cell > known:
            state[element] = cell
            changed.append(element)
            before.append(known)
            now.append(cell)
    return changed, before, now


def join_many(state: dict[E, int], incoming: dict[E, int]) -> tuple[dict[E, int], list[E], list[int]]:
    """Return the join as a new dict, the changed elements and their cells now; `state` stays as it is."""
    joined = state | incoming
    changed: list[E] = []
    now: list[int] = []
    # A union keeps the left side's order, so the two are walked in step and nothing is hashed twice.
    for element, known, cell in zip(state, state.values(), joined.values(), strict=False):
        if known is not cell:
            if cell > known:
                changed.append(element)
                now.append(cell)
            else:
                joined[element] = known
    new = len(joined) - len(state)
    changed.extend(islice(reversed(joined), new))
    now.extend(islice(reversed(joined.values()), new))
    return joined, changed, now
