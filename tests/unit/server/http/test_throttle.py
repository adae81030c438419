import pytest

from palaver.server.http.answers import Refused
from palaver.server.http.throttle import Throttle


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_is_refused_after_its_burst_and_for_as_long_as_it_is_told() -> None:
    clock = Clock()
    throttle = Throttle(2, clock)
    for _ in range(20):
        throttle.check("a")
        throttle.count("a")
    with pytest.raises(Refused) as refused:
        throttle.check("a")
    throttle.check("b")
    clock.now += refused.value.body["retry_after_ms"] / 1000
    throttle.check("a")


def test_an_address_that_fails_no_oftener_than_allowed_is_never_refused() -> None:
    clock = Clock()
    throttle = Throttle(2, clock)
    for _ in range(1_000):
        throttle.check("a")
        throttle.count("a")
        clock.now += 0.5


def test_addresses_are_forgotten() -> None:
    clock = Clock()
    throttle = Throttle(1, clock)
    for number in range(100_000):
        throttle.count(str(number))
        clock.now += 0.01
    assert len(throttle) < 3_000


def test_it_may_be_off() -> None:
    throttle = Throttle(None, Clock())
    for _ in range(100):
        throttle.count("a")
        throttle.check("a")
    assert len(throttle) == 0
