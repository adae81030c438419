"""What is counted, from one scripted day: the snapshot, Prometheus' text, OpenTelemetry's points."""

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from palaver.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Latency,
    Outcome,
    Reason,
    State,
    consecutive,
    last,
    slow_rate,
)
from palaver.breaker.export.opentelemetry import instrument
from palaver.breaker.export.prometheus import BreakerCollector
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """One breaker after its day: closed for 12.32 s, open for 30, half-open for 3, closed again for 5."""
    trip = consecutive(2) | slow_rate(1, over=last(10), min_calls=10)
    breaker = CircuitBreaker(
        "db", trip=trip, slow_after=4, open_for=30, ignore=KeyError, unreachable=ConnectionError, clock=clock
    )

    def call(took: float, error: BaseException | None = None) -> None:
        permit = breaker.acquire()
        clock.advance(took)
        if error is None:
            permit.success()
        else:
            permit.failure(error)

    for took in (0.02, 0.3, 5.0):
        call(took)
    call(0, KeyError())
    call(0, asyncio.CancelledError())
    call(3, BoomError("first"))
    late = breaker.acquire()
    call(4, ConnectionError("refused"))
    assert late.success()
    for _ in range(2):
        with pytest.raises(CircuitOpenError):
            breaker.acquire()
    clock.advance(30)
    probe = breaker.acquire()
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    clock.advance(3)
    probe.success()
    clock.advance(5)
    return breaker


def test_a_snapshot_has_every_number_of_the_same_moment(breaker: CircuitBreaker) -> None:
    seen = breaker.snapshot()
    assert (seen.name, seen.state) == ("db", State.CLOSED)
    assert [seen.at, seen.since] == pytest.approx([150.32, 145.32])
    assert (seen.opens, seen.attempt, seen.wait, seen.retry_after, seen.streak) == (1, 1, 30, None, 0)
    assert seen.outcomes == {
        Outcome.SUCCESS: 4,
        Outcome.FAILURE: 1,
        Outcome.UNREACHABLE: 1,
        Outcome.IGNORED: 1,
        Outcome.CANCELLED: 1,
    }
    assert seen.rejections == {Reason.OPEN: 2, Reason.PROBE_LIMIT: 1, Reason.FORCED: 0, Reason.RAMP: 0}
    assert (seen.slow_calls, seen.hung_calls, seen.late_results) == (2, 0, 1)
    assert (seen.calls, seen.failed, seen.slow, seen.failure_share, seen.slow_share) == (0, 0, 0, None, None)
    assert seen.latency.calls == 4
    assert seen.latency.seconds == pytest.approx(0.02 + 0.3 + 5 + 3)
    assert seen.failure_seconds == pytest.approx(7)
    assert seen.last_success_at == pytest.approx(145.32)
    assert seen.last_failure is not None
    assert (seen.last_failure.kind, seen.last_failure.message) == ("ConnectionError", "refused")
    assert seen.last_failure.at == pytest.approx(112.32)
    assert seen.time_in == pytest.approx({State.CLOSED: 17.32, State.OPEN: 30, State.HALF_OPEN: 3})


def test_shares_are_of_the_window(clock: FakeClock) -> None:
    breaker = CircuitBreaker(trip=slow_rate(1, over=last(10), min_calls=10), slow_after=4, clock=clock)
    breaker.call(lambda: clock.advance(4))
    breaker.acquire().failure(BoomError())
    breaker.acquire().failure(BoomError())
    breaker.acquire().success()
    seen = breaker.snapshot()
    assert (seen.failure_share, seen.slow_share) == (0.5, 0.25)


def test_numbers_only_grow_also_over_a_reset(breaker: CircuitBreaker) -> None:
    before = breaker.snapshot()
    breaker.reset()
    after = breaker.snapshot()
    assert (after.outcomes, after.rejections, after.opens) == (before.outcomes, before.rejections, before.opens)
    assert sum(after.time_in.values()) == pytest.approx(50.32)


def test_quantiles_are_estimated_within_a_bucket() -> None:
    assert Latency((0, 0), 0.0, (1.0,)).p50 is None
    even = Latency((10, 10, 0), 20.0, (1.0, 2.0))
    assert [even.quantile(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert [even.p50, even.p90, even.p99] == pytest.approx([1.0, 1.8, 1.98])
    assert Latency((0, 0, 5), 99.0, (1.0, 2.0)).p99 == 2.0
    with pytest.raises(ValueError, match=r"0\.99 for p99"):
        even.quantile(99)


def test_prometheus_reads_what_the_snapshot_says(breaker: CircuitBreaker) -> None:
    registry = CollectorRegistry()
    registry.register(BreakerCollector([breaker]))
    samples = {
        (sample.name, *(value for name, value in sample.labels.items() if name != "breaker")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.labels["breaker"] == "db"
    }
    assert samples["breaker_calls_total", "success"] == 4
    assert samples["breaker_calls_total", "unreachable"] == 1
    assert samples["breaker_rejections_total", "open"] == 2
    assert samples["breaker_state", "closed"] == 1
    assert samples["breaker_state", "open"] == 0
    assert samples["breaker_state_seconds_total", "open"] == pytest.approx(30)
    assert samples["breaker_opens_total",] == 1
    assert samples["breaker_slow_calls_total",] == 2
    assert samples["breaker_late_results_total",] == 1
    assert samples["breaker_backoff_level",] == 1
    assert samples["breaker_last_success_age_seconds",] == pytest.approx(5)
    assert samples["breaker_last_failure_age_seconds",] == pytest.approx(38)
    assert ("breaker_retry_after_seconds",) not in samples
    assert samples["breaker_call_seconds_bucket", "0.025"] == 1
    assert samples["breaker_call_seconds_bucket", "0.5"] == 2
    assert samples["breaker_call_seconds_bucket", "+Inf"] == samples["breaker_call_seconds_count",] == 4
    assert samples["breaker_call_seconds_sum",] == pytest.approx(8.32)


def test_opentelemetry_reads_what_the_snapshot_says(breaker: CircuitBreaker) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    instrument(provider.get_meter("test"), [breaker])
    data = reader.get_metrics_data()
    assert data is not None
    points: dict[tuple[str, ...], float] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            assert isinstance(point, NumberDataPoint)
            labels = (str(value) for name, value in (point.attributes or {}).items() if name != "breaker")
            points[metric.name, *labels] = point.value
    provider.shutdown()
    assert points["breaker.calls", "success"] == 4
    assert points["breaker.rejections", "probe_limit"] == 1
    assert points["breaker.state", "closed"] == 1
    assert points["breaker.state.time", "half_open"] == pytest.approx(3)
    assert points["breaker.opens",] == 1
    assert points["breaker.call.quantile", "0.5"] == pytest.approx(0.5)
    assert ("breaker.window.failure_ratio",) not in points


def test_exporters_walk_the_breakers_anew_each_time(clock: FakeClock) -> None:
    breakers: list[CircuitBreaker] = []
    registry = CollectorRegistry()
    registry.register(BreakerCollector(breakers))
    assert b'breaker="later"' not in generate_latest(registry)
    breakers.append(CircuitBreaker("later", clock=clock))
    assert b'breaker_state{breaker="later",state="closed"} 1.0' in generate_latest(registry)
