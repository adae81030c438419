"""The two inner loops by themselves: both ways agree, and what either was broken off at can be taken back."""

import pytest

from palaver.crdt.joining import Changes, join_few, join_many, put
from palaver.crdt.order import NOTHING

Side = dict[int, int]


def parted(cells: Side) -> tuple[Side, Side]:
    return {one: cell for one, cell in cells.items() if cell & 1}, {
        one: cell for one, cell in cells.items() if not cell & 1
    }


def walked(live: Side, dead: Side, adds: Side, removes: Side, changes: Changes[int]) -> None:
    join_few(live, dead, [*adds, *removes], [*adds.values(), *removes.values()], changes)


def united(live: Side, dead: Side, adds: Side, removes: Side, changes: Changes[int]) -> None:
    join_many(live, dead, adds, removes, changes, True)


class Interrupting(int):
    """A cell at whose comparison the user presses Ctrl-C."""

    def __gt__(self, other: int) -> bool:
        raise KeyboardInterrupt


def test_a_union_that_is_broken_off_leaves_the_state_as_it_was() -> None:
    live, dead = {"ada": 9, "bob": 5}, {"cy": 4}
    adds = {"ada": 3, "bob": Interrupting(7), "cy": 5}

    with pytest.raises(KeyboardInterrupt):
        join_many(live, dead, adds, {"dan": 2}, Changes([], [], []), True)

    assert live == {"ada": 9, "bob": 5}
    assert dead == {"cy": 4}


def test_a_walk_that_is_broken_off_can_be_taken_back() -> None:
    live, dead = {"ada": 1, "bob": 5}, {"cy": 4}
    changes: Changes[str] = Changes([], [], [])

    with pytest.raises(KeyboardInterrupt):
        join_few(live, dead, ["ada", "new", "cy", "bob"], [2, 3, 5, Interrupting(7)], changes)
    assert live != {"ada": 1, "bob": 5}
    put(live, dead, changes.elements, changes.before)

    assert live == {"ada": 1, "bob": 5}
    assert dead == {"cy": 4}


def test_both_ways_of_joining_agree_on_many_cells() -> None:
    # Stamps rise and fall against each other so that every meeting of kinds is there, on both sides of each comparison.
    mine = {number: 2 * (number % 7) + (number % 3 > 0) for number in range(0, 2_000, 2)}
    theirs = {number: 2 * (number % 5) + (number % 4 > 0) for number in range(0, 2_000, 3)}
    expected = {number: max(mine.get(number, -1), theirs.get(number, -1)) for number in mine | theirs}
    rises = {number: cell for number, cell in theirs.items() if cell > mine.get(number, -1)}

    for way in (walked, united):
        live, dead = parted(mine)
        changed, before, now = changes = Changes[int]([], [], [])
        way(live, dead, *parted(theirs), changes)

        assert not live.keys() & dead.keys()
        assert live | dead == expected
        assert all(cell & 1 for cell in live.values())
        assert not any(cell & 1 for cell in dead.values())
        assert len(changed) == len(rises)
        assert dict(zip(changed, now, strict=True)) == rises
        assert before == [mine.get(number, NOTHING) for number in changed]
