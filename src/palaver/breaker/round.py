"""One half-open round: which probes are under way, and what they have shown.

A round belongs to one half-open period. A lease that is not, or no longer, in its round moves nothing. Any failed
probe ends the round, so there is nothing to count but successes.
"""

from math import inf


class Lease:
    """The ticket of a probe: the right to run until `deadline`."""

    __slots__ = ("deadline", "round")

    def __init__(self, round_: "Round", deadline: float) -> None:
        self.round = round_
        self.deadline = deadline


class Round:
    """Probes of one half-open period: at most `probes` decided and in flight together, `concurrency` at once."""

    __slots__ = ("_close_after", "_concurrency", "_leases", "_probes", "successes")

    def __init__(self, probes: int, concurrency: int, close_after: int) -> None:
        self._probes, self._concurrency, self._close_after = probes, concurrency, close_after
        self._leases: set[Lease] = set()
        self.successes = 0

    @property
    def in_flight(self) -> int:
        """How many probes are under way."""
        return len(self._leases)

    def has_room(self) -> bool:
        """Whether one more probe may begin."""
        busy = len(self._leases)
        return busy < self._concurrency and self.successes + busy < self._probes

    def lease(self, deadline: float) -> Lease:
        """Begin a probe."""
        lease = Lease(self, deadline)
        self._leases.add(lease)
        return lease

    def end(self, lease: Lease) -> bool:
        """Give the place back. False if the lease was not under way."""
        if lease not in self._leases:
            return False
        self._leases.remove(lease)
        return True

    def succeed(self) -> bool:
        """Count a probe that ended well, and say whether that closes the circuit."""
        self.successes += 1
        return self.successes >= self._close_after

    def first_deadline(self) -> float:
        """When the first of the leases runs out; infinitely late if none is under way."""
        return min((lease.deadline for lease in self._leases), default=inf)

    def busy_for(self, now: float) -> float:
        """Seconds until a place is free at the latest; 0 if no probe is under way."""
        return max(0.0, self.first_deadline() - now) if self._leases else 0.0
