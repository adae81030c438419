"""Joining cells into a state: the two inner loops, pointwise maximum and nothing else.

A state is two dicts that share no element: `live` from members to their cells, which are odd, and `dead` from removed
elements to theirs, which are even. So membership is a question to one dict, and the size is known.

`join_few` walks the incoming cells and costs nothing for the size of the state; `join_many` lets the dicts themselves
take the unions and then puts right what was newer here, which is quicker when the two sides are of like size. Both
change the two dicts and never replace them, and both give the same state and the same changes; proofs/ runs both on
symbolic cells. Broken off by an exception, `join_many` leaves all untouched, and `join_few` has written down whatever
it may have changed, so that `put` can take it back.

This is the definition. Where `_joining.c` has been built, it does the same in less time.
"""

from collections.abc import Iterable
from itertools import compress, islice
from typing import Final, Generic, NamedTuple, TypeVar

from palaver.crdt.order import NOTHING

E = TypeVar("E")

# A loop in C asks for so many cells at once, so that several of them come from memory at the same time.
_AT_ONCE: Final = 128


class Changes(NamedTuple, Generic[E]):
    """What a join changes: the elements, their cells before, and their cells now, side by side."""

    elements: list[E]
    before: list[int]
    now: list[int]


def join_few(
    live: dict[E, int], dead: dict[E, int], elements: Iterable[E], cells: Iterable[int], changes: Changes[E], /
) -> None:
    """Join the cells into the state and append to `changes`, each change before it is made.

    No element may occur twice.
    """
    changed, before, now = changes
    live_cell, dead_cell = live.get, dead.get
    incoming, incoming_cells = iter(elements), iter(cells)
    while some := list(islice(incoming, _AT_ONCE)):
        members = list(map(live_cell, some))
        for element, cell, member in zip(some, islice(incoming_cells, _AT_ONCE), members, strict=True):
            # A live cell is odd, so it is never zero.
            known = member or dead_cell(element, NOTHING)
            if cell > known:
                changed.append(element)
                before.append(known)
                now.append(cell)
                if cell & 1:
                    live[element] = cell
                    if known > NOTHING and not member:
                        del dead[element]
                else:
                    dead[element] = cell
                    if member:
                        del live[element]


def join_many(
    live: dict[E, int],
    dead: dict[E, int],
    adds: dict[E, int],
    removes: dict[E, int],
    changes: Changes[E],
    with_before: bool,
    /,
) -> None:
    """Join the state of `adds` and `removes` into the state and append to `changes`, the cells before only if asked."""
    old_live, old_dead = live.copy(), dead.copy()
    try:
        changed, now = _unite_states(live, dead, (old_live, old_dead), adds, removes)
        changes.elements.extend(changed)
        if with_before:
            changes.before.extend([old_live.get(name) or old_dead.get(name, NOTHING) for name in changed])
        changes.now.extend(now)
    except BaseException:
        # Half way some cells have gone back.
        for side, old in ((live, old_live), (dead, old_dead)):
            side.clear()
            side.update(old)
        raise


def put(live: dict[E, int], dead: dict[E, int], elements: Iterable[E], cells: Iterable[int]) -> None:
    """Give the elements these cells whatever theirs are, NOTHING for none: no join, but how one is taken back."""
    for element, cell in zip(elements, cells, strict=False):
        live.pop(element, None)
        dead.pop(element, None)
        if cell > NOTHING:
            (live if cell & 1 else dead)[element] = cell


def _unite_states(
    live: dict[E, int],
    dead: dict[E, int],
    old: tuple[dict[E, int], dict[E, int]],
    adds: dict[E, int],
    removes: dict[E, int],
) -> tuple[list[E], list[int]]:
    old_live, old_dead = old
    changed, now = _unite(live, old_live, adds)
    changed_dead, now_dead = _unite(dead, old_dead, removes)
    leaving, staying = _decide(removes, old_live)
    buried, returning = _decide(old_dead, adds)
    for element in staying:
        del dead[element]
    for element in buried:
        del live[element]
    # What stands behind the old entries is new, and has won: what lost to the other kind is gone by now.
    for joined, before, names, cells in ((live, old_live, changed, now), (dead, old_dead, changed_dead, now_dead)):
        new = len(joined) - len(before)
        names.extend(islice(reversed(joined), new))
        cells.extend(islice(reversed(joined.values()), new))
    for element in leaving:
        del live[element]
    for element in returning:
        del dead[element]
    changed.extend(changed_dead)
    now.extend(now_dead)
    return changed, now


def _unite(joined: dict[E, int], old: dict[E, int], incoming: dict[E, int]) -> tuple[list[E], list[int]]:
    """Join `incoming` into `joined`, of which `old` is a copy; return the entries of `old` that gave way."""
    joined.update(incoming)
    changed: list[E] = []
    now: list[int] = []
    # An update keeps the order of what was there, so the two are walked in step and nothing is hashed twice.
    for element, known, cell in zip(old, old.values(), joined.values(), strict=False):
        if known is not cell:
            if cell > known:
                changed.append(element)
                now.append(cell)
            else:
                joined[element] = known
    return changed, now


def _decide(removes: dict[E, int], adds: dict[E, int]) -> tuple[list[E], list[E]]:
    """Return the elements of both whose remove is the greater cell, and those whose add is."""
    removed: list[E] = []
    added: list[E] = []
    # The cell of an add is odd, so it is never zero.
    cells = list(map(adds.get, removes))
    for element, remove, add in compress(zip(removes, removes.values(), cells, strict=True), cells):
        (removed if remove > add else added).append(element)  # type: ignore[operator]  # None has been left out
    return removed, added
