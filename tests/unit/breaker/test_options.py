"""Every option does something that can be seen: two breakers that differ in it alone behave differently."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from typing import Any
from unittest.mock import AsyncMock

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, Config, State, consecutive, failure_rate, last, slow_rate
from palaver.breaker.config import OPTIONS, Options
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


class Under:
    """A breaker under observation, on a clock of its own."""

    def __init__(self, options: Options) -> None:
        self.clock = FakeClock()
        defaults: Options = {"open_for": 10, "failure_threshold": None if "trip" in options else 1}
        self.breaker = CircuitBreaker(clock=self.clock, **(defaults | options))

    def fail(self, error: BaseException | None = None, *, took: float = 0.0, asked: float | None = None) -> None:
        permit = self.breaker.acquire()
        self.clock.advance(took)
        permit.failure(error or BoomError("no"), retry_after=asked)

    def succeed(self, *, took: float = 0.0) -> None:
        permit = self.breaker.acquire()
        self.clock.advance(took)
        permit.success()

    def half_open(self) -> None:
        self.fail()
        self.clock.advance(self.breaker.retry_after or 0)

    def admitted(self, times: int) -> int:
        """How many of so many calls at once are admitted; none of them ends."""
        kept = []
        for _ in range(times):
            try:
                kept.append(self.breaker.acquire())
            except CircuitOpenError:
                pass
        count = len(kept)
        for permit in kept:
            permit.release()
        return count


def first_failure(under: Under) -> object:
    under.fail()
    return under.breaker.state


def wait(under: Under) -> object:
    under.fail()
    return under.breaker.retry_after


def places_after_one_success(under: Under) -> object:
    under.half_open()
    under.succeed()
    return under.admitted(9)


def probes_at_once(under: Under) -> object:
    under.half_open()
    return under.admitted(5)


def one_probe(under: Under) -> object:
    under.half_open()
    under.succeed()
    return under.breaker.state


def lease(under: Under) -> object:
    under.half_open()
    permit = under.breaker.acquire()
    under.clock.advance(20)
    permit.success()
    return under.breaker.state


def level_after_a_while(under: Under) -> object:
    under.half_open()
    under.succeed()
    under.clock.advance(15)
    under.fail()
    return under.breaker.snapshot().attempt


def after_recovery(under: Under) -> object:
    under.half_open()
    under.succeed()
    return under.admitted(10)


def a_call_of_two_seconds(under: Under) -> object:
    under.succeed(took=2)
    return under.breaker.snapshot().slow_calls


def a_call_in_flight_for_long(under: Under) -> object:
    permit = under.breaker.acquire()
    under.clock.advance(60)
    seen = under.admitted(1)
    permit.release()
    return seen


def a_value_error(under: Under) -> object:
    under.fail(ValueError())
    return under.breaker.state


def a_probe_that_never_left(under: Under) -> object:
    under.half_open()
    under.fail(ConnectionRefusedError())
    return under.breaker.state


def a_bad_result(under: Under) -> object:
    under.breaker.call(lambda: 503)
    return under.breaker.state


def a_late_cancellation(under: Under) -> object:
    under.fail(asyncio.CancelledError(), took=40)
    return under.breaker.snapshot().slow_calls


def an_hour_is_asked(under: Under) -> object:
    under.fail(asked=3600)
    return under.breaker.retry_after


def what_is_remembered(under: Under) -> object:
    for _ in range(3):
        under.breaker.reset()
    return len(under.breaker.history)


ROUND: Options = {"close_after": 2, "probe_concurrency": 2}
SLOW: Options = {"trip": slow_rate(1, over=last(9), min_calls=9), "slow_after": 50}

# option -> how it is seen, and two sets of options that differ in it alone
SEEN: dict[str, tuple[Callable[[Under], object], Options, Options]] = {
    "trip": (first_failure, {"trip": consecutive(1)}, {"trip": consecutive(2)}),
    "failure_threshold": (first_failure, {"failure_threshold": 1}, {"failure_threshold": 2}),
    "open_for": (wait, {"open_for": 10}, {"open_for": 20}),
    "probes": (places_after_one_success, ROUND | {"probes": 2}, ROUND | {"probes": 3}),
    "probe_concurrency": (probes_at_once, {"close_after": 3}, {"close_after": 3, "probe_concurrency": 2}),
    "close_after": (one_probe, {"close_after": 1}, {"close_after": 2}),
    "probe_timeout": (lease, {"probe_timeout": 15}, {"probe_timeout": 25}),
    "stable_after": (level_after_a_while, {}, {"stable_after": 60}),
    "ramp": (after_recovery, {}, {"ramp": 60}),
    "slow_after": (a_call_of_two_seconds, {}, {"slow_after": 2}),
    "hang_after": (a_call_in_flight_for_long, {}, {"hang_after": 60}),
    "failures": (a_value_error, {}, {"failures": BoomError}),
    "ignore": (a_value_error, {}, {"ignore": ValueError}),
    "unreachable": (a_probe_that_never_left, {}, {"unreachable": ConnectionError}),
    "failure_results": (a_bad_result, {}, {"failure_results": lambda result: result >= 500}),
    "count_cancelled_after": (a_late_cancellation, SLOW, SLOW | {"count_cancelled_after": 30}),
    "retry_after_cap": (an_hour_is_asked, {}, {"retry_after_cap": 60}),
    "history": (what_is_remembered, {}, {"history": 2}),
}


def test_every_option_is_in_the_table() -> None:
    assert set(SEEN) == set(OPTIONS) == {field.name for field in fields(Config)} == set(Options.__annotations__)


@pytest.mark.parametrize("option", SEEN)
def test_two_breakers_that_differ_in_an_option_behave_differently(option: str) -> None:
    look, one, other = SEEN[option]
    assert look(Under(one)) == look(Under(one))
    assert look(Under(one)) != look(Under(other))


def test_probes_is_the_number_of_probes_of_a_round() -> None:
    narrow = Under({"close_after": 2, "probes": 2, "probe_concurrency": 2})
    wide = Under({"close_after": 2, "probes": 3, "probe_concurrency": 3})
    for under, most in ((narrow, 2), (wide, 3)):
        under.half_open()
        assert under.admitted(9) == most


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"failure_threshold": 0}, ValueError, "failures=0"),
        ({"failure_threshold": True}, TypeError, "failures=True"),
        ({"failure_threshold": 1, "trip": consecutive(1)}, ValueError, "not both"),
        ({"trip": 5}, TypeError, "trip=5"),
        ({"open_for": 0}, ValueError, "open_for=0"),
        ({"open_for": float("inf")}, ValueError, "open_for=inf"),
        ({"open_for": "10"}, TypeError, "open_for='10'"),
        ({"open_for": True}, TypeError, "open_for=True"),
        ({"probes": 0}, ValueError, "probes=0"),
        ({"probes": 1, "close_after": 2}, ValueError, "close_after"),
        ({"count_cancelled_after": 5}, ValueError, "count_cancelled_after"),
        ({"close_after": 1.5}, TypeError, "close_after=1.5"),
        ({"probe_timeout": 0}, ValueError, "probe_timeout=0"),
        ({"stable_after": -1}, ValueError, "stable_after=-1"),
        ({"ramp": float("nan")}, ValueError, "ramp=nan"),
        ({"slow_after": "1 s"}, TypeError, "slow_after='1 s'"),
        ({"trip": slow_rate(0.5, over=last(10))}, ValueError, "slow_after"),
        ({"failures": 5}, TypeError, "failures=5"),
        ({"ignore": (ValueError, 5)}, TypeError, "ignore="),
        ({"unreachable": int}, TypeError, "unreachable="),
        ({"failure_results": 500}, TypeError, "failure_results=500"),
        ({"history": 0}, ValueError, "history=0"),
        ({"config": Config(), "history": 3}, ValueError, "history"),
        ({"config": {"history": 3}}, TypeError, "config={'history': 3}"),
        ({"clock": 5.0}, TypeError, "clock=5.0"),
        ({"probe_timeout": 10**400}, ValueError, "probe_timeout=1000"),
        ({"open_for": 10**400}, ValueError, "open_for=1000"),
        ({"open_for": AsyncMock()}, TypeError, "open_for=<AsyncMock.*async def"),
        ({"failures": AsyncMock()}, TypeError, "failures=<AsyncMock.*async def"),
        ({"failure_results": asyncio.sleep}, TypeError, "failure_results=<function sleep.*async def"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        CircuitBreaker(**options)


def test_a_rule_that_could_never_fire_is_refused() -> None:
    with pytest.raises(ValueError, match="could not fire"):
        failure_rate(0.5, over=last(5), min_calls=6)
    for share in (50, 1.01, 0, -0.1, 10**400, float("nan")):
        with pytest.raises(ValueError, match="share"):
            failure_rate(share, over=last(5))
    for wrong in ("half", None, True):
        with pytest.raises(TypeError, match="slow_rate: share="):
            slow_rate(wrong, over=last(5))  # type: ignore[arg-type]  # what the checker forbids must fail at run time too
    with pytest.raises(TypeError, match="over"):
        failure_rate(0.5, over=30)  # type: ignore[arg-type]  # what the checker forbids must fail at run time too
    with pytest.raises(TypeError, match="not a trip rule"):
        consecutive(1) | 5  # type: ignore[operator]  # as above


def test_a_config_is_shared_and_a_name_is_text() -> None:
    config = Config(failure_threshold=2)
    assert CircuitBreaker("a", config=config).config is CircuitBreaker("b", config=config).config
    with pytest.raises(TypeError, match="decorate without a name"):
        CircuitBreaker(lambda: None)  # type: ignore[arg-type]  # a decorator without parentheses
    assert CircuitBreaker("a").state is State.CLOSED
