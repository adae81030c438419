"""Who the replicas are and what each has received: that gives the floor below which tombstones may go.

Let F be such that every member has received every write stamped at or below F, and every write still to come is
stamped above it. Then a tombstone at or below F is of no further use: whatever it could beat has been beaten everywhere
and will not come again, and what comes again out of a slow queue is at or below F and ignored. It is not enough that
every member holds the tombstone: an older add may still be on its way (docs/explanation/crdt-proof.md).

Each member keeps, for itself and as last reported for the others, up to which stamp it has received everything that
each member wrote. F is the least number in that table. Reports travel with the anti-entropy that goes on anyway.

The roster must be right: a replica that writes and is not listed loses the guarantee. A member that has gone for good
stalls F until an operator evicts it, on every other member; its deltas must not be merged any more. The table then
starts afresh, since some may hold its last writes and others not, and reports of another version of the roster count
for nothing. If the member comes back it is refused and must be reseeded.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from palaver.crdt.delta import Delta
from palaver.crdt.errors import BehindFloorError
from palaver.crdt.order import MIN_STAMP
from palaver.crdt.replica import Replica

E = TypeVar("E")


class Report(msgspec.Struct, frozen=True):
    """What `member` promises (its later writes are above) and has received (from whom, up to which stamp).

    `version` counts the admissions and evictions that the sender has been told of.
    """

    member: str
    version: int
    promise: int
    received: dict[str, int]


class Roster(Generic[E]):
    """Collects the tombstones of `replica`, which is one of `members`, as far as all of them allow it.

    A new member is admitted by all others first; then it reseeds itself from one of them and passes that member's
    report as `seed`. After a restart the seed is this member's own last report, if nothing was pending when the state
    was stored after it; else it starts like a new member.
    """

    def __init__(self, replica: Replica[E], members: Iterable[str], *, seed: Report | None = None) -> None:
        self._replica = replica
        self._me = replica.replica
        self._version = 0 if seed is None else seed.version
        self._received: dict[str, dict[str, int]] = {member: {} for member in members}
        if self._me not in self._received:
            raise ValueError(f"replica {self._me!r} is not among the members {sorted(self._received)}")
        replica.vouch(MIN_STAMP)
        if seed is not None:
            self._note(self._me, {**seed.received, seed.member: seed.promise})
            # Whatever this replica promised in a life before lies below; it must not write there with any stamp.
            replica.clock.observe(seed.promise)
            replica.promise()

    @property
    def members(self) -> frozenset[str]:
        """The names of all replicas that may write."""
        return frozenset(self._received)

    def report(self) -> Report:
        """Return the report to send with the state. Take it first, the state or the diff after it."""
        promise = self._replica.promise()
        self._note(self._me, {self._me: promise})
        self._replica.vouch(self._least(self._me))
        return Report(self._me, self._version, promise, dict(self._received[self._me]))

    def receive(self, report: Report, state: Replica[E] | Delta[E]) -> Delta[E]:
        """Merge a member's whole state, or its whole `diff` against our digest, and note its report.

        Raises BehindFloorError if the sender is no member or one side must be reseeded; then nothing changed.
        """
        if report.member not in self._received:
            raise BehindFloorError(report.member, MIN_STAMP, self._replica.floor or MIN_STAMP)
        turned_away = self._replica.statistics().turned_away
        changes = self._replica.merge(state, source=report.member)
        if report.version != self._version:
            return changes
        self._note(report.member, report.received)
        # A cell for which quarantine had no room has not been received, so neither has the whole.
        if self._replica.statistics().turned_away == turned_away:
            self._note(self._me, {**report.received, report.member: report.promise})
            self._replica.vouch(self._least(self._me))
        return changes

    def collect(self) -> int:
        """Raise the floor as far as the reports allow; return how many tombstones went."""
        return self._replica.collect(min(self._least(member) for member in self._received))

    def admit(self, member: str) -> None:
        """List a new member; the floor stays until it has reported."""
        self._received.setdefault(member, {})
        self._version += 1

    def evict(self, member: str) -> None:
        """Strike a member that will not come back as it is; the floor no longer waits for it."""
        if member == self._me:
            raise ValueError(f"replica {member!r} cannot evict itself")
        self._received = {other: {} for other in self._received if other != member}
        self._version += 1

    def _least(self, member: str) -> int:
        received = self._received[member]
        return min(received.get(writer, MIN_STAMP) for writer in self._received)

    def _note(self, member: str, received: dict[str, int]) -> None:
        known = self._received[member]
        for writer, stamp in received.items():
            known[writer] = max(stamp, known.get(writer, MIN_STAMP))
