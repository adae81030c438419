"""A delta: some cells on their way to other replicas.

Deltas may be lost, repeated, reordered and joined in any grouping; merging one twice changes nothing. No element occurs
twice in a delta. A delta never changes.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from palaver.crdt.errors import MismatchError
from palaver.crdt.order import BIASES, NOTHING, Bias, join

E = TypeVar("E")


class Delta(msgspec.Struct, Generic[E], frozen=True, eq=False, gc=False):
    """Elements and their cells, side by side; true if there are any.

    Made by the mutators of a set, by `delta_since`, by `diff` and by `decode_delta`.
    """

    bias_bit: int

    @property
    def elements(self) -> Sequence[E]:
        """The elements, each once."""
        raise NotImplementedError

    @property
    def cells(self) -> Sequence[int]:
        """The cells of the elements, in their order."""
        raise NotImplementedError

    @property
    def bias(self) -> Bias:
        """Which write wins at equal stamps."""
        return BIASES[self.bias_bit]

    @property
    def top(self) -> int:
        """The greatest cell, or NOTHING."""
        return max(self.cells, default=NOTHING)

    def items(self) -> Iterator[tuple[E, int]]:
        """Pairs of element and cell."""
        return zip(self.elements, self.cells, strict=True)

    def added(self) -> frozenset[E]:
        """The elements that this delta's cells put into a set."""
        return frozenset(element for element, cell in self.items() if cell & 1)

    def removed(self) -> frozenset[E]:
        """The elements that this delta's cells take out of a set."""
        return frozenset(element for element, cell in self.items() if not cell & 1)

    def joined(self, other: "Delta[E]") -> "Delta[E]":
        """Return one delta that does what both do, in whichever order."""
        if other.bias_bit != self.bias_bit:
            raise MismatchError("bias", self.bias, other.bias)
        cells = dict(self.items())
        for element, cell in other.items():
            cells[element] = join(cell, cells.get(element, NOTHING))
        return DeltaOfMany(self.bias_bit, tuple(cells), tuple(cells.values()))

    def encode(self) -> bytes:
        """Return the canonical wire form, which `decode_delta` reads."""
        from palaver.crdt.wire import encode_delta  # the wire form is built on deltas

        return encode_delta(self)

    def __len__(self) -> int:
        return len(self.elements)

    def __bool__(self) -> bool:
        return bool(self.elements)

    def __repr__(self) -> str:
        return f"Delta({dict(self.items())}, bias={self.bias!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Delta):
            return NotImplemented
        return self.bias_bit == other.bias_bit and dict(self.items()) == dict(other.items())

    def __ne__(self, other: object) -> bool:
        # A Struct has an inequality of its own, by identity, which would not be the opposite.
        return not self == other

    def __hash__(self) -> int:
        return hash((self.bias_bit, frozenset(self.items())))


class DeltaOfMany(Delta[E], frozen=True):
    """A delta of any number of elements."""

    elements: Sequence[E]
    cells: Sequence[int]


class DeltaOfOne(Delta[E], frozen=True):
    """What one write gives: made in half the time, which is a tenth of the whole write."""

    element: E
    cell: int

    @property
    def elements(self) -> Sequence[E]:
        """The element."""
        return (self.element,)

    @property
    def cells(self) -> Sequence[int]:
        """Its cell."""
        return (self.cell,)
