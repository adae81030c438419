"""The state of a replica and everything that can be read from it.

Reading, comparison and set algebra go by members; `state_equal` and `dominates` go by cells.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, cast

from palaver.crdt.order import BIASES, NOTHING, Bias, present_in, stamp_in

E = TypeVar("E")


class CellSet(AbstractSet[E]):
    """One cell for every element that was ever written, and the set of those whose cell is an add.

    Not made by itself: `LWWElementSet` adds the writing. Unhashable, since it changes; `frozen` gives a hashable copy.
    """

    __slots__ = ("_bias_bit", "_cells", "_counted", "_live", "_top")

    def __init__(self, bias_bit: int) -> None:
        self._bias_bit = bias_bit
        self._cells: dict[E, int] = {}
        self._top = NOTHING
        # The number of members is kept while cells are written one by one, and counted again after a union.
        self._live, self._counted = 0, True

    def lookup(self, element: E) -> bool:
        """Say whether `element` is in the set."""
        return self._cells.get(element, NOTHING) & 1 == 1

    def __contains__(self, element: object) -> bool:
        return self._cells.get(cast("E", element), NOTHING) & 1 == 1

    def __iter__(self) -> Iterator[E]:
        return (element for element, cell in self._cells.items() if cell & 1)

    def __len__(self) -> int:
        if not self._counted:
            self._live = sum(map((1).__and__, self._cells.values()))
            self._counted = True
        return self._live

    @property
    def bias(self) -> Bias:
        """Which write wins at equal stamps."""
        return BIASES[self._bias_bit]

    def stamp_of(self, element: E) -> int | None:
        """Return the stamp of the write that decides about `element`, or None if there has been none."""
        cell = self._cells.get(element)
        return None if cell is None else stamp_in(cell, self._bias_bit)

    def tombstones(self) -> frozenset[E]:
        """Return the elements that are known to have been removed."""
        return frozenset(element for element, cell in self._cells.items() if not present_in(cell))

    def frozen(self) -> frozenset[E]:
        """Return the members as a hashable set that will not change."""
        return frozenset(self)

    def state_equal(self, other: "CellSet[E]") -> bool:
        """Say whether both hold the same cells: more than having the same members."""
        return self._bias_bit == other._bias_bit and self._cells == other._cells

    def dominates(self, other: "CellSet[E]") -> bool:
        """Say whether merging `other` would change nothing."""
        get = self._cells.get
        return self._bias_bit == other._bias_bit and all(
            cell <= get(element, NOTHING) for element, cell in other._cells.items()
        )

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:  # noqa: ANN401  # a plain set is no CellSet
        # Set algebra is about members: a union is not a merge, so it must not look like one.
        return set(it)
