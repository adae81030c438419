"""OpenTelemetry instruments over breakers. Needs `opentelemetry-api`.

All of them are observable: the SDK asks when it collects, and a call costs nothing more than without.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.states import State
from palaver.breaker.tally import Snapshot

_Labels = Mapping[str, str]
_Values = Callable[[Snapshot], Iterable[tuple[float | None, _Labels]]]


def instrument(meter: Meter, breakers: Iterable[CircuitBreaker]) -> None:
    """Create the instruments on `meter`.

    Args:
        meter: Where they belong.
        breakers: A `BreakerRegistry`, or any iterable that can be walked at every collection. Names should be unique.
    """

    def callback(values: _Values) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for breaker in breakers:
                snapshot = breaker.snapshot()
                for value, labels in values(snapshot):
                    if value is not None:
                        yield Observation(value, {"breaker": snapshot.name or "", **labels})

        return observe

    for name, unit, text, values in COUNTERS:
        meter.create_observable_counter(name, [callback(values)], unit, text)
    for name, unit, text, values in GAUGES:
        meter.create_observable_gauge(name, [callback(values)], unit, text)


def _each(label: str, mapping: Callable[[Snapshot], Mapping[Any, float]]) -> _Values:
    return lambda snapshot: [(value, {label: str(key)}) for key, value in mapping(snapshot).items()]


def _one(value: Callable[[Snapshot], float | None]) -> _Values:
    return lambda snapshot: [(value(snapshot), {})]


COUNTERS: tuple[tuple[str, str, str, _Values], ...] = (
    ("breaker.calls", "{call}", "Admitted calls by outcome.", _each("outcome", lambda s: s.outcomes)),
    ("breaker.rejections", "{call}", "Rejected calls by reason.", _each("reason", lambda s: s.rejections)),
    ("breaker.state.time", "s", "Time in each state.", _each("state", lambda s: s.time_in)),
    ("breaker.opens", "{opening}", "How often the circuit opened.", _one(lambda s: s.opens)),
    ("breaker.slow_calls", "{call}", "Calls that were slow.", _one(lambda s: s.slow_calls)),
    ("breaker.hung_calls", "{call}", "Calls in flight for too long.", _one(lambda s: s.hung_calls)),
    ("breaker.late_results", "{call}", "Results of an earlier state or round.", _one(lambda s: s.late_results)),
)

GAUGES: tuple[tuple[str, str, str, _Values], ...] = (
    (
        "breaker.state",
        "1",
        "1 for the state that the circuit is in.",
        lambda s: [(float(s.state is state), {"state": state.value}) for state in State],
    ),
    ("breaker.window.failure_ratio", "1", "Share of failed calls in the window.", _one(lambda s: s.failure_share)),
    ("breaker.window.slow_ratio", "1", "Share of slow calls in the window.", _one(lambda s: s.slow_share)),
    ("breaker.backoff.level", "{opening}", "Openings since it was last stable.", _one(lambda s: s.attempt)),
    ("breaker.retry_after", "s", "Time until a call may be admitted.", _one(lambda s: s.retry_after)),
    (
        "breaker.call.quantile",
        "s",
        "Estimated quantiles of how long successful calls took.",
        lambda s: [(s.latency.quantile(share), {"quantile": str(share)}) for share in (0.5, 0.9, 0.99)],
    ),
)
