"""The compiled loops do what joining.py does: the same states, changes and errors, nothing leaked, and no crash.

Whoever compares elements may run any code; sets let only plain elements in, but nothing may depend on that.
"""

import gc
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hatch_build
from palaver.crdt import joining
from palaver.crdt.joining import Changes, put
from palaver.crdt.order import NOTHING
from tests.compiling import built

compiled: ModuleType = pytest.importorskip("palaver.crdt._joining", reason="it is not built: no C compiler or Python.h")
SOURCE = Path(joining.__file__).with_name("_joining.c")

Cells = dict[Any, int]
State = tuple[Cells, Cells]
ELEMENTS = st.sampled_from([*"abcdefgh", "ä", "€", 0, 1, -1, 1 << 63, b"a", ("a", 1), ("a", b"")])
# Every legal size, and cells that no machine word holds.
CELLS = st.integers(-3, 4) | st.integers(NOTHING + 1, -NOTHING) | st.integers((1 << 64) - 2, (1 << 64) + 2)
STATES = st.dictionaries(ELEMENTS, CELLS)


def parted(cells: Cells) -> State:
    return {one: cell for one, cell in cells.items() if cell & 1}, {
        one: cell for one, cell in cells.items() if not cell & 1
    }


def walk(way: Any, state: State, incoming: Cells, changes: Changes[Any]) -> None:
    way.join_few(*state, incoming, incoming.values(), changes)


def unite(way: Any, state: State, incoming: Cells, changes: Changes[Any]) -> None:
    way.join_many(*state, *parted(incoming), changes, True)


def unite_silently(way: Any, state: State, incoming: Cells, changes: Changes[Any]) -> None:
    way.join_many(*state, *parted(incoming), changes, False)


JOINS = (walk, unite, unite_silently)


def outcome(join: Callable[..., None], way: Any, mine: Cells, theirs: Cells) -> object:
    """What is there afterwards, in no order, since dicts that are equal may differ in it."""
    state, changes = parted(mine), Changes[Any]([], [], [])
    join(way, state, theirs, changes)
    assert len({len(column) for column in changes if column}) <= 1
    before, now = (dict(zip(changes.elements, column, strict=False)) for column in changes[1:])
    return state, before, now, len(changes.elements)


@given(STATES, STATES, st.sampled_from(JOINS))
def test_it_gives_the_same_state_and_the_same_changes(mine: Cells, theirs: Cells, join: Callable[..., None]) -> None:
    assert outcome(join, compiled, mine, theirs) == outcome(join, joining, mine, theirs)


def samples() -> Iterator[tuple[Cells, Cells]]:
    """Pairs of states of some blocks each, with few stamps, so that every meeting is there."""
    rng = random.Random(4)
    for size in (1, 2, 63, 64, 65, 300):
        yield tuple({rng.randrange(2 * size): rng.randrange(-4, 5) for _ in range(size)} for _ in range(2))  # type: ignore[misc]  # two


def differs(way: Any) -> bool:
    return any(
        outcome(join, way, mine, theirs) != outcome(join, joining, mine, theirs)
        for mine, theirs in samples()
        for join in JOINS
    )


def test_it_gives_the_same_over_several_blocks() -> None:
    assert not differs(compiled)


class Failing(int):
    """A cell at whose comparison something goes wrong."""

    def __lt__(self, other: int) -> bool:
        raise KeyboardInterrupt

    __gt__ = __lt__


@pytest.mark.parametrize("way", [joining, compiled], ids=["python", "compiled"])
@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("place", [0, 6, 62, 64, 150])
def test_what_it_was_broken_off_at_can_be_taken_back(way: Any, join: Callable[..., None], place: int) -> None:
    mine = {number: number % 5 for number in range(0, 200, 2)}
    theirs = {number: Failing(9) if number == place else 5 + number % 2 for number in range(200)}
    state, changes = parted(mine), Changes[Any]([], [], [])

    with pytest.raises(KeyboardInterrupt):
        join(way, state, theirs, changes)
    put(*state, changes.elements, changes.before)

    assert state == parted(mine)


class Hostile:
    """An element that is equal to all others of its kind and runs `act` when it is asked."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        self.act()
        return True


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("way", [joining, compiled], ids=["python", "compiled"])
def test_an_error_of_an_element_comes_out(way: Any) -> None:
    for join in JOINS:
        with pytest.raises(ZeroDivisionError):
            join(way, ({Hostile(fail): 1}, {}), {Hostile(fail): 3}, Changes[Any]([], [], []))


@pytest.mark.parametrize("victim", ["live", "dead", "incoming", "changes"])
@pytest.mark.parametrize("deed", ["clear", "grow"])
def test_an_element_that_changes_the_sets_while_it_is_compared_breaks_nothing(victim: str, deed: str) -> None:
    for join in JOINS:
        live: Cells = {}
        dead: Cells = {}
        incoming: Cells = {}
        changes = Changes[Any]([], [], [])
        target: Any = {"live": live, "dead": dead, "incoming": incoming, "changes": changes.elements}[victim]

        def act(target: Any = target) -> None:
            if deed == "clear":
                target.clear()
            elif isinstance(target, dict):
                target.update(dict.fromkeys(range(len(target), len(target) + 300), 1))
            else:
                target.extend(range(300))

        for number in range(200):
            (live if number % 2 else dead)[f"{number}"] = 2 + number % 2
        live[Hostile(act)] = 1
        incoming.update(dict.fromkeys(range(100), 5))
        incoming[Hostile(lambda: None)] = 3
        incoming.update({f"{number}": 5 for number in range(100)})
        adds = incoming
        try:
            if join is walk:
                compiled.join_few(live, dead, adds, adds.values(), changes)
            else:
                compiled.join_many(live, dead, adds, {}, changes, join is unite)
        except (RuntimeError, KeyError):
            # As a loop over a dict does when it changes.
            pass
        assert all(type(cell) is int for side in (live, dead) for cell in side.values())


@pytest.mark.parametrize(
    "arguments",
    [
        ("join_few", ({}, {}, [], [])),
        ("join_few", ({}, [], [], [], Changes[Any]([], [], []))),
        ("join_few", ({}, {}, [], [], ([], []))),
        ("join_few", ({}, {}, [], [], ([], (), []))),
        ("join_few", ({}, {}, 3, [], Changes[Any]([], [], []))),
        ("join_few", ({}, {}, [[]], [1], Changes[Any]([], [], []))),
        ("join_few", ({}, {}, ["a"], ["b"], Changes[Any]([], [], []))),
        ("join_many", ({}, {}, {}, [], Changes[Any]([], [], []), True)),
        ("join_many", ({}, {}, {}, {}, None, True)),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, tuple[Any, ...]]) -> None:
    name, values = arguments
    with pytest.raises(TypeError):
        getattr(compiled, name)(*values)


def test_as_many_cells_as_elements() -> None:
    for way in (joining, compiled):
        with pytest.raises(ValueError, match=r"."):
            way.join_few({}, {}, ["a", "b"], [1], Changes[Any]([], [], []))


def test_nothing_is_leaked_whether_it_succeeds_or_fails() -> None:
    names, stamps = [f"name-{number}" for number in range(100)], [1 << 50 | number for number in range(100)]
    mine = dict(zip(names, stamps, strict=True))
    theirs = dict(zip(reversed(names), stamps, strict=True))
    broken = {**theirs, names[50]: Failing(1)}
    watched = [*names, *stamps, None, 0, 1]

    def once() -> None:
        for join in JOINS:
            join(compiled, parted(mine), theirs, Changes[Any]([], [], []))
            with pytest.raises(KeyboardInterrupt):
                join(compiled, parted(mine), broken, Changes[Any]([], [], []))
        with pytest.raises(ValueError, match="as many"):
            compiled.join_few({}, {}, names, [1], Changes[Any]([], [], []))

    once()
    # What pytest.raises keeps is garbage in cycles.
    gc.collect()
    counts, blocks = [sys.getrefcount(one) for one in watched[:200]], sys.getallocatedblocks()
    for _ in range(200):
        once()
    assert [sys.getrefcount(one) for one in watched[:200]] == counts
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 150


MUTANTS = {
    "the lesser cell wins": ("row->cell, known, Py_GT", "row->cell, known, Py_LT"),
    "what is known is repeated": ("row->cell, known, Py_GT", "row->cell, known, Py_GE"),
    "the cell that comes last wins": ("if (rises <= 0)", "if (rises < 0)"),
    "odd means removed": ("odd ? join->live : join->dead", "odd ? join->dead : join->live"),
    "the other kind stays": ("row->known == NULL || row->is_member == odd", "1"),
    "tombstones are not seen": ("status = look_up(join->dead, &rows[i])", "status = 0"),
    "the cell before is the cell now": ("PyList_Append(join->before, known)", "PyList_Append(join->before, row->cell)"),
    "a change is not told": ("PyList_Append(join->changed, row->element)", "0"),
    "nothing is greater than zero": ("-(1LL << 62)", "0"),
    "one block is all": ("} while (count > 0);", "} while (0);"),
    "removes are left out": ("|| join_dict(&join, removes) < 0", ""),
    "what was not asked for is told": ("if (!with_before &&", "if (0 &&"),
}


def loaded(source: str, folder: Path) -> ModuleType:
    (folder / "_joining.c").write_text(source)
    return built(hatch_build.JOINING, [folder / "_joining.c"], folder)


def test_what_is_compiled_here_is_as_good(tmp_path: Path) -> None:
    assert not differs(loaded(SOURCE.read_text(), tmp_path))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mistake_in_it_is_found(mutant: str, tmp_path: Path) -> None:
    old, new = MUTANTS[mutant]
    source = SOURCE.read_text()
    assert source.count(old) == 1
    try:
        found = differs(loaded(source.replace(old, new), tmp_path))
    except AssertionError:
        found = True
    assert found
