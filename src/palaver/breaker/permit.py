"""Admission in two steps, for frameworks and streams: a permit now, its outcome later. And the context manager over it.

A permit is settled once; what comes second changes nothing. One that is dropped unsettled gives its place back and
warns.
"""

import warnings
from types import TracebackType
from typing import Self

from palaver.breaker.checks import duration
from palaver.breaker.engine import Engine
from palaver.breaker.errors import BreakerError
from palaver.breaker.states import Outcome
from palaver.breaker.tickets import Ticket


class Permit:
    """The right to make one call. Settle it with exactly one of `success`, `failure` and `release`.

    All three may be called from any thread or task, never block, and return whether they settled the permit: False if
    that had happened before.
    """

    __slots__ = ("_engine", "_started", "_unsettled")

    def __init__(self, engine: Engine) -> None:
        self._unsettled: list[Ticket] = []  # stays empty if the next line raises, so that there is nothing to give back
        self._engine = engine
        self._unsettled.append(engine.core.door or engine.admit())
        self._started = engine.clock()

    @property
    def settled(self) -> bool:
        """Whether the outcome is known."""
        return not self._unsettled

    def success(self, *, elapsed: float | None = None) -> bool:
        """The dependency did its work. `elapsed` seconds, if the time until now is not what should be counted.

        Raises:
            TypeError, ValueError: unless `elapsed` is a finite number of at least 0.
        """
        if elapsed is not None:
            duration("elapsed", elapsed, zero=True)
        if (ticket := self._take()) is None:
            return False
        if elapsed is None:
            self._engine.succeed(ticket, self._started)
        else:
            now = self._engine.clock()
            self._engine.settle_from_finaliser(ticket, Outcome.SUCCESS, elapsed, now)  # of a body that was forgotten
        return True

    def failure(self, error: BaseException | None = None, *, retry_after: float | None = None) -> bool:
        """The dependency failed, by this exception if it was one; the breaker's options may make it neutral.

        Args:
            error: What was raised; None for a result that is a failure.
            retry_after: Seconds that the server asked to be left alone, at least 0. If the circuit opens before they
                are over, it stays open for the rest of them, at most `retry_after_cap`.

        Raises:
            TypeError, ValueError: unless `retry_after` is a finite number of at least 0.
        """
        if retry_after is not None:
            duration("retry_after", retry_after, zero=True)
        if (ticket := self._take()) is None:
            return False
        self._engine.fail(ticket, self._started, error, retry_after)
        return True

    def release(self) -> bool:
        """The call says nothing about the dependency: it was cancelled, or never made."""
        if (ticket := self._take()) is None:
            return False
        self._engine.release(ticket, self._started)
        return True

    def renew(self) -> None:
        """There is progress: a probe's lease begins anew, and so does `hang_after`. For streams, at each item."""
        for ticket in self._unsettled:
            self._engine.renew(ticket)

    def _take(self) -> Ticket | None:
        try:
            return self._unsettled.pop()  # atomic, so that of two threads only one settles
        except IndexError:
            return None

    def __del__(self) -> None:
        if (ticket := self._take()) is not None:
            self._engine.drop(ticket)
            warnings.warn(f"a permit of breaker {self._engine.name!r} was never settled", ResourceWarning, stacklevel=2)

    def __repr__(self) -> str:
        return f"<Permit of {self._engine.name!r}, {'settled' if self.settled else 'under way'}>"


class Guard:
    """`with breaker.guard() as permit:` or `async with`. For one block: every block takes a guard of its own.

    Leaving the block settles the permit by how it ended, unless the block has settled it itself.
    """

    __slots__ = ("_engine", "_permit")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._permit: Permit | None = None

    def __enter__(self) -> Permit:
        if self._permit is not None:
            raise BreakerError("this guard has been entered before: call breaker.guard() for every block")
        self._permit = Permit(self._engine)
        return self._permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        permit = self._permit
        assert permit is not None, "a block is entered before it is left"
        if error is None:
            permit.success()
        else:
            permit.failure(error)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class Isolation:
    """`with breaker.isolate():` holds the circuit open; it may be entered by several at once, and the last one lets
    go."""

    __slots__ = ("_engine", "_holders", "_why")

    def __init__(self, engine: Engine, why: str) -> None:
        self._engine = engine
        self._why = why
        self._holders: list[object] = []  # one for each entry that has not been left

    def __enter__(self) -> Self:
        holder = object()
        self._holders.append(holder)
        try:
            self._engine.control(lambda core, now: core.force_open(now, self._why, holder))
        except BaseException:  # a listener stops the program, and a block that is not entered is not left either
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holder = self._holders.pop()
        self._engine.control(lambda core, now: core.let_go(now, holder))
