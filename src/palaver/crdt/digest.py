"""Digests: what two replicas exchange to find where they differ, in proportion to the difference.

A 128-bit hash of every element (BLAKE2b of its canonical bytes) puts it into a bucket and gives it a weight. A bucket's
sum is the sum of weight x (cell - NOTHING) over its elements, modulo the prime 2^89 - 1: it does not depend on order, a
change is one addition, and buckets fold into half as many by adding. On the wire it is cut to 64 bits. For weights
drawn at random, different cells give equal sums once in 2^63 (multiplying by a number that is not zero permutes the
residues of a prime); an opponent who may choose the elements could search for such sums, so digests are for replicas
that trust each other, as merging is.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from operator import ne
from struct import Struct
from typing import Final, Generic, TypeVar

import msgspec

from palaver.crdt.errors import MismatchError, WireError
from palaver.crdt.order import MAX_STAMP, MIN_STAMP, NOTHING
from palaver.crdt.wire import MAGIC, VERSION

E = TypeVar("E")

BUCKET_BITS: Final = 16
_PRIME: Final = (1 << 89) - 1
_MASK64: Final = (1 << 64) - 1
_IS_DIGEST: Final = 8
_MARKS: Final = Struct("<qq")


def fitting_buckets(elements: int) -> int:
    """Return the power of two from 16 to 65,536 that puts about 32 elements into each bucket."""
    return 1 << min(max((elements // 32).bit_length(), 4), BUCKET_BITS)


class Digest(msgspec.Struct, frozen=True):
    """One replica's bucket sums, with its floor and the stamp up to which it has received everything."""

    bias_bit: int
    sums: tuple[int, ...]
    floor: int | None = None
    received: int | None = None

    def differing(self, other: "Digest") -> frozenset[int]:
        """Return the numbers of the buckets whose sums differ."""
        return frozenset(number for number, differs in enumerate(map(ne, self.sums, other.sums)) if differs)

    def encode(self) -> bytes:
        """Return 3 bytes (magic, version and flags, log2 of the buckets), 16 for marks if any, 8 for each bucket."""
        marks = b""
        if self.floor is not None and self.received is not None:
            marks = _MARKS.pack(self.floor, self.received)
        flags = VERSION << 4 | _IS_DIGEST | (4 if marks else 0) | self.bias_bit
        head = bytes((MAGIC, flags, len(self.sums).bit_length() - 1))
        return head + marks + Struct(f"<{len(self.sums)}Q").pack(*self.sums)

    @classmethod
    def decode(cls, data: bytes) -> "Digest":
        """Read a digest. Raises WireError, or MismatchError for another version."""
        if len(data) < 3 or data[0] != MAGIC or not data[1] & _IS_DIGEST or data[1] & 2 or data[2] > BUCKET_BITS:
            raise WireError("this is not a digest")
        if data[1] >> 4 != VERSION:
            raise MismatchError("wire version", VERSION, data[1] >> 4)
        has_marks = bool(data[1] & 4)
        start, count = 3 + has_marks * _MARKS.size, 1 << data[2]
        if len(data) != start + 8 * count:
            raise WireError(f"a digest of {count} buckets has {start + 8 * count} bytes, not {len(data)}")
        floor, received = _MARKS.unpack_from(data, 3) if has_marks else (None, None)
        if has_marks and not MIN_STAMP <= floor <= received <= MAX_STAMP:
            raise WireError(f"the marks {floor} and {received} are out of range or order")
        return cls(data[1] & 1, Struct(f"<{count}Q").unpack_from(data, start), floor, received)


class DigestIndex(Generic[E]):
    """Keeps the bucket sums of one set: an observer that remembers what has changed and adds it up when asked.

    Costs one hash of 16 bytes per element in memory.
    """

    def __init__(self, items: Iterable[tuple[E, int]], encode: Callable[[E], bytes]) -> None:
        self._encode = encode
        self._hashes: dict[E, int] = {}
        self._sums: dict[int, int] = {}
        # Element -> its cell when it was last added up, and its cell now.
        self._stale: dict[E, tuple[int, int]] = {element: (NOTHING, cell) for element, cell in items}

    def changed(self, elements: Sequence[E], before: Sequence[int], now: Sequence[int], source: str | None) -> None:
        """Remember which sums are out of date and by how much."""
        del source
        for element, old, new in zip(elements, before, now, strict=True):
            first = self._stale.get(element)
            self._stale[element] = (old if first is None else first[0], new)

    def sums(self, buckets: int) -> tuple[int, ...]:
        """Return the sums of `buckets` buckets. Raises ValueError if that is no power of two up to 65,536."""
        if not 1 <= buckets <= 1 << BUCKET_BITS or buckets & buckets - 1:
            raise ValueError(f"buckets must be a power of two from 1 to {1 << BUCKET_BITS}, not {buckets}")
        self._add_up()
        folded = [0] * buckets
        mask = buckets - 1
        for bucket, total in self._sums.items():
            folded[bucket & mask] += total
        return tuple([total % _PRIME & _MASK64 for total in folded])

    def within(self, numbers: AbstractSet[int], buckets: int) -> list[E]:
        """Return the elements in the buckets with these `numbers` out of `buckets`."""
        self._add_up()
        mask = buckets - 1
        return [element for element, known in self._hashes.items() if known & mask in numbers]

    def _add_up(self) -> None:
        hashes, sums = self._hashes, self._sums
        for element, (old, new) in self._stale.items():
            known = hashes.get(element)
            if known is None:
                known = int.from_bytes(blake2b(self._encode(element), digest_size=16).digest(), "little")
                hashes[element] = known
            bucket = known & ((1 << BUCKET_BITS) - 1)
            sums[bucket] = sums.get(bucket, 0) + (known >> BUCKET_BITS) * (new - old)
            if new == NOTHING:
                del hashes[element]
        self._stale.clear()
