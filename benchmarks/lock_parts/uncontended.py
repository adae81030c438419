"""What acquiring and releasing costs while nobody else wants the lock, in PINGs of the same client.

Every round times each subject once, a few dozen times in a row, so that a noisy machine disturbs all alike; what
counts is the median over the rounds of the ratio within a round. Client and server have a core each.
"""

import os
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import redis
import redis.asyncio

from benchmarks.lock_parts.subjects import ASYNC_UNCONTENDED, FLOOR, UNCONTENDED, AsyncSubject, Subject

PING = "PING"
TTL_SECONDS = 10
Times = dict[str, list[float]]


def pinned(server_pid: int) -> None:
    """Put the server on one core and this process on another, if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(server_pid, {cores[0]})
        os.sched_setaffinity(0, {cores[1]})


def unpinned(server_pid: int) -> None:
    """Let both run where they like."""
    for pid in (0, server_pid):
        os.sched_setaffinity(pid, range(os.cpu_count() or 1))


def ratios(times: Times) -> dict[str, dict[str, float]]:
    """Microseconds, and the ratios to PING and to the floor, as medians over the rounds."""
    return {
        name: {
            "us": median(rounds) * 1e6,
            "x PING": median(own / ping for own, ping in zip(rounds, times[PING], strict=True)),
            "x floor": median(own / floor for own, floor in zip(rounds, times[FLOOR], strict=True)),
        }
        for name, rounds in times.items()
    }


def _cycle(subject: Subject) -> Callable[[], object]:
    def cycle() -> None:
        subject.acquire()
        subject.release()

    return cycle


def measure(port: int, rounds: int, repeats: int) -> Times:
    """Seconds per cycle in each round, for threads."""
    with redis.Redis(port=port) as client:
        cycles: dict[str, Callable[[], object]] = {PING: client.ping}
        cycles |= {name: _cycle(make(client, f"u-{name}", TTL_SECONDS)) for name, make in UNCONTENDED.items()}
        times: Times = {name: [] for name in cycles}
        for _ in range(rounds):
            for name, cycle in cycles.items():
                began = perf_counter()
                for _ in range(repeats):
                    cycle()
                times[name].append((perf_counter() - began) / repeats)
    return times


def _async_cycle(subject: AsyncSubject) -> Callable[[], Awaitable[object]]:
    async def cycle() -> None:
        await subject.acquire()
        await subject.release()

    return cycle


async def measure_async(port: int, rounds: int, repeats: int) -> Times:
    """Seconds per cycle in each round, for asyncio."""
    async with redis.asyncio.Redis(port=port) as client:
        cycles: dict[str, Callable[[], Awaitable[object]]] = {PING: client.ping}
        for name, make in ASYNC_UNCONTENDED.items():
            cycles[name] = _async_cycle(make(client, f"ua-{name}", TTL_SECONDS))
        times: Times = {name: [] for name in cycles}
        for _ in range(rounds):
            for name, cycle in cycles.items():
                began = perf_counter()
                for _ in range(repeats):
                    await cycle()
                times[name].append((perf_counter() - began) / repeats)
    return times
