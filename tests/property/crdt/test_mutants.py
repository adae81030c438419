"""Mutants of the order, the merge and everything that guards them: each must die, or the tests prove nothing.

Every row is a way in which such a set has been built wrongly somewhere, or could be. The laws are asked of all of them;
the model and the program under z3 of those that change the order, the merge or what is taken for a stamp.
"""

from collections.abc import Iterator
from importlib import import_module
from itertools import chain

import pytest

import palaver.crdt
from tests.property.crdt.judgement import broken
from tests.property.crdt.mutation import Mutant, mutated

ORDER_AND_MERGE = [
    Mutant("the bias is ignored in a remove's cell", "order", "2 * stamp + 2 * bias_bit", "2 * stamp"),
    Mutant("the bias is turned round", "order", "2 * stamp + 2 * bias_bit", "2 * stamp + 2 * (1 - bias_bit)"),
    Mutant("an add at t ties with a remove", "order", "return 2 * stamp + 1\n", "return 2 * stamp\n"),
    Mutant("cells forget the stamp", "order", "return 2 * stamp + 1\n", "return 1\n"),
    Mutant("the lesser cell wins", "order", "max(one, other)", "min(one, other)"),
    Mutant("the local cell wins", "order", "max(one, other)", "one"),
    Mutant("the cell that comes last wins", "order", "max(one, other)", "other"),
    Mutant(
        "a tie of stamps keeps the local cell", "order", "max(one, other)", "other if other // 2 > one // 2 else one"
    ),
    Mutant("odd means removed", "order", "cell % 2 == 1", "cell % 2 == 0"),
    Mutant("a stamp is read without the bias", "order", "(cell - bias_bit) // 2", "(cell + 1 - bias_bit) // 2"),
    Mutant("missing is zero", "order", "NOTHING: Final = -(1 << 62)", "NOTHING: Final = 0"),
    Mutant("the floor divides a stamp in two", "order", "2 * stamp + 1 + bias_bit", "2 * stamp"),
    Mutant("a merge takes the lesser cell", "joining", "if cell > known:", "if cell < known:"),
    Mutant("a merge repeats what is known", "joining", "if cell > known:", "if cell >= known:"),
    Mutant("a merge ignores equal stamps", "joining", "if cell > known:", "if cell // 2 > known // 2:"),
    Mutant("a merge overwrites blindly", "joining", "if cell > known:", "if True:"),
    Mutant("a merged add leaves the tombstone", "joining", "del dead[element]", "pass"),
    Mutant("a merged remove leaves the member", "joining", "del live[element]", "pass"),
    Mutant(
        "a merged remove needs the member",
        "joining",
        "if cell > known:",
        "if cell > known and (cell & 1 or member):",
    ),
    Mutant("a union keeps an older remove", "joining", "if cell > known:", "if cell < known:", 1),
    Mutant("a union keeps the older kind", "joining", "if remove > add", "if remove < add"),
    Mutant(
        "a union lets a remove win from the other side",
        "joining",
        "for element in buried:\n        del live[element]",
        "pass",
    ),
    Mutant(
        "a union keeps a remove that has lost", "joining", "for element in staying:\n        del dead[element]", "pass"
    ),
    Mutant(
        "a union reports what is known",
        "joining",
        "            if cell > known:\n                changed",
        "            if cell >= known:\n                changed",
    ),
    Mutant("a union overwrites blindly", "joining", "joined[element] = known", "pass"),
    Mutant("a union leaves the member", "joining", "for element in leaving:\n        del live[element]", "pass"),
    Mutant("a union leaves the tombstone", "joining", "for element in returning:\n        del dead[element]", "pass"),
    Mutant("an add overwrites blindly", "lww_element_set", "if cell <= known:", "if False:"),
    Mutant("an add repeats itself", "lww_element_set", "if cell <= known:", "if cell < known:"),
    Mutant("an add leaves the tombstone", "lww_element_set", "del dead[element]", "pass"),
    Mutant("a remove overwrites blindly", "lww_element_set", "if cell <= known:", "if False:", 1),
    Mutant(
        "a remove needs the member", "lww_element_set", "if cell <= known:", "if cell <= known or not known & 1:", 1
    ),
    Mutant("a remove leaves the member", "lww_element_set", "del live[element]", "pass"),
    Mutant("a remove sees no tombstone", "lww_element_set", "known = self._tombstone(element)", "known = NOTHING"),
    Mutant("a remove has its own bias", "lww_element_set", "if bias_bit:", "if True:"),
    Mutant("a remove has no bias", "lww_element_set", "if bias_bit:", "if False:"),
]

STAMPS = [
    Mutant("an add takes any stamp above", "lww_element_set", "if stamp > MAX_STAMP:", "if False:"),
    Mutant("a remove takes any stamp above", "lww_element_set", "if stamp > MAX_STAMP:", "if False:", 1),
    Mutant("an add takes any stamp below", "lww_element_set", " or stamp <= self._promised:", ":"),
    Mutant("a remove takes any stamp below", "lww_element_set", " or stamp <= self._promised:", ":", 1),
]

GUARDS = [
    Mutant("the clock stands still", "clock", "self._latest + 1", "self._latest"),
    Mutant("the clock believes any future", "clock", "if stamp > self.limit():", "if False:"),
    Mutant(
        "the clock follows a future it refuses",
        "clock",
        "                return False",
        "                self._latest = stamp",
    ),
    Mutant("an add hides how great its cell is", "lww_element_set", "self._top = cell", "pass"),
    Mutant("a remove hides how great its cell is", "lww_element_set", "self._top = cell", "pass", 1),
    Mutant("a local write is content with the clock", "lww_element_set", "if stamp <= latest:", "if False:"),
    Mutant("a future cell is dropped", "replica", "self._quarantine.hold(future)", "pass"),
    Mutant("a future cell is clamped", "quarantine", "future.append(item)", "believed[item[0]] = limit"),
    Mutant("quarantine never opens", "quarantine", "if item[1] <= limit]", "if False]"),
    Mutant("a floor is no filter", "replica", "if cell > settled}", "if True}"),
    Mutant("all tombstones go", "replica", "if cell <= settled}", "if True}"),
    Mutant("no tombstone goes", "replica", "if cell <= settled}", "if False}"),
    Mutant("a stale set is merged", "replica", "if self._floor is not None and theirs < self._floor:", "if False:"),
    Mutant("the floor is the best, not the least", "roster", "return min(received.get", "return max(received.get"),
    Mutant(
        "the floor waits for no other",
        "roster",
        "min(self._least(member) for member in self._received)",
        "self._least(self._me)",
    ),
    Mutant(
        "vouching leaves quarantine alone",
        "replica",
        "self._release(last_cell(self._received, self._bias_bit))",
        "pass",
    ),
    Mutant("a restart forgets its promise", "lww_element_set", "new._promised = message.received", "pass"),
    Mutant("deltas join to the last", "delta", "join(cell, cells.get(element, NOTHING))", "cell"),
    Mutant("a digest counts elements, not cells", "digest", "* (new - old)", "* (1 if old == NOTHING else 0)"),
    Mutant("a digest remembers the wrong cell", "digest", "old if first is None else first[0]", "old"),
    Mutant("bytes forget the kind", "wire", "| cell & 1)", "| 1)"),
    Mutant("bytes forget the counter", "wire", "growth = stamp & _COUNTER_MASK", "growth = 0"),
    Mutant(
        "bytes forget the sign",
        "wire",
        "return -(number + 1 >> 1) if number & 1 else number >> 1",
        "return number >> 1",
    ),
]


def name_of(mutant: Mutant) -> str:
    return mutant.name


def unproved() -> Iterator[str]:
    """Name the claims of the model and of the program that z3 does not prove for what is imported now."""
    lww, program = import_module("proofs.lww"), import_module("proofs.program")
    families = [
        family(bias)
        for bias in (0, 1)
        for family in (
            lww._lattice,
            lww._convergence,
            lww._collection,
            program._writes,
            program._refusals,
            program._merges,
        )
    ]
    for name, claim in chain(*families):
        if lww.verdict(claim) != lww.PROVED:
            yield name


@pytest.mark.usefixtures("joining")
def test_the_program_as_it_is_breaks_no_law() -> None:
    assert list(broken(palaver.crdt)) == []


@pytest.mark.parametrize("mutant", [*ORDER_AND_MERGE, *STAMPS, *GUARDS], ids=name_of)
def test_the_laws_kill(mutant: Mutant) -> None:
    with mutated(mutant) as package:
        assert next(broken(package), None) is not None, "it survived"


@pytest.mark.parametrize("mutant", [*ORDER_AND_MERGE, *STAMPS], ids=name_of)
def test_the_proofs_kill(mutant: Mutant) -> None:
    with mutated(mutant):
        try:
            survived = next(unproved(), None) is None
        except (AssertionError, KeyError):
            # The program tripped over itself on some path.
            survived = False
        assert not survived


def test_a_mutant_leaves_the_real_package_alone() -> None:
    before = import_module("palaver.crdt")
    with mutated(ORDER_AND_MERGE[0]) as package:
        assert package is not before
        assert package.LWWElementSet is not before.LWWElementSet
    assert import_module("palaver.crdt") is before
    assert import_module("palaver.crdt.order").remove_cell(3, 1) == 8


def test_a_mutant_whose_place_is_gone_says_so() -> None:
    with pytest.raises(AssertionError, match="find it again"), mutated(Mutant("x", "order", "no such text", "")):
        pass
