"""What the set is, by definition: the greatest stamp of each kind, then the bias. No cells, no merging."""

from collections.abc import Iterable
from typing import NamedTuple

from palaver.crdt import Bias, Delta, LWWElementSet
from palaver.crdt.order import BIASES, stamp_in


class Update(NamedTuple):
    """One add or remove."""

    element: str
    is_add: bool
    stamp: int


def specified(updates: Iterable[Update], bias: Bias) -> set[str]:
    """Return the members: those with an add that no remove beats."""
    adds: dict[str, int] = {}
    removes: dict[str, int] = {}
    for update in updates:
        side = adds if update.is_add else removes
        side[update.element] = max(update.stamp, side.get(update.element, update.stamp))
    return {
        element
        for element, stamp in adds.items()
        if element not in removes or removes[element] < stamp or (removes[element] == stamp and bias == "add")
    }


def updates_in(delta: Delta[str]) -> set[Update]:
    """Return the updates that a delta stands for."""
    bit = BIASES.index(delta.bias)
    return {Update(element, bool(cell % 2), stamp_in(cell, bit)) for element, cell in delta.items()}


def apply(members: LWWElementSet[str], update: Update) -> Delta[str]:
    """Write the update with its own stamp."""
    return (members.add if update.is_add else members.remove)(update.element, update.stamp)
