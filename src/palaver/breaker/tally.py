"""What a breaker has counted since it was made: the numbers behind `snapshot()` and the exporters.

Numbers only ever grow; `reset()` does not touch them. Successes are not counted apart: they are the sum of the
histogram.
"""

from bisect import bisect_left
from collections.abc import Mapping
from math import inf
from typing import Final, NamedTuple

from palaver.breaker.errors import Failure
from palaver.breaker.states import CANCELLED, FAILURE, IGNORED, SUCCESS, Mode, Outcome, Reason, State

# Upper bounds in seconds, three to a decade: from a local cache to a call that nobody waits for any more.
BOUNDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0,
)  # fmt: skip


class Tally:
    """The counters of one breaker. Written under its lock only."""

    __slots__ = (
        "cancelled",
        "counts",
        "failure_seconds",
        "failures",
        "hung",
        "ignored",
        "last_failure",
        "late",
        "rejected_forced",
        "rejected_open",
        "rejected_probe_limit",
        "rejected_ramp",
        "seconds",
        "shadowed",
        "slow",
        "time_in",
        "unobserved",
        "unreachable",
    )

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.failure_seconds = 0.0
        self.failures = self.unreachable = self.ignored = self.cancelled = 0
        self.slow = self.hung = self.late = self.shadowed = self.unobserved = 0
        self.rejected_open = self.rejected_probe_limit = self.rejected_forced = self.rejected_ramp = 0
        self.last_failure: Failure | None = None
        self.time_in = dict.fromkeys(State, 0.0)

    def successes(self, batch: list[float]) -> None:
        """Count calls that succeeded, by how long they took."""
        counts = self.counts
        for elapsed in batch:
            counts[bisect_left(BOUNDS, elapsed)] += 1
        self.seconds += sum(batch)

    def count(self, outcome: Outcome, elapsed: float, failure: Failure | None) -> None:
        """Count one admitted call by its outcome."""
        if outcome is FAILURE:
            self.failures += 1
            self.failure_seconds += elapsed
            self.last_failure = failure
        elif outcome is SUCCESS:
            self.successes([elapsed])
        elif outcome is IGNORED:
            self.ignored += 1
        elif outcome is CANCELLED:
            self.cancelled += 1
        else:
            self.unreachable += 1
            self.failure_seconds += elapsed
            self.last_failure = failure

    def reject(self, reason: Reason) -> None:
        """Count a rejection."""
        if reason is Reason.OPEN:
            self.rejected_open += 1
        elif reason is Reason.PROBE_LIMIT:
            self.rejected_probe_limit += 1
        elif reason is Reason.FORCED:
            self.rejected_forced += 1
        else:
            self.rejected_ramp += 1

    def outcomes(self) -> dict[Outcome, int]:
        """Say how many admitted calls ended how."""
        return {
            Outcome.SUCCESS: sum(self.counts),
            Outcome.FAILURE: self.failures,
            Outcome.UNREACHABLE: self.unreachable,
            Outcome.IGNORED: self.ignored,
            Outcome.CANCELLED: self.cancelled,
        }

    def rejections(self) -> dict[Reason, int]:
        """Say how many calls were rejected why."""
        return {
            Reason.OPEN: self.rejected_open,
            Reason.PROBE_LIMIT: self.rejected_probe_limit,
            Reason.FORCED: self.rejected_forced,
            Reason.RAMP: self.rejected_ramp,
        }


class Latency(NamedTuple):
    """How long the successful calls took."""

    counts: tuple[int, ...]
    """Calls per bucket; bucket i holds what took at most `bounds[i]` seconds, the last one the rest."""
    seconds: float
    """Sum of all of them."""
    bounds: tuple[float, ...] = BOUNDS

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Estimate the time that this share of the calls did not exceed, by straight lines within buckets.

        None without calls. What lies beyond the last bound is reported as the last bound.

        Raises:
            ValueError: unless `share` is within 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"quantile({share!r}): give a share from 0 to 1; 0.99 for p99")
        rank, seen, low = share * self.calls, 0, 0.0
        if not self.calls:
            return None
        for count, high in zip(self.counts, (*self.bounds, inf), strict=True):
            if count and seen + count >= rank:
                break
            seen, low = seen + count, high
        # There is a last bucket, so the loop has set both.
        return low if high == inf else low + (high - low) * max(0.0, rank - seen) / count  # pyright: ignore[reportPossiblyUnboundVariable]

    @property
    def p50(self) -> float | None:
        """The median in seconds."""
        return self.quantile(0.5)

    @property
    def p90(self) -> float | None:
        """The 90th percentile in seconds."""
        return self.quantile(0.9)

    @property
    def p99(self) -> float | None:
        """The 99th percentile in seconds."""
        return self.quantile(0.99)


class Snapshot(NamedTuple):
    """Everything a breaker knows about itself at one moment. Times are seconds of its clock."""

    name: str | None
    """Name of the breaker."""
    at: float
    """The moment of all these numbers."""
    state: State
    """Where the circuit stands, as a caller would see it."""
    mode: Mode
    """How much of the breaker is in force."""
    since: float
    """When the present state began."""
    opens: int
    """How often the circuit has opened."""
    attempt: int
    """The back-off level: openings since the circuit was last stable."""
    wait: float | None
    """The wait of the last opening."""
    retry_after: float | None
    """Seconds until a call may be admitted; None if closed, or if nobody knows."""
    streak: int
    """Failures since the last success."""
    calls: int
    """Calls in the window of the first rule that has one; 0 if none has."""
    failed: int
    """How many of them failed."""
    slow: int
    """How many of them were slow."""
    in_flight: int
    """Probes under way, and with `hang_after` all calls under way."""
    outcomes: Mapping[Outcome, int]
    """How many admitted calls ended how, since the breaker was made. All counts below are of that time."""
    rejections: Mapping[Reason, int]
    """How many calls were rejected why."""
    slow_calls: int
    """Calls that took `slow_after` or longer."""
    hung_calls: int
    """Calls that were in flight for `hang_after` or longer."""
    late_results: int
    """Results of an earlier state or round. They moved nothing."""
    shadowed: int
    """Calls that shadow mode admitted although they would have been rejected."""
    unobserved: int
    """Calls that ended while the breaker was disabled, or that shadow mode let through."""
    latency: Latency
    """How long the successful calls took: a histogram, with p50, p90 and p99."""
    failure_seconds: float
    """How long the failed calls took together."""
    last_success_at: float | None
    """When the last success ended; None before the first."""
    last_failure: Failure | None
    """What the last failure was; None before the first."""
    time_in: Mapping[State, float]
    """Time spent in each state."""

    @property
    def failure_share(self) -> float | None:
        """Share of failed calls in the window; None if it is empty."""
        return self.failed / self.calls if self.calls else None

    @property
    def slow_share(self) -> float | None:
        """Share of slow calls in the window; None if it is empty."""
        return self.slow / self.calls if self.calls else None
