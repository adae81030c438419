"""Recorded calls against other thresholds: what would this breaker have done with last night's traffic?

A replay takes every recorded call at the time when it began, and lets it end as it did. It cannot know what calls
would have done to a host that was left alone, so it speaks about the past only: how many failures would have been
spared, at what price.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self, Unpack

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.checks import whole
from palaver.breaker.config import Options
from palaver.breaker.engine import CallRecord
from palaver.breaker.errors import CircuitOpenError
from palaver.breaker.permit import Permit
from palaver.breaker.states import Outcome
from palaver.breaker.testing.clock import FakeClock
from palaver.breaker.tickets import Transition


class RecordedError(Exception):
    """Stands for the exception of a recorded failure."""


class Recorder:
    """Keeps the last calls of a breaker: `with Recorder(breaker) as recorder: ...`, then `recorder.calls`.

    Args:
        breaker: Whose calls to keep. While it is recorded, its calls take a longer way.
        limit: How many calls are kept at most; the oldest go first.
    """

    def __init__(self, breaker: CircuitBreaker, limit: int = 100_000) -> None:
        whole("limit", limit)
        self.calls: deque[CallRecord] = deque(maxlen=limit)
        self._breaker = breaker

    def __enter__(self) -> Self:
        self._stop = self._breaker.observe(self.calls.append)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()


class Replay(NamedTuple):
    """What a breaker would have done."""

    admitted: int
    rejected: int
    spared_failures: int
    """Rejected calls that had failed."""
    lost_successes: int
    """Rejected calls that had succeeded."""
    transitions: tuple[Transition, ...]


def replay(calls: Iterable[CallRecord], **options: Unpack[Options]) -> Replay:
    """Run recorded calls through a breaker with these options.

    Args:
        calls: What a `Recorder` kept, in any order.
        **options: The fields of `Config`.
    """
    ordered = sorted(calls)
    clock = FakeClock(ordered[0].started if ordered else 0.0)
    # A record says how each call ended, so nothing is left to classify.
    recorded: Options = {**options, "failures": RecordedError, "ignore": (), "unreachable": ()}
    breaker = CircuitBreaker("replay", clock=clock, **recorded)
    transitions: list[Transition] = []
    breaker.listen(transitions.append)
    under_way: list[tuple[float, int, Outcome, Permit]] = []
    rejected: list[Outcome] = []
    for number, call in enumerate(ordered):
        _end_until(call.started, under_way, clock)
        clock.advance(call.started - clock())
        try:
            permit = breaker.acquire()
        except CircuitOpenError:
            rejected.append(call.outcome)
        else:
            heapq.heappush(under_way, (call.started + call.elapsed, number, call.outcome, permit))
    _end_until(float("inf"), under_way, clock)
    spared = sum(outcome in (Outcome.FAILURE, Outcome.UNREACHABLE) for outcome in rejected)
    lost = rejected.count(Outcome.SUCCESS)
    return Replay(len(ordered) - len(rejected), len(rejected), spared, lost, tuple(transitions))


def _end_until(moment: float, under_way: list[tuple[float, int, Outcome, Permit]], clock: FakeClock) -> None:
    """Let every call end that had ended by then."""
    while under_way and under_way[0][0] <= moment:
        at, _, outcome, permit = heapq.heappop(under_way)
        clock.advance(max(0.0, at - clock()))
        if outcome is Outcome.SUCCESS:
            permit.success()
        elif outcome is Outcome.FAILURE or outcome is Outcome.UNREACHABLE:
            permit.failure(RecordedError(outcome.value))
        else:
            permit.release()
