"""The circuit itself: a pure state machine. No lock, no clock, no callback, no IO; `now` is a parameter.

Rules of the file:

* Every admission returns a *ticket*. A ticket belongs to one closed period, its *era*, or to one half-open round. A
  result moves the circuit only if its ticket belongs to the present one; any other is late: counted, and nothing else.
* A probe is a *lease*. One that is not settled by its deadline has failed at its deadline.
* States and steps are in `circuit`; here is what admits calls, and what their results mean.

The caller holds a lock around every method. Two things are done without it (see `Engine`): while `door` is not None,
it is the ticket of an unrestricted closed period, and callers may take it without asking; and they may append the
duration of a fast success to the `samples` of that ticket. While `now < shut_until`, they may reject without asking,
and append the moment to `refused`. `advance` collects both before it does anything else.
"""

from palaver.breaker.circuit import Circuit
from palaver.breaker.errors import Failure
from palaver.breaker.round import Lease
from palaver.breaker.states import (
    CANCELLED,
    CLOSED,
    FAILURE,
    HALF_OPEN,
    IGNORED,
    OPEN,
    SUCCESS,
    UNREACHABLE,
    Cause,
    Mode,
    Outcome,
    Reason,
)
from palaver.breaker.tickets import PASS, Era, InFlight, Pass, Refusal, Ticket


class Core(Circuit):
    """A circuit and its calls."""

    __slots__ = ()

    # --- admission

    def admit(self, now: float) -> Ticket | Refusal:
        """Admit a call or say why not. Rejections are counted here."""
        if self.mode is Mode.DISABLED:
            return PASS
        self.advance(now)
        self._count_hanging(now)
        answer = self._admit(now)
        if not isinstance(answer, Refusal):
            return answer
        if self.mode is Mode.SHADOW:
            self.tally.shadowed += 1
            return PASS
        self.tally.reject(answer.reason)
        return answer

    def _admit(self, now: float) -> Ticket | Refusal:
        if self.state is CLOSED:
            return self._admit_closed(now)
        if self.state is OPEN:
            if self.held:
                return Refusal(OPEN, Reason.FORCED, None)
            if now < self.rest.until:
                return Refusal(OPEN, Reason.OPEN, self.rest.until - now)
            self._change(Cause.WAITED, now)
        return self._admit_probe(now)

    def _admit_closed(self, now: float) -> Ticket | Refusal:
        if self.ramp.active:
            if not self.ramp.admits(now):
                return Refusal(CLOSED, Reason.RAMP, 0.0)
            self._set_doors()
        return self.era if self.watch.patience is None else self.watch.begin(self.era, now)

    def _admit_probe(self, now: float) -> Ticket | Refusal:
        probes = self.round
        assert probes is not None, "half-open has a round"
        if self.grants == 0:
            self.wanted = True
            return Refusal(HALF_OPEN, Reason.PROBE_LIMIT, probes.busy_for(now))
        if not probes.has_room():
            return Refusal(HALF_OPEN, Reason.PROBE_LIMIT, probes.busy_for(now))
        if self.grants is not None:
            self.grants -= 1
        return probes.lease(now + self.config.probe_timeout)

    # --- results

    def settle(
        self,
        ticket: Ticket,
        outcome: Outcome,
        elapsed: float,
        now: float,
        failure: Failure | None = None,
        asked: float | None = None,
    ) -> None:
        """Record how an admitted call ended. `asked` is how long the server wants to be left alone."""
        if self.era.samples or self.refused or self.round is not None:
            self.advance(now)
        if ticket is self.era and self.state is CLOSED:  # first, because nearly every call is one of these
            if asked is not None:
                self.rest.ask(now + asked)
            self._weigh(outcome, self._count(outcome, elapsed, now, failure), now)
            return
        if isinstance(ticket, Pass):
            self.tally.unobserved += 1
            return
        counted = False
        if isinstance(ticket, InFlight):
            self.watch.end(ticket)
            counted, ticket = ticket.counted, ticket.era
        if not self._is_present(ticket):
            self.tally.late += 1
            return
        slow = self._count(outcome, elapsed, now, failure)
        if asked is not None:
            self.rest.ask(now + asked)
        if isinstance(ticket, Lease):
            self._weigh_probe(outcome, slow, elapsed, now, failure)
        elif not counted:
            self._weigh(outcome, slow, now)

    def _is_present(self, ticket: Era | Lease) -> bool:
        """Whether a result with this ticket may move anything. A lease gives its place back by this."""
        if isinstance(ticket, Lease):
            return ticket.round is self.round and ticket.round.end(ticket)
        return ticket is self.era and self.state is CLOSED

    def _count(self, outcome: Outcome, elapsed: float, now: float, failure: Failure | None) -> int:
        """Add the call to the tally and say whether it was slow: 1 or 0."""
        self.tally.count(outcome, elapsed, failure)
        limit: float | None = self.slow_after
        if outcome is SUCCESS:
            self.last_success_at = now
        elif outcome is CANCELLED:
            limit = self.config.count_cancelled_after
        elif outcome is IGNORED:
            limit = None
        if limit is None or elapsed < limit:
            return 0
        self.tally.slow += 1
        return 1

    def _weigh(self, outcome: Outcome, slow: int, now: float) -> None:
        """Put one result of the present era into window and streak, and judge if it speaks against the dependency."""
        against = outcome is FAILURE or outcome is UNREACHABLE
        if against:
            self.streak += 1
        elif outcome is SUCCESS:
            self.streak = 0
        elif not slow:
            return
        self.era.add(now, int(against), slow)
        if against or slow:
            self._judge(now)

    def _weigh_probe(self, outcome: Outcome, slow: int, elapsed: float, now: float, failure: Failure | None) -> None:
        """Decide by one probe: any failure opens again, enough successes close, the rest decides nothing."""
        if outcome is FAILURE:
            self._open(Cause.RELAPSED, now, f"{failure.kind}: {failure.message}" if failure else "")
        elif slow and self.slow_matters:
            self._open(Cause.RELAPSED, now, f"a probe took {elapsed:.3g} s")
        elif outcome is SUCCESS and self.round is not None and self.round.succeed():
            self._change(Cause.RECOVERED, now, f"{self.round.successes} of {self.config.close_after} probes succeeded")

    def _judge(self, now: float) -> None:
        """Ask the rule. The evidence was added at `now`, so the window has forgotten what it must."""
        finding = self.rule.judge(self.streak, self.era.window.of)
        if finding is not None:
            self._open(Cause.TRIPPED, now, str(finding))

    def _count_hanging(self, now: float) -> None:
        """Count calls that have been in flight for too long as failed and slow. What they bring later weighs
        nothing, and neither do those that began before the present closed period."""
        hanging = self.watch.overdue(now)
        self.tally.hung += len(hanging)
        present = sum(self._is_present(ticket.era) for ticket in hanging)
        for _ in range(present):
            self.streak += 1
            self.era.add(now, 1, 1)
        if present:
            self._judge(now)

    def renew(self, ticket: Lease | InFlight, now: float) -> None:
        """A stream has delivered an item: its lease, or the patience with it, begins anew, unless it has run out."""
        self.advance(now)
        if isinstance(ticket, Lease):
            ticket.deadline = now + self.config.probe_timeout
        else:
            self._count_hanging(now)
            self.watch.renew(ticket, now)
