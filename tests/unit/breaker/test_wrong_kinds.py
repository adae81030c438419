"""What looks like one kind of function and is another: told apart, or refused."""

from typing import Any
from unittest.mock import AsyncMock

import pytest

from palaver.breaker import CircuitBreaker, Outcome, State, WrongKindError
from tests.unit.breaker.driving import BoomError
from tests.unit.breaker.test_kinds import Methods, async_generator, generator


async def test_an_object_that_is_marked_as_a_coroutine_function_is_one() -> None:
    breaker = CircuitBreaker(failure_threshold=1)
    mock = AsyncMock(side_effect=[3, BoomError()])
    guarded = breaker(mock)
    assert await guarded() == 3
    with pytest.raises(BoomError):
        await guarded()
    assert breaker.state is State.OPEN


def test_class_and_static_methods_know_their_breaker() -> None:
    breaker = CircuitBreaker()

    class Guarded:
        of_class: Any = breaker(Methods.__dict__["of_class"])
        static: Any = breaker(Methods.__dict__["static"])

    assert Guarded.of_class.breaker is breaker
    assert Guarded.static.breaker is breaker


async def test_a_generator_function_is_decorated_and_not_called_because_it_fails_later() -> None:
    breaker = CircuitBreaker()
    for wrong in (generator, async_generator):
        with pytest.raises(WrongKindError, match="decorate it"):
            breaker.call(wrong)
        with pytest.raises(WrongKindError, match="decorate it"):
            await breaker.acall(wrong)  # type: ignore[arg-type]  # what the checker forbids must fail at run time too
    assert list(breaker.call(lambda: (number for number in (1, 2)))) == [1, 2]
    outcomes = breaker.snapshot().outcomes
    assert (outcomes[Outcome.SUCCESS], outcomes[Outcome.CANCELLED]) == (1, 4)
