"""Where a circuit stands, and every step from one state to the next: by time, by operators, by the rest of the fleet.

`core` adds the calls. Looking changes nothing: `advance(now)` performs, at the time when it was due, the step that
time alone causes, so a machine that is looked at rarely goes through the same states as one that is looked at always.
`_step` is the one writer of `state`, and performs only steps of the table in `states.py`. How long to stay open is
decided outside, because the strategy is user code: an opening is *pending* until `decide`, and holds with a provisional
wait until then.

The caller holds a lock around every method.
"""

from math import inf
from typing import Final

from palaver.breaker.config import Config
from palaver.breaker.ramp import Ramp
from palaver.breaker.rest import Opening, Rest
from palaver.breaker.round import Round
from palaver.breaker.states import (
    CAUSES,
    CLOSED,
    HALF_OPEN,
    OPEN,
    TRANSITIONS,
    Cause,
    Mode,
    State,
)
from palaver.breaker.tally import Tally
from palaver.breaker.tickets import Era, Transition
from palaver.breaker.watch import Watch
from palaver.breaker.window import open_window

_NEWS: Final = 1024  # transitions waiting for a listener that blocks; beyond it the oldest are not announced


class Circuit:
    """The state of one circuit, without its calls."""

    # fmt: off
    __slots__ = (
        "_spans", "config", "door", "era", "grants", "history", "holders", "last_success_at", "mode", "news",
        "observed", "opens", "ramp", "refused", "rest", "round", "rule", "shut_until", "since", "slow_after",
        "slow_matters", "state", "streak", "tally", "transitions", "wanted", "watch",
    )
    # fmt: on

    def __init__(self, config: Config, now: float) -> None:
        self.config = config
        self.rule = config.rule
        self._spans = self.rule.spans()
        self.slow_matters = self.rule.needs_slow()
        self.slow_after = inf if config.slow_after is None else config.slow_after
        self.tally = Tally()
        self.last_success_at: float | None = None
        self.state = CLOSED
        self.mode = Mode.NORMAL
        self.since = now
        self.opens = self.transitions = self.streak = 0
        self.history: list[Transition] = []
        self.news: list[Transition] = []
        self.era = Era(open_window(self._spans))
        self.rest = Rest(config.retry_after_cap)
        self.ramp = Ramp(config.ramp)
        self.round: Round | None = None
        self.watch = Watch(config.hang_after)
        self.refused: list[float] = []
        self.holders: set[object] = set()
        self.observed = False  # a per-call hook wants to see every call, so none may take the short way
        self.grants: int | None = None  # probes that the fleet lets this process take; None: it decides alone
        self.wanted = False  # a call has asked for a probe that the fleet has not granted
        self.door: Era | None
        self.shut_until: float
        self._set_doors()

    # --- time

    def advance(self, now: float) -> None:
        """Collect what was done without asking, and perform what time alone has caused: the end of a lease."""
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
        batch = era.take()
        if era is not self.era or self.state is not CLOSED:
            self.tally.late += len(batch)
        elif batch:
            self.streak = 0
            era.window.note(len(batch))
            self.tally.successes(batch)

    def seen_state(self, now: float) -> State:
        """The state as a caller sees it: an open circuit whose wait is over is half-open, though no probe has begun."""
        return HALF_OPEN if self.state is OPEN and not self.held and now >= self.rest.until else self.state

    def retry_after(self, now: float) -> float | None:
        """Seconds until a call may be admitted; None if closed, or held open so that nobody knows."""
        if self.state is CLOSED or self.held:
            return None
        if self.round is None:
            return max(0.0, self.rest.until - now)
        return 0.0 if self.round.has_room() else self.round.busy_for(now)

    def level(self, now: float) -> int:
        """The back-off level: openings since the circuit was last stable."""
        return 0 if self._is_stable(now) else self.rest.attempt

    def _is_stable(self, now: float) -> bool:
        needed = self.config.stable_after if self.config.stable_after is not None else self.rest.wait or 0.0
        return self.state is CLOSED and now - self.since >= needed

    # --- control

    @property
    def held(self) -> bool:
        """Whether an operator holds the circuit open."""
        return bool(self.holders)

    def force_open(self, now: float, why: str, holder: object = None) -> None:
        """Open until the last holder lets go, or `reset`, which is the only end for the holder None."""
        self.advance(now)
        if self._is_stable(now):
            self.rest.forget()
        self.holders.add(holder)
        self._change(Cause.FORCED, now, why)

    def let_go(self, now: float, holder: object) -> None:
        """End one isolation. After the last, a probe decides. Nothing happens if a reset came first."""
        if holder in self.holders:
            self.holders.remove(holder)
            if not self.held:
                self._change(Cause.RELEASED, now)

    def reset(self, now: float, why: str) -> None:
        """Close, in normal mode, and forget the window, the back-off and every hold. Counters stay."""
        self.advance(now)
        self.mode = Mode.NORMAL
        self.holders.clear()
        self.rest.forget_all()
        self._change(Cause.RESET, now, why)
        self.ramp.stop()
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
        if not self.held and (self.state is not OPEN or self.rest.until < now + wait):
            self._publish(self.rest.decide_provisionally())
            self.rest.follow(now, wait, attempt)
            self._change(Cause.PEER_OPENED, now, why)

    def peer_closed(self, now: float, why: str) -> None:
        """Follow another process whose probes succeeded."""
        self.advance(now)
        if self.state is not CLOSED and not self.held:
            self._change(Cause.PEER_CLOSED, now, why)

    def grant(self, probes: int | None) -> None:
        """Let so many probes begin; None to decide alone."""
        self.grants = probes

    def stop_wanting(self) -> None:
        """The fleet has been asked for a probe."""
        self.wanted = False

    # --- transitions

    def _open(self, cause: Cause, now: float, why: str) -> None:
        """Open for a time that will be decided outside."""
        self.rest.begin(now, stable=self._is_stable(now))
        self.rest.await_decision(self._step(cause, now, why))

    def decide(self, opening: Opening, wait: float) -> None:
        """Set the wait of an opening that `rest.claim` handed out."""
        self._publish(self.rest.decide(opening, wait))
        self._set_doors()

    def _change(self, cause: Cause, now: float, why: str = "") -> None:
        self._publish(self._step(cause, now, why))

    def _step(self, cause: Cause, now: float, why: str) -> Transition:
        """Perform one step of the table: the only place that writes `state`."""
        before, after = self.state, TRANSITIONS[self.state, cause]
        self._publish(self.rest.decide_provisionally())
        self.tally.time_in[before] += now - self.since
        self.state, self.since, self.round = after, now, None
        self.transitions += 1
        self.grants = None if self.grants is None else 0
        wait = None
        if after is OPEN:
            self.opens += before is not OPEN
            wait = None if self.held else self.rest.until - now
        elif after is HALF_OPEN:
            config = self.config
            self.round = Round(config.probe_budget, config.probe_concurrency, config.close_after)
        else:
            self.era = Era(open_window(self._spans))
            self.streak = 0
            self.ramp.start(now)
        self._set_doors()
        return Transition(self.transitions, now, before, after, cause, why or CAUSES[cause], self.rest.attempt, wait)

    def _publish(self, transition: Transition | None) -> None:
        if transition is not None:
            # Lists, because an empty deque takes as much memory as all the rest of a breaker.
            self.history.append(transition)
            del self.history[: -self.config.history]
            self.news.append(transition)
            del self.news[:-_NEWS]

    def _set_doors(self) -> None:
        """Say which calls need not ask: all of them (`door`), or none of them until a moment (`shut_until`)."""
        free = self.mode is not Mode.DISABLED and self.watch.patience is None
        free = free and not self.observed and not self.ramp.active
        self.door = self.era if free and self.state is CLOSED else None
        shut = self.state is OPEN and self.mode is Mode.NORMAL and not self.held
        self.shut_until = self.rest.until if shut else -inf
