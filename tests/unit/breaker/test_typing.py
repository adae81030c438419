"""What mypy and pyright see: kinds, parameters and results stay. Running it checks the rest."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from typing import Any, assert_type

from palaver.breaker import BreakerRegistry, CircuitBreaker, Permit

breaker = CircuitBreaker("typed")


@breaker
def plain(number: int, *, text: str = "") -> float:
    return number + len(text)


@breaker
async def coroutine(number: int) -> str:
    return str(number)


@breaker
def generator() -> Generator[int, str, bytes]:
    yield 1
    return b""


@breaker
async def async_generator() -> AsyncGenerator[int, None]:
    yield 1


class Thing:
    @breaker
    def method(self, number: int) -> int:
        return number


async def test_decorated_functions_keep_their_types() -> None:
    assert_type(plain(1, text="a"), float)
    running: Coroutine[Any, Any, str] = coroutine(1)  # pyright knows more: a CoroutineType
    running.close()
    assert_type(await coroutine(1), str)
    assert_type(generator(), Generator[int, str, bytes])
    assert_type(async_generator(), AsyncGenerator[int, None])
    assert_type(Thing().method(1), int)
    assert await coroutine(2) == "2"


async def test_calls_guards_and_permits_have_types() -> None:
    assert_type(breaker.call(divmod, 7, 2), tuple[int, int])
    assert_type(await breaker.acall(coroutine, 1), str)
    with breaker.guard() as permit:
        assert_type(permit, Permit)
    async with breaker.guard() as permit:
        assert_type(permit, Permit)
    assert_type(breaker.listen(print), Callable[[], None])
    registry: BreakerRegistry[tuple[str, int]] = BreakerRegistry()
    assert_type(registry["a", 1], CircuitBreaker)
    assert_type(iter(registry), Iterator[CircuitBreaker])
