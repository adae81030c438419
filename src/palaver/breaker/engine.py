"""Who holds the lock, what is done without it, and what happens after it is released.

One `threading.Lock` guards one `Core`. It is held for a handful of field updates, and never while foreign code runs:
classification, the open-wait strategy, the clock and listeners are all called before or after.

A fast success in an unrestricted closed period, which is nearly every call there is, takes no lock at all. It moves
nothing: its duration is appended to the samples of its era, and collected before anybody looks. `list.append` is
atomic, with and without the interpreter's global lock. Should the era end between the check and the append, the
second check sees it, and the sample is collected as late. A rejection by an open circuit is counted in the same way.
"""

import logging
import threading
from collections.abc import Callable
from math import isfinite
from typing import Final, NamedTuple, TypeVar

from palaver.breaker import backoff
from palaver.breaker.classify import Classifier, result_fails
from palaver.breaker.config import Config
from palaver.breaker.core import Core
from palaver.breaker.errors import CircuitOpenError, Failure, describe
from palaver.breaker.rest import Opening
from palaver.breaker.round import Lease
from palaver.breaker.states import CANCELLED, FAILURE, OPEN, SUCCESS, UNREACHABLE, Outcome, Reason
from palaver.breaker.tickets import InFlight, Refusal, Ticket, Transition

Clock = Callable[[], float]
Listener = Callable[[Transition], object]

_BATCH: Final = 64  # samples kept before somebody collects them: a few microseconds of work, and half a KiB
_FALLBACK_WAIT: Final = 5.0  # when a strategy raises or returns nonsense: the base of the default one
_DEFERRED: Final = 1024  # tickets dropped by the garbage collector; what overflows is found by lease and by hang_after
_log = logging.getLogger("palaver.breaker")


class CallRecord(NamedTuple):
    """One admitted call, for observers and for replay. Times are seconds of the breaker's clock."""

    started: float
    elapsed: float
    outcome: Outcome


Observer = Callable[[CallRecord], object]
T = TypeVar("T")


class Engine:
    """A core, its lock, and everything of the user's that may only run without it."""

    __slots__ = (
        "_delivering",
        "_strategy",
        "classify",
        "clock",
        "config",
        "core",
        "deferred",
        "listeners",
        "lock",
        "name",
        "observers",
        "result_predicate",
        "wake_fleet",
    )

    def __init__(self, name: str | None, config: Config, clock: Clock) -> None:
        self.name = name
        self.config = config
        self.clock = clock
        self.lock = threading.Lock()
        self.core = Core(config, clock())
        self.classify = Classifier(config.failures, config.ignore, config.unreachable)
        self.result_predicate = config.failure_results
        self.listeners: tuple[Listener, ...] = ()
        self.observers: tuple[Observer, ...] = ()
        self.deferred: list[tuple[Ticket, Outcome, float, float, Failure | None]] = []
        self._strategy = backoff.open_for(config.open_for)
        self.wake_fleet: Callable[[], object] | None = None
        self._delivering = False

    # --- admission

    def admit(self) -> Ticket:
        """Return a ticket.

        Raises:
            CircuitOpenError: if the call must not run.
        """
        now = self.clock()
        core = self.core
        if (wait := core.shut_until - now) > 0:
            raise self.rejection(now, wait)
        with self.lock:
            self._settle_deferred()
            answer = core.admit(now)
            failure = core.tally.last_failure
        try:
            if core.news or core.rest.pending is not None:
                self.aftermath()
            if self.wake_fleet is not None:
                self.wake_fleet()
        except BaseException:  # a listener stops the program, so nobody gets the ticket that was taken
            if not isinstance(answer, Refusal):
                self.drop(answer)
            raise
        if isinstance(answer, Refusal):
            raise CircuitOpenError(self.name, answer.state, answer.reason, answer.retry_after, failure)
        return answer

    def rejection(self, now: float, wait: float) -> CircuitOpenError:
        """Count a rejection by an open circuit, without the lock, and return what to raise.

        `wait` was read once, together with the decision: another thread may close the circuit meanwhile.
        """
        core = self.core
        refused = core.refused
        refused.append(now)
        if len(refused) >= _BATCH:
            with self.lock:
                core.advance(now)
        return CircuitOpenError(self.name, OPEN, _REASON_OPEN, wait, core.tally.last_failure)

    # --- results

    def succeed(self, ticket: Ticket, started: float) -> None:
        """Record a call that returned."""
        now = self.clock()
        elapsed = now - started
        core = self.core
        door = core.door
        if door is not None and ticket is door and now < door.edge and elapsed < core.slow_after:
            samples = door.samples
            samples.append(elapsed)
            core.last_success_at = now
            if len(samples) >= _BATCH or door is not core.door:
                with self.lock:
                    core.collect(door)
            return
        self.settle(ticket, SUCCESS, started, now)

    def finish(self, ticket: Ticket, started: float, result: object) -> None:
        """Record a call that returned `result`, where results may be failures."""
        if self.result_predicate is None or not result_fails(self.result_predicate, result):
            self.succeed(ticket, started)
        else:
            now = self.clock()
            self.settle(ticket, FAILURE, started, now, describe(None, now))

    def fail(self, ticket: Ticket, started: float, error: BaseException | None, asked: float | None = None) -> None:
        """Record a call that raised `error`, which may turn out to be neutral. None is a failure without an
        exception."""
        now = self.clock()
        outcome = FAILURE if error is None else self.classify(error)
        against = outcome is FAILURE or outcome is UNREACHABLE
        failure = describe(error, now) if against else None
        if isinstance(error, GeneratorExit):  # a generator or coroutine is closed, perhaps by the collector
            self.settle_from_finaliser(ticket, outcome, now - started, now, failure)
        else:
            self.settle(ticket, outcome, started, now, failure, asked)

    def release(self, ticket: Ticket, started: float) -> None:
        """Give the place back without a verdict."""
        now = self.clock()
        self.settle_from_finaliser(ticket, CANCELLED, now - started, now)

    def settle(
        self,
        ticket: Ticket,
        outcome: Outcome,
        started: float,
        now: float,
        failure: Failure | None = None,
        asked: float | None = None,
    ) -> None:
        """Record any result, the long way."""
        elapsed = now - started
        core = self.core
        with self.lock:
            if self.deferred:  # what ended before this comes before it: a success may end a streak
                self._settle_deferred()
            core.settle(ticket, outcome, elapsed, now, failure, asked)
            more = core.rest.pending is not None or core.news
        if more:
            self.aftermath()
        if self.wake_fleet is not None:
            self.wake_fleet()
        for observer in self.observers:
            _isolated(observer, CallRecord(started, elapsed, outcome))

    def settle_from_finaliser(
        self, ticket: Ticket, outcome: Outcome, elapsed: float, now: float, failure: Failure | None = None
    ) -> None:
        """Record a result where the garbage collector may be the caller.

        The collector may run in the middle of a locked section of this very thread, so this never waits for the lock:
        if it is taken, the next one who asks the core anything settles it.
        """
        if self.lock.acquire(blocking=False):
            self.lock.release()
            self.settle(ticket, outcome, now - elapsed, now, failure)
        else:
            self._defer(ticket, outcome, elapsed, now, failure)

    def drop(self, ticket: Ticket) -> None:
        """Take back a ticket that was forgotten, without the lock. Only leases and watched calls hold a place."""
        if isinstance(ticket, Lease | InFlight):
            self._defer(ticket, CANCELLED, 0.0, self.clock())

    def _defer(
        self, ticket: Ticket, outcome: Outcome, elapsed: float, now: float, failure: Failure | None = None
    ) -> None:
        if len(self.deferred) < _DEFERRED:
            self.deferred.append((ticket, outcome, elapsed, now, failure))  # atomic, like the `pop` that takes it out

    def _settle_deferred(self) -> None:
        while self.deferred:
            self.core.settle(*self.deferred.pop(0))

    def renew(self, ticket: Ticket) -> None:
        """Begin the lease of a probe anew, or the time after which a call hangs."""
        if isinstance(ticket, Lease | InFlight):
            self.control(lambda core, now: core.renew(ticket, now))

    def control(self, change: Callable[[Core, float], T]) -> T:
        """Ask or change the core under the lock. For everything that is not a call."""
        now = self.clock()
        with self.lock:
            self._settle_deferred()
            self.core.advance(now)
            answer = change(self.core, now)
        if self.core.news or self.core.rest.pending is not None:
            self.aftermath()
        return answer

    def share(self, wake: Callable[[], object] | None) -> None:
        """Call `wake` after whatever took the long way, which is all that a fleet may have to know. None: no more."""
        self.wake_fleet = wake

    def unlock(self) -> None:
        """Begin anew in a process that was just forked: the thread that held the lock, if any did, is not in it."""
        self.lock = threading.Lock()
        self._delivering = False

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Announce transitions to `listener` until the returned function is called."""
        with self.lock:
            self.listeners += (listener,)

        def remove() -> None:
            with self.lock:
                self.listeners = _without(self.listeners, listener)

        return remove

    def add_observer(self, observer: Observer) -> Callable[[], None]:
        """Show every call to `observer` until the returned function is called."""
        with self.lock:
            self.observers += (observer,)
            self.core.observe(wanted=True)

        def remove() -> None:
            with self.lock:
                self.observers = _without(self.observers, observer)
                self.core.observe(wanted=bool(self.observers))

        return remove

    # --- after the lock

    def aftermath(self) -> None:
        """Decide a pending wait and tell the listeners, both without the lock.

        One thread at a time delivers, and all that is waiting: so every listener sees the transitions in their order.
        """
        with self.lock:
            opening = self.core.rest.claim()
        if opening is not None:
            wait = self._ask_strategy(opening)
            with self.lock:
                self.core.decide(opening, wait)
        with self.lock:
            if self._delivering:
                return
            self._delivering = True
        try:
            while (transition := self._next_news()) is not None:
                for listener in self.listeners:
                    _isolated(listener, transition)
        except BaseException:  # the program is being stopped, but other threads may go on for a while
            with self.lock:
                self._delivering = False
            raise

    def _next_news(self) -> Transition | None:
        """Take the next transition; when there is none, stop delivering in the same locked section, so that none is
        lost."""
        with self.lock:
            if self.core.news:
                return self.core.news.pop(0)
            self._delivering = False
            return None

    def _ask_strategy(self, opening: Opening) -> float:
        last_failure = self.core.tally.last_failure
        context = backoff.OpenContext(opening.transition.attempt, opening.previous, self.name, last_failure)
        try:
            wait = float(self._strategy(context))
        except Exception:  # noqa: BLE001  # foreign code, and the circuit must open all the same
            _log.exception("open_for of breaker %r raised; waiting %s s", self.name, _FALLBACK_WAIT)
            return _FALLBACK_WAIT
        if not isfinite(wait) or wait <= 0:
            _log.error("open_for of breaker %r returned %r; waiting %s s", self.name, wait, _FALLBACK_WAIT)
            return _FALLBACK_WAIT
        return wait


def _without(callbacks: tuple[T, ...], gone: T) -> tuple[T, ...]:
    """Remove one entry, so that what was added twice is still there once."""
    rest = list(callbacks)
    if gone in rest:
        rest.remove(gone)
    return tuple(rest)


_REASON_OPEN: Final = Reason.OPEN


def _isolated(callback: Callable[[T], object], value: T) -> None:
    """Call a listener; what it raises is its own affair, unless the program is being stopped."""
    try:
        callback(value)
    except Exception:  # noqa: BLE001  # a foreign listener may raise anything, and no caller is to blame for it
        _log.exception("a listener raised")
