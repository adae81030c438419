"""Every kind of function keeps its kind under the decorator, and its outcomes are seen."""

import functools
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from palaver.breaker import BreakerError, CircuitBreaker, CircuitOpenError, Outcome, State
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


def plain(fail: bool = False) -> int:
    if fail:
        raise BoomError
    return 1


async def coroutine(fail: bool = False) -> int:
    return plain(fail)


def generator(fail: bool = False) -> Iterator[int]:
    yield 1
    yield plain(fail) + 1


async def async_generator(fail: bool = False) -> AsyncIterator[int]:
    yield 1
    yield plain(fail) + 1


class PlainCallable:
    def __call__(self, fail: bool = False) -> int:
        return plain(fail)


class AsyncCallable:
    async def __call__(self, fail: bool = False) -> int:
        return plain(fail)


class Methods:
    async def method(self, fail: bool = False) -> int:
        return plain(fail)

    @classmethod
    def of_class(cls, fail: bool = False) -> int:
        return plain(fail)

    @staticmethod
    def static(fail: bool = False) -> int:
        return plain(fail)


KINDS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
    "partial": functools.partial(plain),
    "partial of coroutine": functools.partial(coroutine),
    "callable object": PlainCallable(),
    "async callable object": AsyncCallable(),
    "builtin": len,
}


async def consume(value: object) -> object:
    """Run whatever a guarded function returned to its end."""
    if inspect.isawaitable(value):
        return await value
    if inspect.isasyncgen(value):
        return [item async for item in value]
    if inspect.isgenerator(value):
        return list(value)
    return value


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "builtin"])
async def test_every_kind_is_counted_trips_and_is_rejected(kind: str) -> None:
    breaker = CircuitBreaker(failure_threshold=2)
    guarded = breaker(KINDS[kind])
    assert await consume(guarded()) in (1, [1, 2])
    for _ in range(2):
        with pytest.raises(BoomError):
            await consume(guarded(fail=True))
    with pytest.raises(CircuitOpenError):
        await consume(guarded())
    outcomes = breaker.snapshot().outcomes
    assert (outcomes[Outcome.SUCCESS], outcomes[Outcome.FAILURE]) == (1, 2)


@pytest.mark.parametrize("name", KINDS)
def test_the_wrapper_has_the_kind_the_name_and_the_signature(name: str) -> None:
    function = KINDS[name]
    breaker = CircuitBreaker()
    guarded: Any = breaker(function)
    inner = (
        function if inspect.isroutine(function) or isinstance(function, functools.partial) else type(function).__call__
    )
    for question in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert question(guarded) == question(inner), question
    assert guarded.breaker is breaker
    assert guarded.__wrapped__ is function
    assert getattr(guarded, "__name__", None) == getattr(function, "__name__", "wrapper")


async def test_methods_are_guarded_on_instance_and_class() -> None:
    breaker = CircuitBreaker()

    class Guarded:
        method = breaker(Methods.method)
        of_class = breaker(Methods.__dict__["of_class"])

        @breaker
        @staticmethod
        def static() -> int:
            return 3

        @classmethod
        @breaker
        def inner(cls) -> str:
            return cls.__name__

    thing: Any = Guarded()
    assert await thing.method() == 1
    assert Guarded.of_class() == 1
    assert Guarded.static() == 3
    assert Guarded.inner() == "Guarded"
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 4


@pytest.mark.parametrize("wrong", [7, "name", None, int, CircuitBreaker])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="functions, methods and objects"):
        CircuitBreaker()(wrong)


def test_a_call_and_a_method_get_their_arguments() -> None:
    breaker = CircuitBreaker()
    assert breaker.call(divmod, 7, 2) == (3, 1)
    assert breaker.call(int, "ff", base=16) == 255


class TestGenerators:
    """Permit from the first item to the end; early close; the protocol of PEP 380."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def breaker(self, clock: FakeClock) -> CircuitBreaker:
        return CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)

    def outcomes(self, breaker: CircuitBreaker) -> dict[Outcome, int]:
        return {outcome: count for outcome, count in breaker.snapshot().outcomes.items() if count}

    def test_nothing_is_counted_before_the_first_item(self, breaker: CircuitBreaker) -> None:
        stream = breaker(generator)()
        del stream
        gc.collect()
        assert self.outcomes(breaker) == {}

    def test_an_early_close_after_an_item_is_a_success(self, breaker: CircuitBreaker) -> None:
        for item in breaker(generator)():
            assert item == 1
            break
        gc.collect()
        assert self.outcomes(breaker) == {Outcome.SUCCESS: 1}

    async def test_an_early_close_of_an_async_generator_is_a_success(self, breaker: CircuitBreaker) -> None:
        stream: Any = breaker(async_generator)()
        assert await anext(stream) == 1
        await stream.aclose()
        assert self.outcomes(breaker) == {Outcome.SUCCESS: 1}

    def test_the_latency_is_the_time_to_the_first_item(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        @breaker
        def stream() -> Iterator[int]:
            clock.advance(0.2)
            yield 1
            clock.advance(50)
            yield 2

        assert list(stream()) == [1, 2]
        assert breaker.snapshot().latency.seconds == pytest.approx(0.2)

    def test_send_throw_and_return_pass_through(self, breaker: CircuitBreaker) -> None:
        @breaker
        def stream() -> Generator[object, object, str]:
            sent = yield "first"
            try:
                yield sent
            except BoomError:
                yield "caught"
            return "done"

        def outer() -> Generator[object, object, str]:
            return (yield from stream())

        running = outer()
        assert next(running) == "first"
        assert running.send("sent") == "sent"
        assert running.throw(BoomError()) == "caught"
        with pytest.raises(StopIteration) as stop:
            next(running)
        assert stop.value.value == "done"
        assert self.outcomes(breaker) == {Outcome.SUCCESS: 1}

    async def test_asend_and_athrow_pass_through(self, breaker: CircuitBreaker) -> None:
        @breaker
        async def stream() -> AsyncGenerator[object, object]:
            sent = yield "first"
            try:
                yield sent
            except BoomError:
                yield "caught"

        running = stream()
        assert await anext(running) == "first"
        assert await running.asend("sent") == "sent"
        assert await running.athrow(BoomError()) == "caught"
        with pytest.raises(StopAsyncIteration):
            await anext(running)
        assert self.outcomes(breaker) == {Outcome.SUCCESS: 1}

    async def test_what_the_reader_throws_and_nobody_catches_is_neutral(self, breaker: CircuitBreaker) -> None:
        running: Any = breaker(generator)()
        next(running)
        with pytest.raises(BoomError):
            running.throw(BoomError())
        streaming: Any = breaker(async_generator)()
        await anext(streaming)
        with pytest.raises(BoomError):
            await streaming.athrow(BoomError())
        assert self.outcomes(breaker) == {Outcome.CANCELLED: 2}

    def test_an_error_in_the_middle_is_a_failure(self, breaker: CircuitBreaker) -> None:
        stream = breaker(generator)(fail=True)
        assert next(stream) == 1
        with pytest.raises(BoomError):
            next(stream)
        assert breaker.state is State.OPEN

    async def test_a_generator_that_ignores_its_close_is_a_failure(self, breaker: CircuitBreaker) -> None:
        @breaker
        def stubborn() -> Iterator[int]:
            try:
                yield 1
            finally:
                yield 2  # what Python forbids

        running: Any = stubborn()
        next(running)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            running.close()
        assert self.outcomes(breaker) == {Outcome.FAILURE: 1}

    def test_each_item_renews_the_lease_of_a_probe(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        breaker.acquire().failure(BoomError())
        clock.advance(10)

        @breaker
        def stream() -> Iterator[int]:
            for number in range(5):
                clock.advance(20)
                yield number

        assert len(list(stream())) == 5
        assert breaker.state is State.CLOSED

    def test_a_stream_that_delivers_does_not_hang_and_one_that_stalls_does(self, clock: FakeClock) -> None:
        breaker = CircuitBreaker(failure_threshold=1, hang_after=10, clock=clock)
        permit = breaker.acquire()
        for _ in range(3):
            clock.advance(9)
            permit.renew()
            assert breaker.call(lambda: 1) == 1
        clock.advance(10)
        permit.renew()
        assert (breaker.state, breaker.snapshot().hung_calls) == (State.OPEN, 1)
        permit.success()
        assert breaker.snapshot().late_results == 1

    def test_an_item_of_a_probe_that_comes_too_late_has_the_wait_decided_and_told(self, clock: FakeClock) -> None:
        waits, told = iter([10.0, 20.0]), list[float | None]()
        breaker = CircuitBreaker(failure_threshold=1, probe_timeout=4, open_for=lambda _: next(waits), clock=clock)
        breaker.acquire().failure(BoomError())
        clock.advance(10)
        breaker.listen(lambda change: told.append(change.wait))
        probe = breaker.acquire()
        clock.advance(5)
        probe.renew()
        assert told == [None, 20.0]
        clock.advance(15)
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
        probe.release()


class TestGuardsAndPermits:
    """The block and the two steps."""

    def test_a_block_is_settled_by_how_it_ends(self) -> None:
        breaker = CircuitBreaker(failure_threshold=1)
        with breaker.guard() as permit:
            assert not permit.settled
        with pytest.raises(BoomError), breaker.guard():
            raise BoomError
        with pytest.raises(CircuitOpenError), breaker.guard():
            pytest.fail("a rejected block must not run")

    async def test_an_async_block_too(self) -> None:
        breaker = CircuitBreaker(failure_threshold=1)
        async with breaker.guard():
            pass
        with pytest.raises(BoomError):
            async with breaker.guard():
                raise BoomError
        assert breaker.state is State.OPEN

    def test_a_block_may_settle_itself(self) -> None:
        breaker = CircuitBreaker(failure_threshold=1)
        with breaker.guard() as permit:
            permit.failure(None, retry_after=100)
        assert breaker.state is State.OPEN

    def test_a_guard_serves_one_block(self) -> None:
        guard = CircuitBreaker().guard()
        with guard, pytest.raises(BreakerError, match="every block"):
            guard.__enter__()

    def test_a_permit_is_settled_once(self) -> None:
        breaker = CircuitBreaker(failure_threshold=1)
        permit = breaker.acquire()
        assert "under way" in repr(permit)
        assert permit.success(elapsed=0.5)
        assert not permit.failure(BoomError())
        assert not permit.release()
        assert not permit.success()
        assert "settled" in repr(permit)
        assert breaker.snapshot().latency.seconds == pytest.approx(0.5)
        assert breaker.state is State.CLOSED
