"""One breaker of a fleet: compares what the breaker says with what is written, and brings the two together.

Only the fleet's worker thread calls `reconcile`. It may be called at any time and any number of times; each call does
what is due now.
"""

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.core import Core
from palaver.breaker.round import Round
from palaver.breaker.shared.store import Shared, Store
from palaver.breaker.states import CLOSED, HALF_OPEN, OPEN, Cause, State
from palaver.breaker.tickets import Transition

# Openings that were learnt here; those that came from a peer or from an operator are not written.
_OWN_OPENINGS: Final = (Cause.TRIPPED, Cause.RELAPSED, Cause.EXPIRED)
_UNUSED_GRANT_SECONDS: Final = 1.0  # a place that no call has taken by then goes back to the fleet


class _View(NamedTuple):
    """What the breaker says now."""

    at: float
    state: State
    opening: Transition | None
    learnt: bool
    why: str
    attempt: int
    wait_left: float
    recovered: bool
    round: Round | None
    in_flight: int
    successes: int
    wanted: bool


class Member:
    """A breaker and its shared state."""

    def __init__(self, breaker: CircuitBreaker, store: Store, node: str, wake: Callable[[], object]) -> None:
        self._engine = breaker.engine
        self._store = store
        self._node = node
        self._written = 0  # number of the last transition that is written
        self._epoch = 0  # the last epoch that was followed
        self._round: Round | None = None
        self._places: list[str] = []
        self._reported = 0
        self._granted_at = 0.0
        self._engine.share(wake)

    def reconcile(self) -> None:
        """Write what is new here, follow what is new there, and see to the probes."""
        view = self._engine.control(_view)
        if view.opening is not None and view.opening.number > self._written:
            # A wait that is over is written all the same: the fleet must know that this circuit wants a probe.
            self._write(view)
            self._written = view.opening.number
        if view.recovered:
            self._report_recovery()
        shared = self._store.look()
        if shared is None and view.learnt and view.state is not CLOSED:
            # The server has lost what was written. No probe has succeeded, so nothing is closed by that.
            self._write(view)
            shared = self._store.look()
        self._engine.control(lambda core, _: core.grant(core.grants or 0))
        if shared is not None and shared.epoch != self._epoch:  # less, after a server went back to an older state
            self._follow(shared)
        view = self._engine.control(_view)
        if view.state is HALF_OPEN:
            self._see_to_probes(view)
        elif view.state is OPEN:
            self._places.clear()

    def _write(self, view: _View) -> None:
        """Open the circuit for everybody, as it is open here."""
        self._store.open(view.wait_left, view.attempt, view.why, self._node)

    def _report_recovery(self) -> None:
        """This process alone has seen enough successes: report those that the fleet does not know."""
        while self._places:
            self._store.settle(self._places.pop(), succeeded=True)

    def _follow(self, shared: Shared) -> None:
        self._epoch = shared.epoch
        if not shared.is_open:
            self._engine.control(lambda core, now: core.peer_closed(now, "the fleet's probes succeeded"))
        elif shared.node != self._node:
            why = f"{shared.why} (at {shared.node})"
            self._engine.control(lambda core, now: _open_like_a_peer(core, now, shared, why))

    def _see_to_probes(self, view: _View) -> None:
        if view.round is not self._round:
            self._round, self._places, self._reported = view.round, [], 0
        while self._reported < view.successes and self._places:
            self._reported += 1
            if self._store.settle(self._places.pop(), succeeded=True):
                self._engine.control(lambda core, now: core.peer_closed(now, "the fleet's probes succeeded"))
                return
        unused = self._engine.control(lambda core, _: core.grants or 0)
        stale = unused and view.at - self._granted_at > _UNUSED_GRANT_SECONDS
        if stale:
            self._engine.control(lambda core, _: core.grant(0))
            unused = 0
        while len(self._places) > view.in_flight + unused:
            self._store.settle(self._places.pop(), succeeded=False)
        if view.wanted and not unused:
            self._claim(view)

    def _claim(self, view: _View) -> None:
        self._engine.control(lambda core, _: core.stop_wanting())
        place = secrets.token_hex(8)
        answer = self._store.claim(place)
        if answer == 2:
            self._engine.control(lambda core, now: core.peer_closed(now, "the fleet is closed"))
        elif answer:  # 3: nobody else knows of a reason to be open, so this process decides alone
            self._places += [place] if answer == 1 else []
            self._granted_at = view.at
            self._engine.control(lambda core, _: core.grant(1))

    def alone(self) -> None:
        """Let the breaker decide alone, because the shared state is away."""
        self._round, self._places = None, []
        self._engine.control(lambda core, _: core.grant(None))

    def move(self, node: str) -> None:
        """Go on in a process that was forked. The places stay with the process that took them."""
        self._node = node
        self._engine.unlock()
        self.alone()

    def leave(self) -> None:
        """Let the breaker decide alone from now on."""
        self.alone()
        self._engine.share(None)


def _open_like_a_peer(core: Core, now: float, shared: Shared, why: str) -> None:
    """Follow an opening. One whose wait is over matters to who is closed: he must not ask more than the fleet does."""
    if shared.wait > 0 or core.state is CLOSED:
        core.peer_opened(now, shared.wait, shared.level, why)


def _view(core: Core, now: float) -> _View:
    latest = next((past for past in reversed(core.history) if past.after is OPEN), None)
    own = latest is not None and latest.cause in _OWN_OPENINGS and core.state is not CLOSED
    probes = core.round
    return _View(
        at=now,
        state=core.state,
        opening=latest if own else None,
        learnt=latest is not None and latest.cause is not Cause.FORCED,
        why=latest.why if latest is not None else "",
        attempt=core.rest.attempt,
        wait_left=core.rest.until - now,
        recovered=core.state is CLOSED and bool(core.history) and core.history[-1].cause is Cause.RECOVERED,
        round=probes,
        in_flight=probes.in_flight if probes is not None else 0,
        successes=probes.successes if probes is not None else 0,
        wanted=core.wanted,
    )
