"""The circuit itself: a pure state machine. No lock, no clock, no callback, no IO; `now` is a parameter.

Rules of the file:

* Every admission returns a *ticket*. A ticket belongs to one closed period, its *era*, or to one half-open round. A
  result moves the circuit only if its ticket belongs to the present one; any other is late: counted, and nothing else.
* A probe is a *lease*. One that is not settled by its deadline has failed at its deadline.
* Looking changes nothing. `advance(now)` performs, at the time when it was due, the step that time alone causes, so a
  machine that is looked at rarely goes through the same states as one that is looked at always.
* `_step` is the one writer of `state`, and performs only steps of the table in `states.py`.
* How long to stay open is decided outside, because the strategy is user code: an opening is *pending* until `decide`,
  and holds with a provisional wait until then.

The caller holds a lock around every method. Two things are done without it (see `Engine`): while `door` is not None,
it is the ticket of an unrestricted closed period, and callers may take it without asking; and they may append the
duration of a fast success to the `samples` of that ticket. While `now < shut_until`, they may reject without asking,
and append the moment to `refused`. `advance` collects both before it does anything else.
"""

from collections import deque
from math import inf
from typing import Final, NamedTuple

from palaver.breaker.config import Config
from palaver.breaker.errors import Failure
from palaver.breaker.round import Lease, Round, Verdict
from palaver.breaker.rules import Finding, open_window, totals_of
from palaver.breaker.states import CAUSES, TRANSITIONS, Cause, Mode, Outcome, Reason, State
from palaver.breaker.tally import Tally
from palaver.breaker.window import Window

_PROVISIONAL_WAIT: Final = (
    1.0  # in force for the microseconds until the strategy has been asked, or if it never answers
)
_RAMP_FROM: Final = 0.1
_NEWS: Final = 1024  # transitions waiting for a listener that blocks; beyond it the oldest are not announced


class Era:
    """The ticket of a closed period: its window, and the durations of fast successes that wait to be collected."""

    __slots__ = ("edge", "samples", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.samples: list[float] = []
        self.edge = window.edge  # a copy, so that the fast path needs one attribute; set by `Core` after each `add`


class InFlight:
    """The ticket of a call that is watched for hanging."""

    __slots__ = ("counted", "era", "started")

    def __init__(self, era: Era, started: float) -> None:
        self.era = era
        self.started = started
        self.counted = False


class Pass:
    """The ticket of a call that shadow or disabled mode lets through unobserved."""

    __slots__ = ()


Ticket = Era | Lease | InFlight | Pass
PASS: Final = Pass()


class Refusal(NamedTuple):
    """Why a call is not admitted, and for how long; None if nobody knows."""

    state: State
    reason: Reason
    retry_after: float | None


class Transition(NamedTuple):
    """One change of state."""

    number: int
    """1 for the first; without gaps."""
    at: float
    before: State
    after: State
    cause: Cause
    why: str
    """The rule that fired and what it saw, the failure of the probe, or an operator's words."""
    attempt: int
    """The back-off level after the change."""
    wait: float | None
    """Seconds until probes are admitted; None unless it opened for a known time."""


class Opening(NamedTuple):
    """An opening whose wait has not been decided yet."""

    transition: Transition
    previous: float | None
    server_wait: float | None


class Core:
    """The state of one circuit."""

    __slots__ = (
        "_claimed",
        "_slow_matters",
        "_watches",
        "attempt",
        "config",
        "door",
        "era",
        "forced",
        "grants",
        "history",
        "holders",
        "in_flight",
        "last_success_at",
        "mode",
        "news",
        "observed",
        "open_until",
        "opens",
        "pending",
        "ramp_credit",
        "ramp_until",
        "refused",
        "round",
        "rule",
        "server_until",
        "shut_until",
        "since",
        "slow_after",
        "state",
        "streak",
        "tally",
        "transitions",
        "wait",
    )

    def __init__(self, config: Config, now: float) -> None:
        self.config = config
        self.rule = config.rule
        self._slow_matters = self.rule.needs_slow()
        self._watches = config.hang_after is not None
        self.slow_after = inf if config.slow_after is None else config.slow_after
        self.tally = Tally()
        self.history: deque[Transition] = deque(maxlen=config.history)
        self.news: deque[Transition] = deque(maxlen=_NEWS)
        self.pending: Opening | None = None
        self._claimed = True
        self.state = State.CLOSED
        self.mode = Mode.NORMAL
        self.since = now
        self.streak = 0
        self.refused: list[float] = []
        self.last_success_at: float | None = None
        self.opens = self.transitions = self.attempt = 0
        self.wait: float | None = None
        self.open_until = self.shut_until = -inf
        self.server_until = -inf
        self.forced = False
        self.holders: set[object] = set()
        self.observed = False  # a per-call hook wants to see every call, so none may take the short way
        self.grants: int | None = None  # probes that the fleet lets this process take; None: it decides alone
        self.round: Round | None = None
        self.ramp_until = -inf
        self.ramp_credit = 0.0
        self.in_flight: dict[InFlight, None] = {}
        self._new_era()

    # --- admission

    def admit(self, now: float) -> Ticket | Refusal:
        """Admit a call or say why not. Rejections are counted here."""
        if self.mode is Mode.DISABLED:
            return PASS
        self.advance(now)
        if self._watches:
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
        if self.state is State.CLOSED:
            return self._admit_closed(now)
        if self.state is State.OPEN:
            if self.held:
                return Refusal(State.OPEN, Reason.FORCED, None)
            if now < self.open_until:
                return Refusal(State.OPEN, Reason.OPEN, self.open_until - now)
            self._change(Cause.WAITED, now)
        return self._admit_probe(now)

    def _admit_closed(self, now: float) -> Ticket | Refusal:
        if now < self.ramp_until:
            length = self.config.ramp or 1.0
            share = 1.0 - (1.0 - _RAMP_FROM) * (self.ramp_until - now) / length
            if self.ramp_credit + share < 1.0:
                self.ramp_credit += share
                return Refusal(State.CLOSED, Reason.RAMP, 0.0)
            self.ramp_credit += share - 1.0
        elif self.ramp_until > -inf:
            self.ramp_until = -inf
            self._set_doors()
        if not self._watches:
            return self.era
        ticket = InFlight(self.era, now)
        self.in_flight[ticket] = None
        return ticket

    def _admit_probe(self, now: float) -> Ticket | Refusal:
        now_round = self.round
        assert now_round is not None, "half-open has a round"
        if self.grants == 0 or not now_round.has_room():
            return Refusal(State.HALF_OPEN, Reason.PROBE_LIMIT, now_round.busy_for(now))
        if self.grants is not None:
            self.grants -= 1
        return now_round.lease(now + self.config.probe_timeout)

    # --- results

    def settle(
        self,
        ticket: Ticket,
        outcome: Outcome,
        elapsed: float,
        now: float,
        failure: Failure | None = None,
        server_wait: float | None = None,
    ) -> None:
        """Record how an admitted call ended. `server_wait` is the wait that the server asked for."""
        self.advance(now)
        if isinstance(ticket, Pass):
            self.tally.unobserved += 1
            return
        if isinstance(ticket, Lease):
            self._settle_probe(ticket, outcome, elapsed, now, failure, server_wait)
            return
        counted = False
        if isinstance(ticket, InFlight):
            self.in_flight.pop(ticket, None)
            counted, ticket = ticket.counted, ticket.era
        if ticket is not self.era or self.state is not State.CLOSED:
            self.tally.late += 1
            return
        slow = self._count(outcome, elapsed, now, failure)
        if server_wait is not None:
            self.server_until = max(self.server_until, now + server_wait)
        if not counted:
            self._weigh(outcome, slow, now)

    def _weigh(self, outcome: Outcome, slow: int, now: float) -> None:
        """Put one result of the present era into window and streak, and judge if it speaks against the dependency."""
        against = outcome is Outcome.FAILURE or outcome is Outcome.UNREACHABLE
        if against:
            self.streak += 1
        elif outcome is Outcome.SUCCESS:
            self.streak = 0
        elif not slow:
            return
        self._add(now, int(against), slow)
        if against or slow:
            self._judge(now)

    def _add(self, now: float, failed: int, slow: int) -> None:
        self.era.window.add(now, failed, slow)
        self.era.edge = self.era.window.edge

    def _settle_probe(
        self,
        lease: Lease,
        outcome: Outcome,
        elapsed: float,
        now: float,
        failure: Failure | None,
        server_wait: float | None,
    ) -> None:
        now_round = self.round
        if now_round is None or lease.round is not now_round or not now_round.end(lease):
            self.tally.late += 1
            return
        slow = self._count(outcome, elapsed, now, failure)
        if outcome is Outcome.FAILURE or (slow and self._slow_matters):
            if server_wait is not None:
                self.server_until = max(self.server_until, now + server_wait)
            self._open(Cause.RELAPSED, now, _say(failure) if outcome is Outcome.FAILURE else f"took {elapsed:.3g} s")
        elif outcome is Outcome.SUCCESS and now_round.succeed() is Verdict.CLOSE:
            self._change(Cause.RECOVERED, now, f"{now_round.successes} of {self.config.close_after} probes succeeded")

    def _count(self, outcome: Outcome, elapsed: float, now: float, failure: Failure | None) -> int:
        """Add the call to the tally and say whether it was slow: 1 or 0."""
        self.tally.count(outcome, elapsed, failure)
        if outcome is Outcome.SUCCESS:
            self.last_success_at = now
        if outcome is Outcome.CANCELLED:
            patience = self.config.count_cancelled_after
            slow = patience is not None and elapsed >= patience
        else:
            slow = outcome is not Outcome.IGNORED and elapsed >= self.slow_after
        self.tally.slow += slow
        return int(slow)

    def _judge(self, now: float) -> None:
        finding = self.rule.judge(self.streak, totals_of(self.era.window, now))
        if finding is not None:
            self._open(Cause.TRIPPED, now, finding)

    def _count_hanging(self, now: float) -> None:
        """Count calls that are in flight for too long. The oldest come first, so the first that is young enough ends
        it."""
        patience = self.config.hang_after
        if patience is None or self.state is not State.CLOSED:
            return
        hanging = []
        for ticket in self.in_flight:
            if ticket.started + patience > now:
                break
            hanging.append(ticket)
        for ticket in hanging:
            del self.in_flight[ticket]
            ticket.counted = True
            self.tally.hung += 1
            if ticket.era is self.era:
                self.streak += 1
                self._add(now, 1, 1)
        if hanging:
            self._judge(now)

    def renew(self, ticket: Ticket, now: float) -> None:
        """A streaming probe has delivered an item: its lease begins anew."""
        if isinstance(ticket, Lease):
            self.advance(now)
            ticket.deadline = now + self.config.probe_timeout

    # --- time

    def advance(self, now: float) -> None:
        """Collect what has been appended without asking, and perform what time alone has caused: the end of a lease."""
        if self.era.samples:
            self.collect(self.era)
        if self.refused:
            count = len(self.refused)
            del self.refused[:count]
            self.tally.rejected_open += count
        if self.round is not None and (deadline := self.round.first_deadline()) <= now:
            self._open(Cause.EXPIRED, deadline, f"a probe did not end within {self.config.probe_timeout:g} s")

    def collect(self, era: Era) -> None:
        """Count the fast successes that were appended to an era; if it is over, they are late."""
        samples = era.samples
        batch = samples[: len(samples)]
        del samples[: len(batch)]  # others may have appended meanwhile; theirs stay
        if era is not self.era or self.state is not State.CLOSED:
            self.tally.late += len(batch)
        elif batch:
            self.streak = 0
            era.window.note(len(batch))
            self.tally.successes(batch)

    def seen_state(self, now: float) -> State:
        """The state as a caller sees it: an open circuit whose wait is over is half-open, though no probe has begun."""
        if self.state is State.OPEN and not self.held and now >= self.open_until:
            return State.HALF_OPEN
        return self.state

    def retry_after(self, now: float) -> float | None:
        """Seconds until a call may be admitted; None if closed, or held open so that nobody knows."""
        if self.state is State.CLOSED or self.held:
            return None
        if self.state is State.OPEN:
            return max(0.0, self.open_until - now)
        return 0.0 if self.round is None or self.round.has_room() else self.round.busy_for(now)

    def level(self, now: float) -> int:
        """The back-off level: openings since the circuit was last stable."""
        return 0 if self._is_stable(now) else self.attempt

    def _is_stable(self, now: float) -> bool:
        needed = self.config.stable_after if self.config.stable_after is not None else (self.wait or 0.0)
        return self.state is State.CLOSED and now - self.since >= needed

    # --- control

    @property
    def held(self) -> bool:
        """Whether an operator holds the circuit open."""
        return self.forced or bool(self.holders)

    def force_open(self, now: float, why: str, holder: object = None) -> None:
        """Open until `reset`, or with a holder until the last holder lets go."""
        self.advance(now)
        if self._is_stable(now):
            self.attempt, self.wait = 0, None
        if holder is None:
            self.forced = True
        else:
            self.holders.add(holder)
        self._change(Cause.FORCED, now, why)

    def let_go(self, now: float, holder: object) -> None:
        """End one isolation. After the last, a probe decides. Nothing happens if a reset came first."""
        if holder in self.holders:
            self.holders.remove(holder)
            if not self.held:
                self._change(Cause.RELEASED, now)

    def reset(self, now: float, why: str) -> None:
        """Close, and forget the window, the back-off and every hold. Counters stay."""
        self.advance(now)
        self.forced = False
        self.mode = Mode.NORMAL
        self.holders.clear()
        self.server_until = -inf
        self._change(Cause.RESET, now, why)
        self.attempt, self.wait, self.ramp_until = 0, None, -inf
        self._set_doors()

    def set_mode(self, now: float, mode: Mode) -> None:
        """Change how much is in force. The circuit stays where it is."""
        self.advance(now)
        self.mode = mode
        self._set_doors()

    def observe(self, *, wanted: bool) -> None:
        """Send every call the long way, or let them take the short one again."""
        self.observed = wanted
        self._set_doors()

    def peer_opened(self, now: float, wait: float, attempt: int, why: str) -> None:
        """Follow another process that opened the shared circuit for `wait` more seconds."""
        self.advance(now)
        if self.held or (self.state is State.OPEN and self.open_until >= now + wait):
            return
        self.attempt, self.wait = attempt, wait
        self.open_until = now + wait
        self._change(Cause.PEER_OPENED, now, why)

    def peer_closed(self, now: float, why: str) -> None:
        """Follow another process whose probes succeeded."""
        self.advance(now)
        if self.state is not State.CLOSED and not self.held:
            self._change(Cause.PEER_CLOSED, now, why)

    # --- transitions

    def _open(self, cause: Cause, now: float, why: object) -> None:
        """Open with a wait that `decide` will set."""
        previous = self.wait if self.attempt and not self._is_stable(now) else None
        self.attempt = 1 if previous is None else self.attempt + 1
        server_wait = self.server_until - now if self.server_until > now else None
        self.server_until = -inf
        self.open_until = now + (previous or _PROVISIONAL_WAIT)
        self.pending = Opening(self._step(cause, now, str(why)), previous, server_wait)
        self._claimed = False

    def claim(self) -> Opening | None:
        """Hand out the pending opening, once: whoever gets it asks the strategy and calls `decide`."""
        if self._claimed:
            return None
        self._claimed = True
        return self.pending

    def decide(self, opening: Opening, wait: float) -> None:
        """Set the wait of a pending opening. Does nothing if that opening has been settled meanwhile.

        What the server asked for may lengthen the wait up to `retry_after_cap`, and never shortens it: a host that
        answers "in a second" for ever must not undo the back-off.
        """
        if self.pending is not opening:
            return
        if opening.server_wait is not None:
            wait = max(wait, min(opening.server_wait, self.config.retry_after_cap))
        self.pending = None
        self.wait = wait
        self.open_until = opening.transition.at + wait
        self._set_doors()
        self._publish(opening.transition._replace(wait=wait))

    def _change(self, cause: Cause, now: float, why: str = "") -> None:
        self._publish(self._step(cause, now, why))

    def _step(self, cause: Cause, now: float, why: str) -> Transition:
        """Perform one step of the table: the only place that writes `state`."""
        before, after = self.state, TRANSITIONS[self.state, cause]
        if self.pending is not None:  # nobody has decided it in time, so what holds is what was provisional
            opening = self.pending
            self.decide(opening, self.open_until - opening.transition.at)
        self.tally.time_in[before] += now - self.since
        self.state, self.since = after, now
        self.transitions += 1
        self.round = None
        if after is State.OPEN:
            self.opens += before is not State.OPEN
            if self.held:
                self.open_until = inf
        elif after is State.HALF_OPEN:
            config = self.config
            self.round = Round(config.probe_budget, config.probe_concurrency, config.close_after)
        else:
            self.ramp_until = now + self.config.ramp if self.config.ramp is not None else -inf
            self.ramp_credit = 1.0 - _RAMP_FROM  # so that the first call after recovery is admitted
            self._new_era()
        self._set_doors()
        wait = self.open_until - now if after is State.OPEN and not self.held else None
        return Transition(self.transitions, now, before, after, cause, why or CAUSES[cause], self.attempt, wait)

    def _publish(self, transition: Transition) -> None:
        self.history.append(transition)
        self.news.append(transition)

    def _new_era(self) -> None:
        """Begin a closed period: empty window, no streak."""
        self.era = Era(open_window(self.rule))
        self.streak = 0
        self._set_doors()

    def _set_doors(self) -> None:
        """Say which calls need not ask: all of them (`door`), or none until a moment (`shut_until`)."""
        closed, shut = self.state is State.CLOSED, self.state is State.OPEN
        free = closed and self.mode is not Mode.DISABLED and self.ramp_until == -inf
        self.door: Era | None = self.era if free and not self._watches and not self.observed else None
        self.shut_until = self.open_until if shut and self.mode is Mode.NORMAL and not self.held else -inf


def _say(failure: Failure | None) -> str:
    return f"{failure.kind}: {failure.message}" if failure else "declared a failure"


__all__ = ["PASS", "Core", "Finding", "InFlight", "Opening", "Pass", "Refusal", "Ticket", "Transition"]
