"""Prometheus metrics, read from plain counters when somebody asks. Nothing here is on a hot path.

Refuses to do: count; palaver.server.stats, the engine and the log do. Invariants: one table names every metric, its
kind, its labels and its meaning; the reference page is made from it; no label has a value that a user can choose.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from palaver import __version__
from palaver.chat.errors import CLOSES, ERRORS
from palaver.chat.requests import TYPES
from palaver.server.http.services import Services
from palaver.server.log import Histogram
from palaver.server.reviews.budget import NANODOLLARS
from palaver.server.reviews.owner import ENDINGS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Label value and number. No value where there is no label, several where there are several labels.
FRAME_TYPES = (
    "hello", "ack", "error", "message", "presence", "typing", "deleted", "notice", "ping", "evaluation",
)  # fmt: skip
_RFC_CLOSES = (1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
_CLOSE_CODES = (*map(str, _RFC_CLOSES), *map(str, CLOSES), "other")

Samples = Iterable[tuple[str | tuple[str, ...], float]]


class Row(NamedTuple):
    """One metric: a counter or a gauge, or a histogram without labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Services], Samples | Histogram]
    labels: tuple[str, ...] = ()


def _one(read: Callable[[Services], float]) -> Callable[[Services], Samples]:
    return lambda services: (((), read(services)),)


def _all(names: Iterable[str], read: Callable[[Services], Mapping[str, float]]) -> Callable[[Services], Samples]:
    """Known label values from the start, at 0, so that a first increase can be seen."""
    zeros = dict.fromkeys(names, 0.0)
    return lambda services: tuple((zeros | dict(read(services))).items())


def _counts(what: str) -> Callable[[Services], dict[str, float]]:
    return lambda services: {
        which: count for (kind, which), count in services.engine.state.counts.items() if kind == what
    }


def _requests(services: Services) -> Samples:
    asked = services.engine.state.requests
    return tuple((name, asked[kind]) for name, kind in TYPES.items())


def _errors(services: Services) -> dict[str, float]:
    errors = _counts("errors")(services)
    errors["internal"] = errors.get("internal", 0) + services.shell.stats.faults_told
    return errors


def _frames(services: Services) -> Samples:
    """By `type`: the engine counts by kind of reply, and has refusals by code; errors of faults are the shell's."""
    frames = dict.fromkeys(FRAME_TYPES, 0.0)
    for kind, count in services.engine.state.frames.items():
        frames[str(kind.__struct_config__.tag)] += count
    frames["error"] += sum(_errors(services).values())
    frames["evaluation"] += services.shell.stats.evaluation_frames
    return tuple(frames.items())


def _closes(services: Services) -> Samples:
    """A client may close with any code; those without a meaning here are one value of the label."""
    stats, closes = services.shell.stats, dict.fromkeys(product(_CLOSE_CODES, ("server", "client")), 0.0)
    for code, count in stats.closed.items():
        known = str(code) if str(code) in _CLOSE_CODES else "other"
        by_client = stats.closed_by_client[code]
        closes[known, "client"] += by_client
        closes[known, "server"] += count - by_client
    return tuple(closes.items())


def _drain(services: Services) -> dict[str, float]:
    stats = services.shell.stats
    return (
        {}
        if stats.drain_began is None
        else {"left": stats.connections, "gone": max(0, stats.drain_connections - stats.connections)}
    )


def _since(began: float | None, services: Services) -> float:
    return 0.0 if began is None else services.shell.clock() - began


def _since_success(services: Services) -> Samples:
    last = services.canary.last_success
    return () if last is None else (((), _since(last, services)),)


def _guests(services: Services) -> float:
    return sum(person.guest for person in services.engine.state.people)


def _members(services: Services) -> float:
    return sum(len(room.members) for room in services.engine.state.rooms.values())


METRICS: tuple[Row, ...] = (
    Row("build_info", "gauge", "Always 1.", lambda _: ((__version__, 1),), ("version",)),
    Row("python_info", "gauge", "Always 1.", lambda _: ((platform.python_version(), 1),),
        ("version",)),
    Row("ready", "gauge", "1 while the server takes new connections, 0 while it shuts down.",
        _one(lambda s: float(s.running is not None and s.running.ready))),
    # connections
    Row("connections", "gauge", "Open WebSocket connections.", _one(lambda s: s.shell.stats.connections)),
    Row("connections_opened", "counter", "WebSocket connections since the start.",
        _one(lambda s: s.shell.stats.opened)),
    Row("connections_refused", "counter", "First requests that got no connection, by reason.",
        _all(("crowded", "handshake", "head_too_large", "too_slow"), lambda s: dict(s.shell.stats.refused)),
        ("reason",)),
    Row("handshakes_unfinished", "gauge", "Connections that have not sent a whole request yet.",
        _one(lambda s: 0 if s.running is None else s.running.unfinished)),
    Row("handshake_seconds", "histogram",
        "Time from taking a connection to having answered its handshake; of those that became WebSockets.",
        lambda s: s.shell.stats.handshake_seconds),
    Row("http_connections", "counter", "Connections handed to the HTTP side.",
        _one(lambda s: s.shell.stats.http_connections)),
    Row("closes", "counter",
        "Ended WebSocket connections, by close code and by who began it; 1006 is none: the client was gone.",
        _closes, ("code", "side")),
    Row("drain_connections", "gauge", "During the shutdown: connections that were there when it began, gone or left.",
        _all(("gone", "left"), _drain), ("state",)),
    Row("drain_seconds", "gauge", "How long the shutdown has been going on; 0 before it.",
        _one(lambda s: _since(s.shell.stats.drain_began, s))),
    # people and rooms
    Row("users", "gauge", "Users that are present, or were until a moment ago.",
        _one(lambda s: len(s.engine.state.people))),
    Row("guests", "gauge", "Of these, guests.", _one(_guests)),
    Row("rooms", "gauge", "Rooms that somebody is in.", _one(lambda s: len(s.engine.state.rooms))),
    Row("members", "gauge", "Users in rooms: a user in two rooms counts twice.", _one(_members)),
    Row("subscriptions", "gauge", "Connections in rooms: a connection in two rooms counts twice.",
        _one(lambda s: s.shell.stats.subscriptions)),
    Row("recovered", "counter", "Joins by what the reader had missed: nothing asked, everything given, a gap.",
        _all(("none", "full", "gap"), _counts("recovered")), ("result",)),
    Row("replayed", "counter", "Messages in the answers to these joins.",
        _all(("none", "full", "gap"), _counts("replayed")), ("result",)),
    # traffic
    Row("requests", "counter", "Requests of clients that were understood, by kind.", _requests, ("type",)),
    Row("frames_received", "counter", "Frames from clients, by kind.",
        lambda s: (("text", s.shell.stats.text_in), ("binary", s.shell.stats.binary_in),
                   ("control", s.shell.stats.control_in)), ("kind",)),
    Row("fast_path_messages", "counter", "Messages from clients that took the fast path; see the setting `fast-path`.",
        _one(lambda s: s.shell.stats.fast_in)),
    Row("frames_sent", "counter",
        "Frames made for clients, by type. One for a whole room counts once; how often it went out is in deliveries.",
        _frames, ("type",)),
    Row("received_bytes", "counter", "Bytes from clients.", _one(lambda s: s.shell.stats.bytes_in)),
    Row("sent_bytes", "counter", "Bytes to clients.", _one(lambda s: s.shell.stats.bytes_out)),
    Row("writes", "counter", "Writes to sockets; many frames go in one.", _one(lambda s: s.shell.stats.writes)),
    Row("broadcasts", "counter", "Frames for whole rooms.", _one(lambda s: s.shell.stats.broadcasts)),
    Row("deliveries", "counter", "Frames for whole rooms times their connections.",
        _one(lambda s: s.shell.stats.deliveries)),
    Row("sends", "counter", "Messages by what became of them.",
        _all(("stored", "duplicate", "unavailable"), lambda s: s.engine.state.sends), ("result",)),
    Row("errors", "counter", "Errors sent to clients, by code.", _all(ERRORS, _errors), ("code",)),
    Row("rate_limited", "counter", "Requests over a limit, by whose it is.",
        _all(("user", "connection", "room", "ip"), _counts("rate_limited")), ("scope",)),
    Row("delivery_seconds", "histogram",
        "Time from taking a message to having stored and broadcast it; of each commit the one that waited longest.",
        lambda s: s.shell.stats.delivery_seconds),
    # heartbeats
    Row("heartbeats", "counter", "Pings of the server by what became of them; who misses one is closed with 4102.",
        _all(("answered", "missed"), _counts("heartbeats")), ("result",)),
    Row("ghosts_reaped", "counter", "Clients that were gone without a word until the heartbeat found out.",
        _one(lambda s: s.engine.state.counts["heartbeats", "missed"])),
    Row("heartbeat_seconds", "counter", "Time until pings were answered, summed up.",
        _one(lambda s: s.engine.state.heartbeat_seconds)),
    # slow readers
    Row("waiting_bytes", "gauge", "Bytes that wait for all readers that lag.",
        _one(lambda s: sum(s.shell.fanout.lagging.waiting_bytes))),
    Row("waiting_max_bytes", "gauge", "Bytes that wait for the slowest of them.",
        _one(lambda s: max(s.shell.fanout.lagging.waiting_bytes, default=0))),
    Row("lagging", "gauge", "Connections that read too slowly just now.", _one(lambda s: s.shell.stats.lagging)),
    Row("lagged", "counter", "Times a connection began to lag.", _one(lambda s: s.shell.stats.lagging_total)),
    Row("typing_dropped", "counter", "Typing frames dropped for slow readers.",
        _one(lambda s: s.shell.stats.typing_dropped)),
    Row("presence_merged", "counter", "Presence frames merged for slow readers.",
        _one(lambda s: s.shell.stats.presence_merged)),
    Row("slowed_down", "counter", "Times that reading from a connection paused because it sent too fast.",
        _one(lambda s: s.shell.stats.slowed_down)),
    # identity
    Row("authentications", "gauge", "Tokens being verified.", _one(lambda s: s.shell.stats.authentications)),
    Row("verify_seconds", "histogram", "Time to verify a token, with the fetch of keys where one was needed.",
        lambda s: s.shell.stats.verify_seconds),
    Row("key_fetches", "counter", "Fetches of keys from the JWKS URL, by result.",
        lambda s: () if s.keys is None else (
            ("failed", s.keys.failures), ("fetched", s.keys.fetches - s.keys.failures)), ("result",)),
    # the log
    Row("log_commit_seconds", "histogram", "Time from taking a batch of jobs to its last result.",
        lambda s: s.log.statistics.commit_seconds),
    Row("log_batch_jobs", "histogram", "Jobs in one commit.", lambda s: s.log.statistics.batch_jobs),
    Row("log_queued_jobs", "gauge", "Jobs that wait for the log.", _one(lambda s: s.log.statistics.queued_jobs)),
    Row("log_stored", "counter", "Messages stored.", _one(lambda s: s.log.statistics.stored)),
    Row("log_duplicates", "counter", "Messages that were stored already.", _one(lambda s: s.log.statistics.duplicates)),
    Row("log_removed", "counter", "Messages removed because they were too old, or too many in their room.",
        _one(lambda s: s.log.statistics.removed)),
    Row("log_failed", "counter", "Jobs of which nothing was done.", _one(lambda s: s.log.statistics.failed)),
    Row("log_refused", "counter", "Of these, jobs that found the queue full.",
        _one(lambda s: s.log.statistics.refused)),
    Row("log_tending_failed", "counter", "Times that moving messages to their tables or removing old ones failed.",
        _one(lambda s: s.log.statistics.tending_failed)),
    Row("log_reopened", "counter", "Times that the store was opened anew after an error.",
        _one(lambda s: s.log.statistics.reopened)),
    Row("log_wal_bytes", "gauge", "Size of the write-ahead log.", _one(lambda s: s.log.statistics.wal_bytes)),
    # models
    Row("evaluations", "gauge", "Evaluations that are not finished, at work or waiting for their turn.",
        _all(("working", "waiting"), lambda s: {} if s.reviews is None else {
            "working": s.reviews.working, "waiting": s.reviews.waiting}), ("what",)),
    Row("evaluations_ended", "counter", "Evaluations by how they ended.",
        _all(ENDINGS, lambda s: {} if s.reviews is None else s.reviews.ended), ("state",)),
    Row("evaluations_spent_dollars", "counter", "What models have cost, by the prices of the models file.",
        _one(lambda s: 0.0 if s.reviews is None else s.reviews.spent_nanodollars / NANODOLLARS)),
    # the process
    Row("loop_lag_seconds", "gauge", "How late the last tick was.", _one(lambda s: s.shell.stats.loop_lag_seconds)),
    Row("loop_lag_max_seconds", "gauge", "The longest of these since the start.",
        _one(lambda s: s.shell.stats.loop_lag_max_seconds)),
    Row("stalls", "counter", "Times that the server itself stood still for long.",
        _one(lambda s: s.shell.stats.stalls)),
    Row("faults", "counter", "Mistakes of the server, each with a trace in its log.",
        _one(lambda s: s.shell.stats.faults)),
    Row("tasks", "gauge", "Tasks of the event loop.", _one(lambda _: len(asyncio.all_tasks()))),
    Row("canary_flights", "counter", "Canary messages by result.",
        lambda s: (("lost", s.canary.failures), ("home", s.canary.flights - s.canary.failures)), ("result",)),
    Row("canary_seconds", "gauge", "How long the last canary took.",
        lambda s: () if s.canary.last is None else (((), s.canary.last.seconds),)),
    Row("canary_last_success_seconds", "gauge", "How long ago a canary came home.", _since_success),
)  # fmt: skip


class ServerMetrics:
    """All metrics of one server, as the page that Prometheus reads."""

    def __init__(self, services: Services) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Table(services))
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._registry = registry

    def page(self) -> bytes:
        """The text form, version 0.0.4."""
        return generate_latest(self._registry)


class _Table(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Metric]:
        return ()  # values are read when asked for, not when registered

    def collect(self) -> Iterable[Metric]:
        for row in METRICS:
            yield _family(row, row.read(self._services))


def _family(row: Row, found: Samples | Histogram) -> Metric:
    name = f"palaver_{row.name}"
    if isinstance(found, Histogram):
        histogram = HistogramMetricFamily(name, row.help)
        histogram.add_metric([], _buckets(found), found.total)
        return histogram
    family = (CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily)(name, row.help, labels=row.labels)
    for value, number in found:
        family.add_metric([value] if isinstance(value, str) else list(value), number)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    bounds = [*map(str, map(float, histogram.bounds)), "+Inf"]
    sums, total = [], 0
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        sums.append((bound, float(total)))
    return sums
