"""The total order on cells, on which everything else rests.

What a replica knows about one element is one integer, its cell: the stamp of the latest write and whether that write
was an add or a remove. Cells are compared as integers; merging is taking the greater one.

    add at stamp t       2t + 1
    remove at stamp t    2t        bias "add":     the add of the same stamp is greater
                         2t + 2    bias "remove":  the remove of the same stamp is greater, below the add of t + 1

The bias lies inside the order, so two different cells never compare equal, and an odd cell means that the element is
in the set, under either bias. Nothing is known of an element that has no cell; where a number must stand for that,
it is `NOTHING`, below every cell of a legal stamp. It is not zero: zero is a legal stamp.

These functions use only `+ - * // % >`, so proofs/ runs them, unchanged, on z3's integers.
"""

from typing import Final, Literal, TypeAlias

Bias: TypeAlias = Literal["add", "remove"]

MAX_STAMP: Final = (1 << 60) - 1
MIN_STAMP: Final = -(1 << 60)
NOTHING: Final = -(1 << 62)

BIASES: Final[tuple[Bias, Bias]] = ("add", "remove")
"""A bias in code is its index here, the bias bit: 0 for add, 1 for remove."""


def add_cell(stamp: int) -> int:
    """Return the cell of an add at `stamp`."""
    return 2 * stamp + 1


def remove_cell(stamp: int, bias_bit: int) -> int:
    """Return the cell of a remove at `stamp`."""
    return 2 * stamp + 2 * bias_bit


def stamp_in(cell: int, bias_bit: int) -> int:
    """Return the stamp from which `cell` was made."""
    return (cell - bias_bit) // 2


def present_in(cell: int) -> bool:
    """Say whether `cell` was made by an add."""
    return cell % 2 == 1


def last_cell(stamp: int, bias_bit: int) -> int:
    """Return the greatest cell of `stamp`: a cell is at most this if and only if its stamp is at most `stamp`."""
    return 2 * stamp + 1 + bias_bit


def join(one: int, other: int) -> int:
    """Return the least cell that is at least both: the greater one."""
    return max(one, other)
