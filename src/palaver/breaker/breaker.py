"""`CircuitBreaker`: the face of the circuit for sync and async code alike.

It keeps no state of its own: the circuit is in `core`, the lock in `engine`. There is no event loop, thread or timer
in it, so one breaker serves any number of threads and event loops at once.
"""

import inspect
import time
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, Unpack

from palaver.breaker import checks, report
from palaver.breaker.config import Config, Options
from palaver.breaker.engine import Clock, Engine, Listener, Observer
from palaver.breaker.errors import WrongKindError
from palaver.breaker.permit import Guard, Isolation, Permit
from palaver.breaker.states import Mode, State
from palaver.breaker.tally import Snapshot
from palaver.breaker.tickets import Transition
from palaver.breaker.wrap import STREAMS, guarded, refuse_coroutine, refuse_generator_function

P = ParamSpec("P")
R = TypeVar("R")
_NOT_AWAITABLE: Any = object()


class CircuitBreaker:
    """Leaves a dependency alone while it fails, and finds out gently when it is back.

    Example:
        breaker = CircuitBreaker("search", failure_threshold=5, open_for=10)

        @breaker
        async def search(query: str) -> list[str]: ...

    Args:
        name: Shown in errors, metrics and texts.
        clock: Returns monotonic seconds. Called once before and once after each call.
        config: A ready `Config`, to share between breakers; not together with single options.
        **options: The fields of `Config`, which says what each means, and its unit, range and default.

    Raises:
        ValueError: for a value out of range, naming it.
        TypeError: for a value of the wrong kind, naming it.
    """

    __slots__ = ("__weakref__", "engine")

    def __init__(
        self,
        name: str | None = None,
        *,
        clock: Clock = time.monotonic,
        config: Config | None = None,
        **options: Unpack[Options],
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name={name!r}: give a string; use @CircuitBreaker() to decorate without a name")
        checks.predicate("clock", clock, "a function that returns monotonic seconds")
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"config={config!r}: give a Config, or single options")
        if config is not None and options:
            raise ValueError(f"give config or single options, not both; found {', '.join(options)}")
        self.engine = Engine(name, config if config is not None else Config(**options), clock)

    # --- running calls

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator, async generator or method; its kind and signature stay.

        A generator holds its permit from the first item to the end. `function.breaker` is this breaker.

        Raises:
            TypeError: if `function` cannot be called.
        """
        wrapper = guarded(self.engine, function)
        inner: Any = wrapper
        if isinstance(function, classmethod | staticmethod):
            inner = inner.__func__
        inner.breaker = self
        return wrapper

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a plain function under the breaker and return what it returns.

        Raises:
            CircuitOpenError: if the call is rejected; `function` does not run.
            WrongKindError: if `function` returns a coroutine: use `acall` for those; or is a generator function, which
                does nothing before the first item: decorate it.
        """
        engine = self.engine
        ticket = engine.core.door or engine.admit()
        started = engine.clock()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            engine.fail(ticket, started, error)
            raise
        if type(result) is CoroutineType:
            refuse_coroutine(engine, ticket, started, function, result)
        if type(result) in STREAMS:
            try:
                refuse_generator_function(function)
            except WrongKindError:
                engine.release(ticket, started)
                raise
        engine.finish(ticket, started, result)
        return result

    async def acall(self, function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that returns an awaitable, and await it, under the breaker.

        Cancellation is neutral: it gives the place back and moves nothing.

        Raises:
            CircuitOpenError: if the call is rejected; `function` does not run.
            WrongKindError: if `function` does not return an awaitable: use `call` for those.
        """
        engine = self.engine
        ticket = engine.core.door or engine.admit()
        started = engine.clock()
        try:
            awaitable: Any = function(*args, **kwargs)
            result: R = await awaitable if inspect.isawaitable(awaitable) else _NOT_AWAITABLE
        except BaseException as error:
            engine.fail(ticket, started, error)
            raise
        if result is _NOT_AWAITABLE:
            engine.release(ticket, started)
            refuse_generator_function(function)
            raise WrongKindError(f"{function!r} returned {awaitable!r}, which cannot be awaited: use call()")
        engine.finish(ticket, started, result)
        return result

    def guard(self) -> Guard:
        """Return a context manager for one block, `with` or `async with`; it yields the block's `Permit`."""
        return Guard(self.engine)

    def acquire(self) -> Permit:
        """Ask for admission now and report the outcome later, by the permit's `success`, `failure` or `release`.

        Raises:
            CircuitOpenError: if the call must not be made.
        """
        return Permit(self.engine)

    # --- control

    def force_open(self, reason: str = "forced open") -> None:
        """Reject every call until `reset()`."""
        self.engine.control(lambda core, now: core.force_open(now, reason))

    def isolate(self, reason: str = "isolated") -> Isolation:
        """Return a context manager that holds the circuit open. Several may overlap; after the last, a probe
        decides."""
        return Isolation(self.engine, reason)

    def disable(self) -> None:
        """Admit every call and observe none, until `enable()`, `shadow()` or `reset()`."""
        self.engine.control(lambda core, now: core.set_mode(now, Mode.DISABLED))

    def shadow(self) -> None:
        """Count and change state as usual, but reject nobody, until `enable()`, `disable()` or `reset()`."""
        self.engine.control(lambda core, now: core.set_mode(now, Mode.SHADOW))

    def enable(self) -> None:
        """Be fully in force again, in the state that the circuit is in."""
        self.engine.control(lambda core, now: core.set_mode(now, Mode.NORMAL))

    def reset(self, reason: str = "reset") -> None:
        """Close, in normal mode, with an empty window and no back-off. Counters and history stay."""
        self.engine.control(lambda core, now: core.reset(now, reason))

    # --- observation

    @property
    def name(self) -> str | None:
        """The name given at construction."""
        return self.engine.name

    @property
    def config(self) -> Config:
        """The options in force."""
        return self.engine.config

    @property
    def state(self) -> State:
        """Where the circuit stands. Half-open as soon as its wait is over; looking takes no probe."""
        return self.engine.control(lambda core, now: core.seen_state(now))

    @property
    def is_closed(self) -> bool:
        """Whether the circuit was closed a moment ago; a hint, read without the lock."""
        return self.engine.core.state is State.CLOSED

    @property
    def mode(self) -> Mode:
        """How much of the breaker is in force."""
        return self.engine.core.mode

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be admitted: None if closed, or if it is held open and nobody knows."""
        return self.engine.control(lambda core, now: core.retry_after(now))

    @property
    def history(self) -> tuple[Transition, ...]:
        """The last transitions, oldest first."""
        return self.engine.control(lambda core, _: tuple(core.history))

    def snapshot(self) -> Snapshot:
        """Copy every number of the breaker, all from the same moment."""
        return self.engine.control(lambda core, now: report.snapshot(core, self.engine.name, now))

    def explain(self) -> str:
        """Say in a few lines of English where the circuit stands, why, and what would move it."""
        return self.engine.control(lambda core, now: report.explain(core, self.engine.name, now))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(transition)` after each change of state, in order, outside the lock; returns how to stop it.

        What a listener raises is logged and otherwise ignored. A listener runs in whatever thread or task caused the
        change, so it must not block; it may use the breaker.

        Raises:
            TypeError: if `listener` is a coroutine function: nobody would await it. Put the transition into a queue
            instead.
        """
        checks.callback(listener)
        return self.engine.add_listener(listener)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Call `observer(record)` after each admitted call that has ended; returns how to stop it.

        For recording and tracing. While there is an observer, calls take a longer way; without, this costs nothing.

        Raises:
            TypeError: if `observer` is a coroutine function.
        """
        checks.callback(observer)
        return self.engine.add_observer(observer)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}, {self.state.value.replace('_', '-')}>"
