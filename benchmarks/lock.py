"""The lock beside redis-py's, python-redis-lock and pottery: `make bench ARGS=lock`, about three minutes.

All run on one server, started for the occasion, in the same run. Compare ratios, not microseconds; every figure that
has a bar is printed with it. Raw results go to results/lock.json.

    make bench ARGS="lock --quick"      # a tenth of it, to see that it works
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.lock_parts import contended, troubles, uncontended  # noqa: E402 - a script has its own folder on the path
from benchmarks.lock_parts.subjects import ASYNC_WAITING, OURS, OURS_RENEWING, PEERS, WAITING, WAKE_FLOOR  # noqa: E402
from palaver.lock.testing import running_server  # noqa: E402 - as above

RESULT = ROOT / "benchmarks" / "results" / "lock.json"
WAITERS = (2, 10, 50)
FAST_ROUNDS = {2: 120, 10: 40, 50: 10}
SLOW_ROUNDS = {2: 12, 10: 3, 50: 1}
Figures = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """A figure that ours must reach."""

    figure: str
    measured: float
    bar: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'met   ' if self.met else 'MISSED'}  {self.figure:<62} {self.measured:9.3f}  {sign} {self.bar:g}"


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    print(f"\n{title}")
    for name, row in rows.items():
        print(f"  {name:<28}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()), flush=True)


def cost(port: int, pid: int, scale: float) -> Figures:
    """One user alone."""
    rounds = max(8, round(120 * scale))
    uncontended.pinned(pid)
    sync = uncontended.ratios(uncontended.measure(port, rounds, 20))
    tasks = uncontended.ratios(asyncio.run(uncontended.measure_async(port, rounds, 20)))
    uncontended.unpinned(pid)
    show("acquire and release, uncontended, threads", sync)
    show("acquire and release, uncontended, asyncio", tasks)
    return {"threads": sync, "asyncio": tasks}


def _row(values: list[float]) -> dict[str, float]:
    return {"p50 ms": quantile(values, 0.5) * 1000, "p99 ms": quantile(values, 0.99) * 1000, "samples": len(values)}


def handing_on(port: int, scale: float) -> Figures:
    """From release to the next acquire."""
    found: Figures = {"processes": {}, "asyncio": {}}
    for waiters in WAITERS:
        fast, slow = (max(1, round(table[waiters] * scale)) for table in (FAST_ROUNDS, SLOW_ROUNDS))
        rounds = {kind: fast if kind in (WAKE_FLOOR, OURS) else slow for kind in WAITING}
        rows = {kind: _row(contended.drain(kind, port, waiters, rounds[kind])) for kind in WAITING}
        tasks = {
            kind: _row(asyncio.run(contended.drain_async(kind, port, waiters, rounds[kind]))) for kind in ASYNC_WAITING
        }
        found["processes"][waiters], found["asyncio"][waiters] = rows, tasks
        show(f"hand-off with {waiters} waiting processes", rows)
        show(f"hand-off with {waiters} waiting tasks", tasks)
    return found


def crowd(port: int, scale: float) -> Figures:
    """Fifty in a loop, and what it costs the server."""
    loops = {kind: contended.loop(kind, port, 50, max(1.0, 4 * scale), 0.002) for kind in WAITING}
    show("50 processes in a loop, each holding it for 2 ms", loops)
    requests = {
        kind: {"requests": contended.requests_per_acquisition(kind, port, 10, max(0.5, 1.5 * scale))}
        for kind in (OURS, *PEERS)
    }
    show("requests per acquisition, 10 processes", requests)
    return {"loop": loops, "requests": requests}


def crashed(port: int, scale: float) -> Figures:
    """Holders are killed. The worst figure counts, so nothing else runs meanwhile."""
    crashes = {kind: troubles.after_a_crash(kind, port, max(2, round(8 * scale))) for kind in (OURS, *PEERS)}
    show("ms after the end of a killed holder's lease", crashes)
    return crashes


def trouble(port: int, scale: float) -> Figures:
    """Pauses and cancellations."""
    stale = troubles.stale_writes(port, max(1, round(20 * scale)), 500)
    show("writes of stopped holders that were applied", {OURS: stale})
    left = asyncio.run(troubles.cancelled(port))
    show("cancelled at every await", left)
    return {"stale": stale, "cancelled": left}


def bars(all_figures: Figures) -> list[Bar]:
    """The product's own bars."""
    found = []
    for face in ("threads", "asyncio"):
        rows = all_figures["uncontended"][face]
        found += [
            Bar(f"{face}: acquire + release with fence, x PING", rows[OURS]["x PING"], 2.5),
            Bar(f"{face}: the same, x two raw round trips", rows[OURS]["x floor"], 1.1),
            Bar(f"{face}: with renewal, x PING", rows[OURS_RENEWING]["x PING"], 2.7),
        ]
    for face, by_waiters in all_figures["hand-off"].items():
        for waiters, rows in by_waiters.items():
            ratio = rows[OURS]["p50 ms"] / rows[WAKE_FLOOR]["p50 ms"]
            found.append(Bar(f"hand-off, {waiters} {face}: p50, x BLPOP floor", ratio, 2.0))
            found.append(Bar(f"hand-off, {waiters} {face}: p99, ms", rows[OURS]["p99 ms"], 8.0))
    looped = all_figures["crowd"]["loop"][OURS]
    trouble = all_figures["trouble"]
    left = sum(row["keys left"] for name, row in trouble["cancelled"].items() if name.startswith(OURS))
    return [
        *found,
        Bar("50 in a loop: Jain index", looped["Jain"], 0.99, at_least=True),
        Bar("50 in a loop: starved", looped["starved"], 0),
        Bar("requests per contended acquisition", all_figures["crowd"]["requests"][OURS]["requests"], 4.0),
        Bar("requests of an idle waiter in 5 s", all_figures["idle"][OURS], 1.0),
        Bar("next holder after a crash, worst, ms after expiry", all_figures["crash"][OURS]["worst"], 50),
        Bar(f"stale fenced writes applied, of {trouble['stale']['attempted']:,}", trouble["stale"]["fenced"], 0),
        Bar("points of cancellation that left a key", left, 0),
    ]


def versions(port: int) -> dict[str, str]:
    with redis.Redis(port=port) as client:
        info = client.info("server")
    packages = ("redis", "hiredis", "python-redis-lock", "pottery")
    return {
        "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}",
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        **{name: version(name) for name in packages},
    }


def main() -> int:
    """Measure everything; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds; keeps no result")
    scale = 0.1 if parser.parse_args().quick else 1.0
    figures: Figures = {}
    with running_server() as server, running_server() as idle_server:
        figures["versions"] = versions(server.port)
        figures["load before"] = os.getloadavg()[0]
        figures["uncontended"] = cost(server.port, server.pid, scale)
        figures["hand-off"] = handing_on(server.port, scale)
        figures["crowd"] = crowd(server.port, scale)
        figures["crash"] = crashed(server.port, scale)

        # What follows does not depend on time, so this runs beside it, on a server of its own.
        def watch_idle() -> None:
            figures["idle"] = contended.idle_requests(idle_server.port, 24.0 if scale == 1.0 else 3.0)

        idle = threading.Thread(target=watch_idle)
        idle.start()
        figures["trouble"] = trouble(server.port, scale)
        idle.join()
    show("requests of one idle waiter in 5 s", {kind: {"requests": count} for kind, count in figures["idle"].items()})
    found = bars(figures)
    print("\nbars")
    for bar in found:
        print(f"  {bar}")
    if scale == 1.0:
        RESULT.parent.mkdir(exist_ok=True)
        kept = figures | {"bars": [asdict(bar) | {"met": bar.met} for bar in found]}
        RESULT.write_text(json.dumps(kept, indent=1, default=lambda value: round(value, 4)) + "\n", encoding="utf-8")
        print(f"\nraw results: {RESULT.relative_to(ROOT)}")
    return 0 if all(bar.met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())
