"""The options of a breaker: frozen, checked at construction, each of them read somewhere.

`None` means off (or, where it says so, derived); 0 is a value. All times are seconds of the breaker's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypedDict

from palaver.breaker.backoff import OpenFor, exponential, open_for
from palaver.breaker.checks import duration, predicate, whole
from palaver.breaker.classify import Matcher, checked
from palaver.breaker.rules import Rule, consecutive, failure_rate
from palaver.breaker.window import seconds

# Half of at least ten calls within half a minute, or five in a row: the second arm serves what is called rarely.
DEFAULT_TRIP: Final = failure_rate(0.5, over=seconds(30), min_calls=10) | consecutive(5)
DEFAULT_OPEN_FOR: Final = exponential(5.0, factor=2.0, cap=300.0, jitter="equal")


_TIMES: Final = (
    "probe_timeout",
    "retry_after_cap",
    "stable_after",
    "ramp",
    "slow_after",
    "hang_after",
    "count_cancelled_after",
)


class Options(TypedDict, total=False):
    """The keyword arguments of `CircuitBreaker`; `Config` says what each one means."""

    trip: Rule | None
    failure_threshold: int | None
    open_for: float | OpenFor
    probes: int | None
    probe_concurrency: int
    close_after: int
    probe_timeout: float
    stable_after: float | None
    ramp: float | None
    slow_after: float | None
    hang_after: float | None
    failures: Matcher
    ignore: Matcher
    unreachable: Matcher
    failure_results: Callable[[Any], bool] | None
    count_cancelled_after: float | None
    retry_after_cap: float
    history: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that shapes a breaker's behaviour. One `Config` may serve any number of breakers."""

    trip: Rule | None = None
    """When to open. None: half of at least 10 calls within 30 s failed, or 5 failures in a row."""
    failure_threshold: int | None = None
    """Short for `trip=consecutive(n)`; not together with `trip`."""
    open_for: float | OpenFor = DEFAULT_OPEN_FOR
    """How long to stay open: seconds, `exponential(...)`, or a callable from `OpenContext` to seconds."""
    probes: int | None = None
    """How many probes one half-open round may take, decided and in flight together. None: as many as `close_after`."""
    probe_concurrency: int = 1
    """How many probes may be in flight at once."""
    close_after: int = 1
    """How many probes must succeed to close. One failed probe opens again, whatever this is."""
    probe_timeout: float = 30.0
    """The lease of a probe: one that has not ended by then has failed, and what it brings later is late."""
    stable_after: float | None = None
    """How long the circuit must stay closed until the back-off starts anew. None: as long as the last wait."""
    ramp: float | None = None
    """After closing, admit 10 % of the calls at first and all of them after this time. None: all at once."""
    slow_after: float | None = None
    """Calls that take this long or longer are slow. None: none is. Needed by `slow_rate`."""
    hang_after: float | None = None
    """Calls in flight for this long count as failed and slow before they return; a stream, for this long without an
    item. None: off; costs some time per call."""
    failures: Matcher = (Exception,)
    """Which exceptions speak against the dependency: classes or a predicate. Others are neutral."""
    ignore: Matcher = ()
    """Which exceptions are neutral although `failures` matches them."""
    unreachable: Matcher = ()
    """Exceptions of calls that never left this process, as from a full pool: failures while closed, no verdict as a
    probe."""
    failure_results: Callable[[Any], bool] | None = None
    """Which results are failures. None: none is."""
    count_cancelled_after: float | None = None
    """A call that is cancelled after this long counts as slow, else cancellation is neutral. None: always neutral."""
    retry_after_cap: float = 300.0
    """The longest wait that a server's `Retry-After` can bring about."""
    history: int = 50
    """How many transitions are remembered."""

    def __post_init__(self) -> None:
        """Check every option by itself, then together."""
        for option in ("probes", "probe_concurrency", "close_after", "history"):
            if (value := getattr(self, option)) is not None:
                whole(option, value)
        for option in _TIMES:
            if (value := getattr(self, option)) is not None:
                duration(option, value, zero=option == "stable_after")
        for option in ("failures", "ignore", "unreachable"):
            object.__setattr__(self, option, checked(option, getattr(self, option)))
        if self.failure_results is not None:
            predicate("failure_results", self.failure_results, "a predicate over results")
        open_for(self.open_for)
        self._check_together()

    def _check_together(self) -> None:
        if self.trip is not None and not isinstance(self.trip, Rule):
            raise TypeError(f"trip={self.trip!r}: combine consecutive(), failure_rate() and slow_rate()")
        if self.trip is not None and self.failure_threshold is not None:
            raise ValueError("give trip or failure_threshold, not both")
        rule = self.rule  # consecutive() checks failure_threshold
        if rule.needs_slow() and self.slow_after is None:
            raise ValueError("slow_rate() needs slow_after=seconds: from when on a call is slow")
        if self.count_cancelled_after is not None and not rule.needs_slow():
            raise ValueError("count_cancelled_after counts slow calls, so it needs a slow_rate() rule")
        if self.probe_budget < self.close_after:
            raise ValueError(f"probes={self.probes} can never close a circuit with close_after={self.close_after}")

    @property
    def rule(self) -> Rule:
        """The trip rule in force."""
        if self.failure_threshold is not None:
            return consecutive(self.failure_threshold)
        return DEFAULT_TRIP if self.trip is None else self.trip

    @property
    def probe_budget(self) -> int:
        """How many probes one half-open round may take."""
        return self.close_after if self.probes is None else self.probes


OPTIONS: Final = tuple(field.name for field in fields(Config))
