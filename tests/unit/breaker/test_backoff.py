"""The wait of an opening: exact, capped, drawn once, reset by stability only."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.breaker import CircuitBreaker, Exponential, Failure, OpenContext, State, exponential
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


def context(attempt: int) -> OpenContext:
    return OpenContext(attempt, None, None, None)


def relapse(breaker: CircuitBreaker, clock: FakeClock) -> float:
    """Let the probe fail, and return the wait of the new opening."""
    clock.advance(breaker.retry_after or 0)
    breaker.acquire().failure(BoomError())
    wait = breaker.retry_after
    assert wait is not None
    return wait


def test_without_jitter_the_sequence_is_exact() -> None:
    strategy = exponential(5, factor=2, cap=300, jitter="none")
    assert [strategy(context(n)) for n in range(1, 10)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    clock = FakeClock()
    breaker = CircuitBreaker(failure_threshold=1, open_for=strategy, clock=clock)
    assert [relapse(breaker, clock) for _ in range(9)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@given(
    attempt=st.integers(1, 10**6),
    base=st.floats(1e-3, 1e6),
    factor=st.floats(1, 1e6),
    widen=st.floats(1, 1e6),
    share=st.floats(0, 1, exclude_max=True),
    jitter=st.sampled_from(["full", "equal", "none"]),
)
def test_a_wait_is_above_zero_and_at_most_the_cap_whatever_the_numbers(
    attempt: int, base: float, factor: float, widen: float, share: float, jitter: str
) -> None:
    cap = base * widen
    strategy = Exponential(base, factor, cap, jitter, lambda: share)  # type: ignore[arg-type]  # one of the three
    wait = strategy(context(attempt))
    assert 0 < wait <= cap
    assert wait <= strategy.ceiling(attempt)
    if jitter == "equal":
        assert wait >= strategy.ceiling(attempt) / 2


@given(st.integers(1, 40), st.floats(1, 3))
def test_the_ceiling_never_falls_and_is_the_power_until_the_cap(attempt: int, factor: float) -> None:
    strategy = exponential(2, factor=factor, cap=1000, jitter="none")
    assert strategy.ceiling(attempt) <= strategy.ceiling(attempt + 1)
    assert math.isclose(strategy.ceiling(attempt), min(1000, 2 * factor ** (attempt - 1)))


@pytest.mark.parametrize(("jitter", "least", "most"), [("full", 0.0, 10.0), ("equal", 5.0, 10.0)])
def test_jitter_covers_its_whole_range(jitter: str, least: float, most: float) -> None:
    for share, expected in ((0.0, most), (0.5, (least + most) / 2), (1 - 2**-53, least)):
        strategy = Exponential(10, 2, 300, jitter, lambda share=share: share)  # type: ignore[arg-type, misc]  # see above
        assert strategy(context(1)) == pytest.approx(expected)


def test_the_deadline_stays_where_it_was_drawn_however_often_it_is_asked_for() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(failure_threshold=1, open_for=exponential(10, jitter="full"), clock=clock)
    breaker.acquire().failure(BoomError())
    deadlines = set()
    for _ in range(1000):
        deadlines.add(round(clock() + (breaker.retry_after or 0), 9))
        clock.advance((breaker.retry_after or 0) / 1000)
    assert len(deadlines) == 1


def test_the_level_goes_on_within_the_stable_time_and_begins_anew_after_it() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(failure_threshold=1, open_for=exponential(10, jitter="none"), stable_after=30, clock=clock)
    assert relapse(breaker, clock) == 10
    for quiet, expected in ((29.0, 20), (29.0, 40), (30.0, 10)):
        clock.advance(breaker.retry_after or 0)
        breaker.acquire().success()
        assert breaker.state is State.CLOSED
        clock.advance(quiet)
        breaker.acquire().failure(BoomError())
        assert breaker.retry_after == expected


def test_reset_forgets_the_level_and_a_success_in_half_open_does_not() -> None:
    clock = FakeClock()
    strategy = exponential(10, jitter="none")
    breaker = CircuitBreaker(failure_threshold=1, open_for=strategy, close_after=2, clock=clock)
    relapse(breaker, clock)
    clock.advance(10)
    breaker.acquire().success()
    assert breaker.snapshot().attempt == 1
    assert relapse(breaker, clock) == 20
    breaker.reset()
    assert breaker.snapshot().attempt == 0
    assert relapse(breaker, clock) == 10


def test_a_strategy_sees_the_attempt_the_wait_before_the_name_and_the_failure() -> None:
    seen: list[OpenContext] = []

    def strategy(context: OpenContext) -> float:
        seen.append(context)
        return 7.0 * context.attempt

    clock = FakeClock()
    breaker = CircuitBreaker("db", failure_threshold=1, open_for=strategy, clock=clock)
    assert [relapse(breaker, clock), relapse(breaker, clock)] == [7, 14]
    failures = [Failure(f"{BoomError.__module__}.BoomError", "", at) for at in (0.0, 7.0)]
    assert seen == [OpenContext(1, None, "db", failures[0]), OpenContext(2, 7.0, "db", failures[1])]


def raising(_: OpenContext) -> float:
    raise BoomError


@pytest.mark.parametrize("strategy", [raising, lambda _: -1, lambda _: 0.0, lambda _: math.nan, lambda _: math.inf])
def test_a_strategy_that_fails_opens_for_five_seconds_all_the_same(strategy: Callable[[OpenContext], float]) -> None:
    breaker = CircuitBreaker(failure_threshold=1, open_for=strategy, clock=FakeClock())
    breaker.acquire().failure(BoomError())
    assert breaker.retry_after == 5.0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"base": 0}, "base=0"),
        ({"base": math.inf}, "base=inf"),
        ({"factor": 0.5}, "factor=0.5"),
        ({"base": 10, "cap": 5}, "cap=5"),
        ({"cap": math.nan}, "cap=nan"),
        ({"jitter": "some"}, "jitter='some'"),
        ({"base": 10**400}, "base=1000"),
        ({"factor": math.nan}, "factor=nan"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(arguments: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        exponential(**arguments)  # type: ignore[arg-type]  # one wrong value at a time


@pytest.mark.parametrize("arguments", [{"base": "5"}, {"base": True}, {"factor": None}, {"cap": "60"}, {"random": 5}])
def test_what_is_no_number_is_refused_by_name(arguments: dict[str, object]) -> None:
    (name, value), *_ = arguments.items()
    with pytest.raises(TypeError, match=f"exponential: {name}={value!r}: give "):
        exponential(**arguments)  # type: ignore[arg-type]  # one wrong value at a time


@pytest.mark.parametrize(
    ("factor", "cap", "wanted"),
    [
        (0.5, 60.0, "factor=0.5: give a finite number of at least 1$"),
        (math.inf, 60.0, "factor=inf: give a finite number of at least 1$"),
        (2, 1.0, "cap=1.0: give a finite number of at least base, 2$"),
        (2, math.nan, "cap=nan: give a finite number of at least base, 2$"),
    ],
)
def test_a_wrong_number_is_refused_with_what_to_give_instead(factor: float, cap: float, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        exponential(2, factor=factor, cap=cap)
