"""Calls that nobody remembers: the garbage collector ends them, perhaps in the middle of a locked section."""

import gc
from collections.abc import Callable, Generator, Iterator

import pytest

from palaver.breaker import CircuitBreaker, Outcome
from tests.unit.breaker.test_concurrency import half_open, in_threads


class Suspended:
    """Awaiting it stops there."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def suspended() -> None:
    await Suspended()


def guarding(breaker: CircuitBreaker) -> Iterator[None]:
    with breaker.guard():
        yield


def coroutine_of(breaker: CircuitBreaker) -> object:
    running = breaker(suspended)()
    running.send(None)
    return running


def acall_of(breaker: CircuitBreaker) -> object:
    running = breaker.acall(suspended)
    running.send(None)
    return running


def block_of(breaker: CircuitBreaker) -> object:
    running = guarding(breaker)
    next(running)
    return running


class Releasing:
    """An object of a user's that gives its permit back when it is forgotten."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.permit = breaker.acquire()

    def __del__(self) -> None:
        self.permit.release()


class Ending(Releasing):
    """The body of a response that nobody closed."""

    def __del__(self) -> None:
        self.permit.success(elapsed=0.1)


@pytest.mark.parametrize("begin", [coroutine_of, acall_of, block_of, Releasing, Ending])
def test_no_call_that_is_forgotten_in_a_locked_section_deadlocks_or_keeps_its_place(
    begin: Callable[[CircuitBreaker], object],
) -> None:
    breaker = half_open()

    def work() -> None:
        running = [begin(breaker)]
        with breaker.engine.lock:
            running.clear()
            gc.collect()

    in_threads(1, work)
    snapshot = breaker.snapshot()
    outcome = Outcome.SUCCESS if begin is Ending else Outcome.CANCELLED
    assert (snapshot.in_flight, snapshot.outcomes[outcome]) == (0, 1)
