"""A Prometheus collector over breakers. Needs `prometheus-client`.

It reads one snapshot for each breaker at each scrape, and keeps nothing in between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.states import State
from palaver.breaker.tally import Snapshot

_NAME = "breaker"
_Value = Callable[[Snapshot], float | None]

_GAUGES: tuple[tuple[str, str, _Value], ...] = (
    ("breaker_window_calls", "Calls in the window of the first rate rule.", lambda s: s.calls),
    ("breaker_window_failure_ratio", "Share of them that failed.", lambda s: s.failure_share),
    ("breaker_window_slow_ratio", "Share of them that were slow.", lambda s: s.slow_share),
    ("breaker_failure_streak", "Failures since the last success.", lambda s: s.streak),
    ("breaker_backoff_level", "Openings since the circuit was last stable.", lambda s: s.attempt),
    ("breaker_retry_after_seconds", "Time until a call may be admitted.", lambda s: s.retry_after),
    ("breaker_in_flight", "Probes under way; all calls with hang_after.", lambda s: s.in_flight),
    (
        "breaker_last_success_age_seconds",
        "Time since the last success.",
        lambda s: None if s.last_success_at is None else s.at - s.last_success_at,
    ),
    (
        "breaker_last_failure_age_seconds",
        "Time since the last failure.",
        lambda s: None if s.last_failure is None else s.at - s.last_failure.at,
    ),
)

_COUNTERS: tuple[tuple[str, str, _Value], ...] = (
    ("breaker_opens", "How often the circuit opened.", lambda s: s.opens),
    ("breaker_slow_calls", "Calls that were slow.", lambda s: s.slow_calls),
    ("breaker_hung_calls", "Calls that were in flight for too long.", lambda s: s.hung_calls),
    ("breaker_late_results", "Results of an earlier state or round.", lambda s: s.late_results),
    ("breaker_shadowed_calls", "Calls that only shadow mode admitted.", lambda s: s.shadowed),
)


class BreakerCollector(Collector):
    """Register it with a `CollectorRegistry`.

    Args:
        breakers: A `BreakerRegistry`, or any iterable that can be walked at every scrape. Names should be unique.
    """

    def __init__(self, breakers: Iterable[CircuitBreaker]) -> None:
        self._breakers = breakers

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        snapshots = [breaker.snapshot() for breaker in self._breakers]
        yield _labelled("breaker_calls", "Admitted calls by outcome.", "outcome", snapshots, lambda s: s.outcomes)
        yield _labelled("breaker_rejections", "Rejected calls by reason.", "reason", snapshots, lambda s: s.rejections)
        yield _labelled("breaker_state_seconds", "Time in each state.", "state", snapshots, lambda s: s.time_in)
        yield _states(snapshots)
        for name, text, value in _COUNTERS:
            counter = CounterMetricFamily(name, text, labels=[_NAME])
            for snapshot in snapshots:
                counter.add_metric([snapshot.name or ""], value(snapshot) or 0)
            yield counter
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=[_NAME])
            for snapshot in snapshots:
                if (number := value(snapshot)) is not None:
                    gauge.add_metric([snapshot.name or ""], number)
            yield gauge
        yield _durations(snapshots)


def _labelled(
    name: str, text: str, label: str, snapshots: list[Snapshot], values: Callable[[Snapshot], Mapping[Any, float]]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=[_NAME, label])
    for snapshot in snapshots:
        for key, value in values(snapshot).items():
            family.add_metric([snapshot.name or "", str(key)], value)
    return family


def _states(snapshots: list[Snapshot]) -> Metric:
    family = GaugeMetricFamily("breaker_state", "1 for the state that the circuit is in.", labels=[_NAME, "state"])
    for snapshot in snapshots:
        for state in State:
            family.add_metric([snapshot.name or "", state.value], float(snapshot.state is state))
    return family


def _durations(snapshots: list[Snapshot]) -> Metric:
    family = HistogramMetricFamily("breaker_call_seconds", "How long successful calls took.", labels=[_NAME])
    for snapshot in snapshots:
        seen = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*snapshot.latency.bounds, "+Inf"), snapshot.latency.counts, strict=True):
            seen += count
            buckets.append((str(bound), float(seen)))
        family.add_metric([snapshot.name or ""], buckets, snapshot.latency.seconds)
    return family
