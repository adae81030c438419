"""The circuit breaker beside circuitbreaker, pybreaker, nopanic and interlock-cb: nanoseconds per call on each path.

Every round runs every subject once, one after the other and each time in another order, so that a noisy machine
disturbs all alike. Paths of one thread are measured in processor time, which other programs on the machine do not add
to; the path of many threads in wall time, because waiting for a lock is what it is about. The wrapped function does
nothing, so a figure is nearly all breaker.

Run it by `make bench ARGS=breaker`. It measures in this interpreter and in Python 3.11 and 3.13, if they are found;
`--quick` takes a third of the rounds.
"""

import argparse
import asyncio
import gc
import inspect
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import circuitbreaker
import interlock
import nopanic
import pybreaker

from palaver.breaker import (
    BreakerRegistry,
    CircuitBreaker,
    consecutive,
    failure_rate,
    seconds,
    slow_rate,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "breaker.json"
VERSIONS = ("3.11", "3.13")
CALLS, THREADS, ROUNDS = 10_000, 8, 15
OURS = "palaver"
# Path, peer, and the most that our time may be of the peer's.
BARS = (
    ("success", "nopanic", 0.65),
    ("success", "interlock", 0.16),
    ("success", "circuitbreaker", 1.2),
    ("async success", "nopanic", 0.65),
    ("async success", "interlock", 0.16),
    ("rejected", "circuitbreaker", 0.9),
    ("rejected", "nopanic", 0.35),
    ("async rejected", "circuitbreaker", 0.9),
    ("async rejected", "nopanic", 0.35),
    ("success, 8 threads", "nopanic", 0.65),
    ("window of 600 s", "window of 60 s", 1.05),
)
# The peers publish no types.
Peer = Any
Figures = dict[str, list[float]]


class DownError(Exception):
    """What the wrapped function raises on the paths of failure."""


def work() -> None:
    """Do nothing."""


async def work_async() -> None:
    """Do nothing."""


def fail() -> None:
    """Raise."""
    raise DownError


# --- subjects: a function under each breaker. Made anew for every round, and warmed before the clock starts

NEVER = 10**9
Subject = Callable[[], Callable[[], Any]]


def ours(
    function: Callable[[], object], window: float = 60, clock: Callable[[], float] = time.monotonic
) -> Callable[[], Any]:
    """Guard with everything that a call can touch: both rates over time, a streak, a limit for slow calls."""
    over = seconds(window)
    trip = failure_rate(1.0, over=over, min_calls=NEVER) | slow_rate(1.0, over=over, min_calls=NEVER)
    breaker = CircuitBreaker("bench", trip=trip | consecutive(NEVER), slow_after=60, clock=clock)
    breaker.listen(lambda transition: None)  # noqa: ARG005  # somebody listens, as in real use
    return breaker(function)


def closed(function: Callable[[], object]) -> dict[str, Subject]:
    """`function` under closed breakers that never open. Peers as they come; interlock keeps the last 100 calls."""
    large: Peer = interlock.Config(minimum_number_of_calls=10 * CALLS, window_size=10 * CALLS)
    default: Peer = interlock.Config()
    config = large if function is fail else default
    subjects: dict[str, Subject] = {
        "bare": lambda: function,
        OURS: lambda: ours(function),
        "circuitbreaker": lambda: circuitbreaker.CircuitBreaker(failure_threshold=NEVER, name="bench")(function),
        "nopanic": lambda: nopanic.CircuitBreaker(min_calls=NEVER)(function),
        "nopanic that watches slow calls": lambda: nopanic.CircuitBreaker(min_calls=NEVER, slow_call_duration=60.0)(
            function
        ),
        "interlock": lambda: interlock.CircuitBreaker(name="bench", config=config)(function),
    }
    if not inspect.iscoroutinefunction(function):
        subjects["pybreaker"] = lambda: pybreaker.CircuitBreaker(fail_max=NEVER)(function)
    return subjects


def opened(function: Callable[[], object]) -> dict[str, Subject]:
    """`function` under breakers that reject it."""

    def palaver() -> Callable[[], Any]:
        breaker = CircuitBreaker("bench", failure_threshold=1, open_for=3600)
        breaker.acquire().failure(DownError())
        return breaker(function)

    def peer(breaker: Peer, error: type[Exception] = DownError) -> Callable[[], Any]:
        try:
            breaker(fail)()
        except error:  # pybreaker replaces the exception on the call that opens
            pass
        guarded: Callable[[], Any] = breaker(function)
        return guarded

    config: Peer = interlock.Config(minimum_number_of_calls=1, wait_duration_in_open=3600.0)
    subjects: dict[str, Subject] = {
        OURS: palaver,
        "circuitbreaker": lambda: peer(circuitbreaker.CircuitBreaker(failure_threshold=1, recovery_timeout=3600)),
        "nopanic": lambda: peer(nopanic.CircuitBreaker(min_calls=1, reset_timeout=3600.0)),
        "interlock": lambda: peer(interlock.CircuitBreaker(name="bench", config=config)),
    }
    if not inspect.iscoroutinefunction(function):
        on = pybreaker.CircuitBreakerError
        subjects["pybreaker"] = lambda: peer(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=3600), on)
    return subjects


def windows() -> dict[str, Subject]:
    """Ours over two lengths, on a clock that moves 5 ms with each reading, so that slices turn and are forgotten."""

    def over(window: float) -> Subject:
        ticks = itertools.count()
        return lambda: ours(work, window, clock=lambda: next(ticks) * 0.005)

    return {f"window of {length} s": over(length) for length in (60, 600)}


# --- runs: seconds for so many calls


def plainly(function: Callable[[], Any], calls: int) -> float:
    began = time.thread_time_ns()
    for _ in repeat(None, calls):
        function()
    return (time.thread_time_ns() - began) / calls


def failing(function: Callable[[], Any], calls: int) -> float:
    began = time.thread_time_ns()
    for _ in repeat(None, calls):
        try:
            function()
        except Exception:  # noqa: BLE001  # each peer has an exception of its own; all are wanted
            pass
    return (time.thread_time_ns() - began) / calls


def awaited(function: Callable[[], Any], calls: int) -> float:
    async def loop() -> float:
        began = time.thread_time_ns()
        for _ in repeat(None, calls):
            await function()
        return (time.thread_time_ns() - began) / calls

    return asyncio.run(loop())


def awaited_failing(function: Callable[[], Any], calls: int) -> float:
    async def loop() -> float:
        began = time.thread_time_ns()
        for _ in repeat(None, calls):
            try:
                await function()
            except Exception:  # noqa: BLE001  # as above
                pass
        return (time.thread_time_ns() - began) / calls

    return asyncio.run(loop())


def in_threads(function: Callable[[], Any], calls: int) -> float:
    """Wall time per call of all threads together."""
    barrier = threading.Barrier(THREADS + 1)

    def run() -> None:
        barrier.wait()
        for _ in repeat(None, calls // THREADS):
            function()
        barrier.wait()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter_ns()
    barrier.wait()
    elapsed = time.perf_counter_ns() - began
    for thread in threads:
        thread.join()
    return elapsed / calls


def interleave(subjects: dict[str, Subject], run: Callable[[Callable[[], Any], int], float], rounds: int) -> Figures:
    """Nanoseconds per call of every subject in every round."""
    figures: Figures = {name: [] for name in subjects}
    order = list(subjects)
    for turn in range(rounds):
        at = turn % len(order)
        for name in order[at:] + order[:at]:
            function = subjects[name]()
            run(function, CALLS // 10)
            gc.collect()
            gc.disable()
            figures[name].append(round(run(function, CALLS), 1))
            gc.enable()
    return figures


def memory() -> dict[str, float]:
    """KiB of a breaker: new, and after 100,000 calls; and MiB of a registry of 10,000."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    breakers = [CircuitBreaker("bench") for _ in range(1000)]
    new = (tracemalloc.get_traced_memory()[0] - before) / 1000 / 1024
    guarded = breakers[0](work)
    guarded()
    before = tracemalloc.get_traced_memory()[0]
    for _ in repeat(None, 100_000):
        guarded()
    grown = (tracemalloc.get_traced_memory()[0] - before) / 1024
    before = tracemalloc.get_traced_memory()[0]
    registry: BreakerRegistry[str] = BreakerRegistry(max_keys=10_000)
    for number in range(10_000):
        registry.get(f"host{number}.example:443").call(work)
    many = (tracemalloc.get_traced_memory()[0] - before) / 2**20
    tracemalloc.stop()
    return {"new breaker, KiB": new, "growth over 100,000 calls, KiB": grown, "10,000 used breakers, MiB": many}


def measure(rounds: int) -> dict[str, Any]:
    """Run every path in this interpreter."""
    paths: dict[str, Figures] = {
        "success": interleave(closed(work), plainly, rounds),
        "async success": interleave(closed(work_async), awaited, rounds),
        "failure": interleave(closed(fail), failing, rounds),
        "rejected": interleave(opened(work), failing, rounds),
        "async rejected": interleave(opened(work_async), awaited_failing, rounds),
        "success, 8 threads": interleave(closed(work), in_threads, rounds),
        "window of 600 s": interleave(windows(), plainly, 2 * rounds),
    }
    return {"python": platform.python_version(), "calls": CALLS, "ns per call": paths, "memory": memory()}


# --- the report


def interpreters() -> list[str]:
    """This one, and one of each version that is found on the path or among pyenv's."""
    found = {platform.python_version().rpartition(".")[0]: sys.executable}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))]
        for candidate in filter(None, candidates):
            if version not in found and runs(candidate):
                found[version] = candidate
    return list(found.values())


def runs(python: str) -> bool:
    """Whether there is an interpreter; a shim may be on the path with nothing behind it."""
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def elsewhere(python: str, rounds: int) -> dict[str, Any]:
    """Measure in another interpreter. The peers are pure Python, so it borrows them from this one."""
    path = os.pathsep.join([str(ROOT / "src"), sysconfig.get_path("purelib")])
    command = [python, __file__, "--measure", "--rounds", str(rounds)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report(result: dict[str, Any]) -> Iterator[str]:
    """Tables for people: figures as median and minimum, then every bar."""
    yield f"\nPython {result['python']}, ns per call: median (minimum)"
    paths: dict[str, Figures] = result["ns per call"]
    for path, figures in paths.items():
        yield f"  {path}"
        for name, ns in sorted(figures.items(), key=lambda item: median(item[1])):
            yield f"    {name:32} {median(ns):8.0f} ({min(ns):.0f})"
    yield "  memory: " + ", ".join(f"{name} {value:.1f}" for name, value in result["memory"].items())
    yield "  bars, as ratios of medians (of minima)"
    for path, peer, bar in BARS:
        figures = paths[path]
        mine = figures[path if path in figures else OURS]
        ratio = median(mine) / median(figures[peer])
        least = min(mine) / min(figures[peer])
        verdict = "met" if ratio <= bar else "MISSED"
        yield f"    {path:20} / {peer:16} {ratio:5.2f} ({least:.2f}), at most {bar:.2f}: {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="only in this interpreter, and print JSON")
    parser.add_argument("--quick", action="store_true", help="a third of the rounds, and keep no result")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    rounds: int = args.rounds // 3 if args.quick else args.rounds
    if args.measure:
        json.dump(measure(rounds), sys.stdout)
        return
    results = [elsewhere(python, rounds) for python in interpreters()]
    for result in results:
        print(*report(result), sep="\n")
    if not args.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
