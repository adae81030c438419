"""The state of a replica and everything that can be read from it.

Reading, comparison and set algebra go by members; `state_equal` and `dominates` go by cells.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, TypeVar, cast

from palaver.crdt.order import BIASES, NOTHING, Bias, stamp_in

E = TypeVar("E")


class CellSet(AbstractSet[E]):
    """One cell for every element that was ever written, and the set of those whose cell is an add.

    Not made by itself: `LWWElementSet` adds the writing. Unhashable, since it changes; `frozen` gives a hashable copy.
    """

    __slots__ = ("_bias_bit", "_dead", "_live", "_top")

    def __init__(self, bias_bit: int) -> None:
        self._bias_bit = bias_bit
        # As in joining.py: members and removed elements, each with its cell.
        self._live: dict[E, int] = {}
        self._dead: dict[E, int] = {}
        # No cell has ever been greater than this.
        self._top = NOTHING

    def lookup(self, element: E) -> bool:
        """Say whether `element` is in the set."""
        return element in self._live

    def __contains__(self, element: object) -> bool:
        return element in self._live

    def __iter__(self) -> Iterator[E]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)

    @property
    def bias(self) -> Bias:
        """Which write wins at equal stamps."""
        return BIASES[self._bias_bit]

    def stamp_of(self, element: E) -> int | None:
        """Return the stamp of the write that decides about `element`, or None if there has been none."""
        cell = self._cell_of(element)
        return None if cell == NOTHING else stamp_in(cell, self._bias_bit)

    def tombstones(self) -> frozenset[E]:
        """Return the elements that are known to have been removed."""
        return frozenset(self._dead)

    def frozen(self) -> frozenset[E]:
        """Return the members as a hashable set that will not change."""
        return frozenset(self._live)

    def state_equal(self, other: "CellSet[E]") -> bool:
        """Say whether both hold the same cells: more than having the same members."""
        return self._bias_bit == other._bias_bit and self._live == other._live and self._dead == other._dead

    def dominates(self, other: "CellSet[E]") -> bool:
        """Say whether merging `other` would change nothing."""
        return self._bias_bit == other._bias_bit and all(
            cell <= self._cell_of(element) for element, cell in other._items()
        )

    def _cell_of(self, element: E) -> int:
        # A live cell is odd, so it is never zero.
        return self._live.get(element) or self._dead.get(element, NOTHING)

    def _items(self) -> Iterable[tuple[E, int]]:
        return chain(self._live.items(), self._dead.items())

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:  # noqa: ANN401  # a plain set is no CellSet
        # Set algebra is about members: a union is not a merge, so it must not look like one.
        return set(cast("Iterable[E]", it))
