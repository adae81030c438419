"""What can go wrong with a last-writer-wins set, as one tree.

    CrdtError
    ├── ElementError (TypeError)      this value cannot be an element
    ├── StampError (ValueError)       this stamp is outside the range, or the clock has run out of stamps
    ├── MismatchError                 two replicas were configured differently: merging them would diverge
    ├── BehindFloorError              a replica missed updates that others have already collected: reseed it
    └── WireError (ValueError)        these bytes are not a set, a delta or a digest

None of them leaves a set half changed: each is raised before the first cell is written.
"""


class CrdtError(Exception):
    """Base of everything that this package raises on purpose."""


class ElementError(CrdtError, TypeError):
    """The value cannot be an element, because replicas would not agree on what it is."""


class StampError(CrdtError, ValueError):
    """The stamp is no integer in range, or would be older than a promise that this replica has given."""


class MismatchError(CrdtError):
    """The two sides differ in bias, stamp layout or wire version; `mine` and `theirs` say how."""

    def __init__(self, what: str, mine: object, theirs: object) -> None:
        super().__init__(f"{what} differs: {mine!r} here, {theirs!r} there. It is fixed for the life of a set.")
        self.what, self.mine, self.theirs = what, mine, theirs


class BehindFloorError(CrdtError):
    """`member` has received everything only up to `received`, which is below the tombstone floor `floor`."""

    def __init__(self, member: str, received: int, floor: int) -> None:
        super().__init__(
            f"{member!r} has received everything up to stamp {received} only, but tombstones up to {floor} are gone. "
            f"Reseed it from a current member; merging could bring removed elements back."
        )
        self.member, self.received, self.floor = member, received, floor


class WireError(CrdtError, ValueError):
    """The bytes are malformed, too many, or written in an unknown version."""
