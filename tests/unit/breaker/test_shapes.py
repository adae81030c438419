"""Round shapes, memory, and clocks: laws that hold for every breaker."""

import gc
import itertools
import tracemalloc

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError, State
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


@pytest.mark.parametrize("close_after", [1, 2, 3])
def test_a_round_closes_by_enough_successes_and_opens_by_any_failure_at_any_place(close_after: int) -> None:
    for shape in itertools.product([True, False], repeat=close_after):
        clock = FakeClock()
        breaker = CircuitBreaker(failure_threshold=1, open_for=10, close_after=close_after, clock=clock)
        breaker.acquire().failure(BoomError())
        clock.advance(10)
        probes = 0
        for succeeds in shape:
            permit = breaker.acquire()
            probes += 1
            if not succeeds:
                permit.failure(BoomError())
                break
            assert breaker.state is State.HALF_OPEN
            permit.success()
        assert breaker.state is (State.CLOSED if all(shape) else State.OPEN), shape
        assert probes == (shape.index(False) + 1 if False in shape else close_after)
        if False in shape:
            with pytest.raises(CircuitOpenError):
                breaker.call(lambda: pytest.fail("a dead host gets one probe"))


def test_a_breaker_takes_at_most_three_kib_and_does_not_grow_with_calls() -> None:
    keep = [CircuitBreaker("warm")]
    gc.collect()
    tracemalloc.start()
    try:
        keep += [CircuitBreaker("small") for _ in range(200)]
        each = tracemalloc.get_traced_memory()[0] / 200
        breaker, before = keep[-1], 0
        for _ in range(2):
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(20_000):
                breaker.call(int)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert each < 3 * 1024
    assert grown < 1024


def test_a_breaker_reads_its_clock_twice_for_each_call_and_no_other_clock() -> None:
    readings: list[float] = []

    def clock() -> float:
        readings.append(1e9)  # far from any wall clock, and it stands still
        return readings[-1]

    breaker = CircuitBreaker(failure_threshold=1, open_for=10, clock=clock)
    guarded = breaker(lambda: None)
    guarded()
    for _ in range(10):
        del readings[:]
        guarded()
        assert len(readings) == 2
    breaker.acquire().failure(BoomError())
    assert breaker.retry_after == 10
    assert breaker.history[-1].at == breaker.snapshot().at == 1e9
