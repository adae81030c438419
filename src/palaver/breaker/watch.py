"""Calls in flight, watched for hanging. Opt-in: it costs a ticket, an insertion and a deletion for each call.

Tickets are kept in the order in which they started, or made progress, so that the overdue ones come first.
"""

from palaver.breaker.tickets import Era, InFlight


class Watch:
    """The calls of one circuit that have not ended; `patience` in seconds, None for off."""

    __slots__ = ("_calls", "patience")

    def __init__(self, patience: float | None) -> None:
        self.patience = patience
        self._calls: dict[InFlight, None] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, era: Era, now: float) -> InFlight:
        """Watch a call that begins now."""
        ticket = InFlight(era, now)
        self._calls[ticket] = None
        return ticket

    def end(self, ticket: InFlight) -> None:
        """Stop watching a call, whether or not it was overdue."""
        self._calls.pop(ticket, None)

    def renew(self, ticket: InFlight, now: float) -> None:
        """A call makes progress: begin anew with it, unless it is watched no longer."""
        if ticket in self._calls:
            del self._calls[ticket]
            ticket.started = now
            self._calls[ticket] = None

    def overdue(self, now: float) -> list[InFlight]:
        """Take out the calls that are in flight for too long, and mark them as counted."""
        found: list[InFlight] = []
        if self.patience is None:
            return found
        for ticket in self._calls:
            if ticket.started + self.patience > now:
                break
            found.append(ticket)
        for ticket in found:
            del self._calls[ticket]
            ticket.counted = True
        return found
