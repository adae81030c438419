"""What happens when many want one lock: how soon the next has it, who starves, and what it costs the server.

Workers are processes, forked from this one, or tasks of this one's loop.
"""

import asyncio
import functools
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio

from benchmarks.lock_parts.subjects import ASYNC_WAITING, OURS, WAITING, WAKE_FLOOR, AsyncMake, Make

HOLD_SECONDS = 0.001
SETTLE_SECONDS = 0.12
TTL_SECONDS = 20
FORK = multiprocessing.get_context("fork")
Shared = Any
"""What multiprocessing shares: its types belong to a context."""
Held = tuple[float, float]
"""When an acquire returned and when the release was called."""


def hand_offs(released: float, held: list[Held]) -> list[float]:
    """From each call of release to the return of the next acquire."""
    held = sorted(held)
    return [after[0] - before for before, after in zip([released, *(end for _, end in held[:-1])], held, strict=True)]


def _wait_until_they_wait(client: redis.Redis, waiters: int) -> None:
    until = time.monotonic() + SETTLE_SECONDS  # those that poll are never seen waiting
    while client.info("clients")["blocked_clients"] < waiters and time.monotonic() < until:
        time.sleep(0.001)


def drain(kind: str, port: int, waiters: int, rounds: int) -> list[float]:
    """Everybody waits, the holder releases, and each passes it on: all hand-offs of all rounds, in seconds."""
    name = f"drain-{kind}-{waiters}"
    begin, results = FORK.Barrier(waiters + 1), FORK.SimpleQueue()
    arguments = (WAITING[kind], port, name, begin, results, rounds)
    workers = [FORK.Process(target=_drained, args=arguments, daemon=True) for _ in range(waiters)]
    for worker in workers:
        worker.start()
    found: list[float] = []
    with redis.Redis(port=port) as client:
        holder = WAITING[kind](client, name, TTL_SECONDS)
        if kind == WAKE_FLOOR:
            holder.release()
        for _ in range(rounds):
            holder.acquire()
            begin.wait()
            _wait_until_they_wait(client, waiters)
            released = time.monotonic()
            holder.release()
            found += hand_offs(released, [results.get() for _ in range(waiters)])
    for worker in workers:
        worker.join()
    return found


def _drained(make: Make, port: int, name: str, begin: Shared, results: Shared, rounds: int) -> None:
    with redis.Redis(port=port) as client:
        lock = make(client, name, TTL_SECONDS)
        for _ in range(rounds):
            begin.wait()
            lock.acquire()
            acquired = time.monotonic()
            time.sleep(HOLD_SECONDS)
            released = time.monotonic()
            lock.release()
            results.put((acquired, released))


async def drain_async(kind: str, port: int, waiters: int, rounds: int) -> list[float]:
    """The same with tasks."""
    make: AsyncMake = ASYNC_WAITING[kind]
    name = f"adrain-{kind}-{waiters}"
    found: list[float] = []
    async with redis.asyncio.Redis(port=port, max_connections=500) as client:
        with redis.Redis(port=port) as looking:
            holder = make(client, name, TTL_SECONDS)
            if kind == WAKE_FLOOR:
                await holder.release()

            async def work() -> Held:
                lock = make(client, name, TTL_SECONDS)
                await lock.acquire()
                acquired = time.monotonic()
                await asyncio.sleep(HOLD_SECONDS)
                released = time.monotonic()
                await lock.release()
                return acquired, released

            for _ in range(rounds):
                await holder.acquire()
                tasks = [asyncio.create_task(work()) for _ in range(waiters)]
                await asyncio.to_thread(_wait_until_they_wait, looking, waiters)
                released = time.monotonic()
                await holder.release()
                found += hand_offs(released, await asyncio.gather(*tasks))
    return found


def loop(kind: str, port: int, workers: int, seconds: float, hold: float) -> dict[str, float]:
    """Everybody acquires, holds and releases again and again: who got how much, and how long the longest wait was."""
    name = f"loop-{kind}-{workers}-{seconds}"
    begin, results = FORK.Barrier(workers + 1), FORK.SimpleQueue()
    arguments = (WAITING[kind], port, name, begin, results, seconds, hold)
    processes = [FORK.Process(target=_looped, args=arguments, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    if kind == WAKE_FLOOR:
        with redis.Redis(port=port) as client:
            WAITING[kind](client, name, TTL_SECONDS).release()
    begin.wait()
    counted = [results.get() for _ in range(workers)]
    for process in processes:
        process.join()
    counts = [count for count, _ in counted]
    return {
        "acquired/s": sum(counts) / seconds,
        "Jain": sum(counts) ** 2 / (workers * sum(count**2 for count in counts)),
        "starved": counts.count(0),
        "longest wait ms": max(longest for _, longest in counted) * 1000,
        "acquired": sum(counts),
    }


def _looped(make: Make, port: int, name: str, begin: Shared, results: Shared, seconds: float, hold: float) -> None:
    with redis.Redis(port=port) as client:
        lock = make(client, name, TTL_SECONDS)
        begin.wait()
        end = time.monotonic() + seconds
        count, longest = 0, 0.0
        while (asked := time.monotonic()) < end:
            lock.acquire()
            acquired = time.monotonic()
            longest = max(longest, min(acquired, end) - asked)
            count += acquired < end
            time.sleep(hold)
            lock.release()
        results.put((count, longest))


class Watch:
    """Counts the requests that clients send, by MONITOR, without those that scripts make inside the server."""

    def __init__(self, port: int, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self.count = 0
        self._wanted = wanted
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._socket.makefile("r", errors="replace") as lines:
            for line in lines:
                _, _, command = line.partition("] ")
                if command and " lua]" not in line and not command.startswith(_SETTING_UP) and self._wanted(command):
                    self.count += 1

    def stop(self) -> int:
        """How many there were."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        return self.count


_SETTING_UP = ('"CLIENT"', '"HELLO"', '"SELECT"', '"PING"', '"SCRIPT"', '"EVAL"')


def requests_per_acquisition(kind: str, port: int, workers: int, seconds: float) -> float:
    """Requests to the server for each time the lock was had, while `workers` want it."""
    watch = Watch(port)
    acquired = loop(kind, port, workers, seconds, HOLD_SECONDS)["acquired"]
    return watch.stop() / (acquired + workers)  # each has it once more after the time is over


def idle_requests(port: int, seconds: float, waiters: int = 4) -> dict[str, float]:
    """Requests per 5 s of one waiter that waits and waits, after its first 3 s."""
    processes, watches = [], {}
    with redis.Redis(port=port) as client:
        for kind in (OURS, "redis-py", "python-redis-lock", "pottery"):
            name = f"idle-{kind}"
            WAITING[kind](client, name, 300).acquire()
            for _ in range(waiters):
                processes.append(FORK.Process(target=_wait, args=(WAITING[kind], port, name), daemon=True))
                processes[-1].start()
            watches[kind] = name
        time.sleep(3)
        counters = {kind: Watch(port, functools.partial(_speaks_of, name)) for kind, name in watches.items()}
        time.sleep(seconds)
        found = {kind: counter.stop() / waiters / seconds * 5 for kind, counter in counters.items()}
    for process in processes:
        process.kill()
        process.join()
    return found


def _speaks_of(name: str, command: str) -> bool:
    return name in command


def _wait(make: Make, port: int, name: str) -> None:
    with redis.Redis(port=port) as client:
        make(client, name, 300).acquire()
