"""Generators and async generators under a breaker.

The ticket is held from the first item to the end. An error on the way is a failure; an early close is a success once
an item has come, and neutral before. The latency is the time to the first item, because the rest depends on the
reader. Each item renews the lease of a probe, and the patience of `hang_after`. An exception that the reader throws
in, and that comes out again, says nothing about the dependency.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from typing import ParamSpec, TypeVar

from palaver.breaker.engine import Engine
from palaver.breaker.states import Outcome

P = ParamSpec("P")
Y = TypeVar("Y")
S = TypeVar("S")
R = TypeVar("R")


class _Watch:
    """The ticket of one stream, and what is known of it so far."""

    __slots__ = ("_engine", "_first", "_started", "_ticket", "thrown")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ticket = engine.core.door or engine.admit()
        self._started = engine.clock()
        self._first: float | None = None
        self.thrown: BaseException | None = None

    def item(self) -> None:
        self.thrown = None
        if self._first is None:
            self._first = self._engine.clock() - self._started
        self._engine.renew(self._ticket)

    def ended(self) -> None:
        now = self._engine.clock()
        elapsed = now - self._started if self._first is None else self._first
        self._engine.settle(self._ticket, Outcome.SUCCESS, now - elapsed, now)

    def broke(self, error: BaseException) -> None:
        if error is self.thrown:
            self._engine.release(self._ticket, self._started)
        elif isinstance(error, GeneratorExit) and self._first is not None:
            now = self._engine.clock()
            self._engine.settle_from_finaliser(self._ticket, Outcome.SUCCESS, self._first, now)
        else:
            self._engine.fail(self._ticket, self._started, error)


def generator(engine: Engine, function: Callable[P, Generator[Y, S, R]]) -> Callable[P, Generator[Y, S, R]]:
    """Wrap a generator function: delegate as `yield from` does (PEP 380), watching every step."""

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Generator[Y, S, R]:
        inner = function(*args, **kwargs)
        watch = _Watch(engine)
        try:
            item = next(inner)
            while True:
                watch.item()
                try:
                    sent = yield item
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever the reader throws belongs to the generator
                    watch.thrown = error
                    item = inner.throw(error)
                else:
                    item = inner.send(sent)
        except StopIteration as stop:
            watch.ended()
            result: R = stop.value
            return result
        except BaseException as error:
            watch.broke(error)
            raise

    return wrapper


def async_generator(engine: Engine, function: Callable[P, AsyncGenerator[Y, S]]) -> Callable[P, AsyncGenerator[Y, S]]:
    """Wrap an async generator function in the same way."""

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Y, S]:
        inner = function(*args, **kwargs)
        watch = _Watch(engine)
        try:
            item = await anext(inner)
            while True:
                watch.item()
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever the reader throws belongs to the generator
                    watch.thrown = error
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            watch.ended()
        except BaseException as error:
            watch.broke(error)
            raise

    return wrapper
