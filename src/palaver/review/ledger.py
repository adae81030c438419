"""The records of one evaluation as a last-writer-wins set: partial runs merge in any order to the same bytes.

A record is an element in its canonical JSON form. It can be struck (a remove), for instance when a person takes a vote
back; everything else only adds. What the records amount to is computed by `matrix.py` and kept until they change.

Invariants: every record belongs to the one evaluation; two ledgers that hold the same writes encode to equal bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from palaver.crdt import CrdtError, HybridLogicalClock, LWWElementSet
from palaver.review.errors import FormatError, LedgerError
from palaver.review.matrix import Matrix, Records, derive, sort
from palaver.review.records import Evaluation, Record, decode, encode


@dataclass(frozen=True, slots=True)
class Line:
    """One write: a record added to or struck from the set, under the stamp of its writer's clock."""

    action: Literal["+", "-"]
    stamp: int
    record: str

    def __str__(self) -> str:
        return f"{self.action}{self.stamp} {self.record}"


def parse_line(text: str, where: str) -> Line:
    """Read the form in which a `Line` is written. Raises `FormatError`."""
    head, _, record = text.partition(" ")
    action, digits = head[:1], head[1:]
    if action not in ("+", "-") or not digits.isdecimal() or not record:
        raise FormatError(where, f"{text[:40]!r} is no line of a journal")
    return Line("+" if action == "+" else "-", int(digits), record)


class Ledger:
    """The records of one evaluation, as one replica knows them. Not safe for several threads at once."""

    def __init__(self, replica: str, wall_milliseconds: Callable[[], int]) -> None:
        # Stamps only order writes of one record; a replica whose clock is wrong must not have its records held back.
        self._set: LWWElementSet[str] = LWWElementSet(
            clock=HybridLogicalClock(replica, wall_milliseconds, max_drift=None)
        )
        self._filed: Records | None = None
        self._matrix: Matrix | None = None

    @property
    def replica(self) -> str:
        """Who writes here."""
        return self._set.replica

    def __len__(self) -> int:
        return len(self._set)

    def __contains__(self, record: object) -> bool:
        return isinstance(record, Record) and encode(record) in self._set

    def records(self) -> list[Record]:
        """All records, in the order of their canonical forms."""
        return [decode(text) for text in sorted(self._set)]

    def matrix(self) -> Matrix:
        """What the records amount to. Raises `LedgerError` if there is no evaluation among them."""
        if self._matrix is None:
            if self._filed is None:
                self._filed = sort(decode(text) for text in self._set)
            self._matrix = derive(self._filed)
        return self._matrix

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation. Raises `LedgerError` if it is not here yet."""
        return self.matrix().evaluation

    def add(self, record: Record) -> Line:
        """Add a record, and return the write for a journal. Raises `LedgerError` for a second evaluation."""
        text = encode(record)
        self._check(record)
        if text not in self._set:
            self._file(record)
        self._set.add(text)
        return Line("+", self._stamp(text), text)

    def strike(self, record: Record) -> Line:
        """Take a record out again, here and wherever this write arrives."""
        text = encode(record)
        self._set.remove(text)
        self._forget()
        return Line("-", self._stamp(text), text)

    def apply(self, lines: Iterable[Line]) -> bool:
        """Take in writes of other replicas, in any order and any number of times. Returns whether any was new."""
        changed = False
        for line in lines:
            write = self._set.add if line.action == "+" else self._set.remove
            changed |= bool(write(line.record, line.stamp))
        if changed:
            self._forget()
        return changed

    def merge(self, other: "Ledger") -> bool:
        """Take in everything that another replica knows. Raises `LedgerError` if it is another evaluation's."""
        if len(self._set) and len(other) and other.evaluation != self.evaluation:
            raise LedgerError(f"{other.evaluation.id} cannot be merged into {self.evaluation.id}: another evaluation.")
        changed = bool(self._set.merge(other._set))  # noqa: SLF001 - another of the same class
        if changed:
            self._forget()
        return changed

    def lines(self) -> list[Line]:
        """Everything that is known as writes, struck records too, in the order of the records."""
        found = [Line("+", self._stamp(text), text) for text in self._set]
        found += [Line("-", self._stamp(text), text) for text in self._set.tombstones()]
        return sorted(found, key=lambda line: line.record)

    def encode(self) -> bytes:
        """The canonical form: equal for all replicas that know the same writes."""
        return self._set.encode()

    @classmethod
    def decode(cls, data: bytes, replica: str, wall_milliseconds: Callable[[], int], where: str = "ledger") -> "Ledger":
        """Read the canonical form. Raises `FormatError`."""
        made = cls(replica, wall_milliseconds)
        try:
            made._set = LWWElementSet.decode(data, clock=HybridLogicalClock(replica, wall_milliseconds, max_drift=None))
        except CrdtError as error:
            raise FormatError(where, str(error)) from error
        return made

    def _file(self, record: Record) -> None:
        """File one record more, instead of reading all of them again."""
        self._matrix = None
        if self._filed is not None:
            self._filed.add(record)

    def _forget(self) -> None:
        self._matrix = self._filed = None

    def _check(self, record: Record) -> None:
        if isinstance(record, Evaluation) and len(self._set) and record != self.evaluation:
            raise LedgerError(f"{record.id} does not belong to {self.evaluation.id}.")

    def _stamp(self, text: str) -> int:
        stamp = self._set.stamp_of(text)
        assert stamp is not None
        return stamp
