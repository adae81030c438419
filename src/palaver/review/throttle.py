"""How many calls a provider gets at a time, and when the next one may start.

Additive increase, multiplicative decrease: each success adds a little, each sign of overload halves, at most once for
the calls that were under way together. Pure: the time is a parameter (monotonic seconds).

Invariant: 1 <= limit <= ceiling; `free` never allows more calls than the limit.
"""

from dataclasses import dataclass, field

from palaver.review.failures import Failure

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 30.0
# Asking an open guard again costs nothing, and while it probes it does not know when it will be through.
LONGEST_GUARD_WAIT_SECONDS = 1.0


@dataclass(slots=True)
class Throttle:
    """The throttle of one provider."""

    ceiling: int
    first_backoff_seconds: float = FIRST_BACKOFF_SECONDS
    limit: float = field(init=False)
    under_way: int = 0
    not_before: float = 0.0
    failing_since: float | None = None
    _last_decrease: float = float("-inf")
    _row: int = 0
    _asked_to_wait_until: float = 0.0

    def __post_init__(self) -> None:
        self.limit = float(self.ceiling)

    def free(self, now: float) -> bool:
        """Whether another call may start now."""
        return now >= self.not_before and self.under_way < int(self.limit)

    def start(self) -> None:
        """A call starts."""
        self.under_way += 1

    def end(self, started: float, now: float, failure: Failure | None) -> None:
        """A call that started at `started` has ended."""
        self.under_way -= 1
        if failure is None or not failure.trait.away:
            self.limit = min(float(self.ceiling), self.limit + 1.0 / self.limit)
            self.failing_since = None
            self._row = 0
            self.not_before = min(self.not_before, self._asked_to_wait_until)
            return
        if self.failing_since is None:
            self.failing_since = now
        if started > self._last_decrease:
            self._last_decrease = now
            self._row += 1
            if failure.kind != "waiting":
                self.limit = max(1.0, self.limit / 2)
        self.not_before = max(self.not_before, now + self._pause(failure))
        if failure.kind == "rate_limited" and failure.retry_after_seconds is not None:
            self._asked_to_wait_until = self.not_before

    def _pause(self, failure: Failure) -> float:
        if failure.retry_after_seconds is not None:
            cap = LONGEST_GUARD_WAIT_SECONDS if failure.kind == "waiting" else float("inf")
            return min(failure.retry_after_seconds, cap)
        return min(LONGEST_BACKOFF_SECONDS, self.first_backoff_seconds * 2.0 ** min(self._row - 1, 20))
