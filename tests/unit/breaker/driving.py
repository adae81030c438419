"""Driving a breaker by hand: calls that succeed, that fail, that are rejected."""

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, State


class BoomError(Exception):
    """What a dependency raises in these tests."""


def fail(breaker: CircuitBreaker, times: int = 1, error: type[BaseException] = BoomError) -> None:
    def raises() -> None:
        raise error("no")

    for _ in range(times):
        with pytest.raises(error):
            breaker.call(raises)


def assert_state(breaker: CircuitBreaker, state: State) -> None:
    assert breaker.state is state


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        assert breaker.call(lambda: 7) == 7


def rejected(breaker: CircuitBreaker) -> CircuitOpenError:
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(lambda: pytest.fail("a rejected call must not run"))
    return caught.value
