"""What a crash, a pause and a cancellation leave: how late the next holder is, which stale writes are taken, which
keys stay.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

import redis
import redis.asyncio
from pottery import AIORedlock

from benchmarks.lock_parts.contended import FORK, Shared
from benchmarks.lock_parts.subjects import KEYS, OURS, WAITING, Make
from palaver.lock import DistributedLock, FencedWriter, LockError, StaleFenceError
from palaver.lock import aio as palaver_aio
from palaver.lock.testing import cancel_at

CRASH_TTL_SECONDS = 1
PAUSED_TTL_SECONDS = 0.6


def after_a_crash(kind: str, port: int, times: int) -> dict[str, float]:
    """How many ms after the end of a killed holder's lease the next has the lock: the median and the worst."""
    late: list[float] = []
    threads = []
    for number in range(times):
        thread = threading.Thread(target=_one_crash, args=(kind, port, f"crash-{kind}-{number}", late))
        thread.start()
        threads.append(thread)
        time.sleep(0.11)
    for thread in threads:
        thread.join()
    return {"median": median(late) * 1000, "worst": max(late) * 1000}


def _one_crash(kind: str, port: int, name: str, late: list[float]) -> None:
    acquired = FORK.Event()
    holder = FORK.Process(target=_hold, args=(WAITING[kind], port, name, acquired), daemon=True)
    holder.start()
    acquired.wait()
    with redis.Redis(port=port) as client:
        ends = time.monotonic() + client.pttl(KEYS[kind](name)) / 1000
        holder.kill()
        WAITING[kind](client, name, CRASH_TTL_SECONDS).acquire()
        late.append(time.monotonic() - ends)
    holder.join()


def _hold(make: Make, port: int, name: str, acquired: Shared) -> None:
    with redis.Redis(port=port) as client:
        make(client, name, CRASH_TTL_SECONDS).acquire()
        acquired.set()
        time.sleep(60)


def stale_writes(port: int, pauses: int, leases: int) -> dict[str, int]:
    """A process holds many leases and is stopped beyond their end; others acquire; it goes on and writes everything.

    `fenced` is what was applied of the writes that carry a fence, half of them before the new holder has written
    anything; `checked` the same through the lease, which looks at its clock first; `plain` without any fence.
    """
    here, there = FORK.Pipe()
    process = FORK.Process(target=_paused, args=(port, there, pauses, leases), daemon=True)
    process.start()
    assert process.pid is not None
    applied = {"attempted": 0, "fenced": 0, "checked": 0, "plain": 0}
    with redis.Redis(port=port) as client:
        for _ in range(pauses):
            here.recv()  # it holds all of them
            os.kill(process.pid, signal.SIGSTOP)
            while any(client.exists(_name(number)) for number in (0, leases - 1)):
                time.sleep(0.01)
            for number in range(leases):
                lease = DistributedLock(client, _name(number)).acquire()
                if number % 2:
                    lease.fenced.set(f"fenced-{number}", "new")
                lease.release()
            os.kill(process.pid, signal.SIGCONT)
            here.send("write")
            for kind, count in here.recv().items():
                applied[kind] += count
            applied["attempted"] += leases
    process.join()
    return applied


def _name(number: int) -> str:
    return f"paused-{number}"


def _paused(port: int, pipe: Shared, pauses: int, leases: int) -> None:
    with redis.Redis(port=port) as client:
        for _ in range(pauses):
            held = [
                DistributedLock(client, _name(number), ttl=PAUSED_TTL_SECONDS).acquire() for number in range(leases)
            ]
            pipe.send("holding")
            pipe.recv()
            applied = {"fenced": 0, "checked": 0, "plain": 0}
            for number, lease in enumerate(held):
                writer = FencedWriter(client, lease.fence, lock_name=lease.name)
                for kind, write in (("fenced", writer.set), ("checked", lease.fenced.set), ("plain", client.set)):
                    try:
                        write(f"{kind}-{number}", "stale")
                        applied[kind] += 1
                    except (StaleFenceError, LockError):
                        continue
            pipe.send(applied)


async def cancelled(port: int) -> dict[str, dict[str, int]]:
    """Cancel a task at each await of `async with lock`: at how many points a key of the lock stayed."""
    found: dict[str, dict[str, int]] = {}
    # With a socket timeout redis-py sends from a task of its own, and the points would depend on the server's speed.
    async with redis.asyncio.Redis(port=port, socket_timeout=None) as client:
        ours = palaver_aio.DistributedLock(client, "cancelled", ttl=30)

        async def use_ours() -> None:
            async with ours:
                await asyncio.sleep(0)

        async def use_redis_py() -> None:
            async with client.lock("cancelled", timeout=30):
                await asyncio.sleep(0)

        async def use_pottery() -> None:
            async with AIORedlock(key="cancelled", masters={client}, auto_release_time=30):
                await asyncio.sleep(0)

        found[OURS] = await _at_every_await(client, use_ours, ours.aclose)
        found["redis-py"] = await _at_every_await(client, use_redis_py)
        found["pottery"] = await _at_every_await(client, use_pottery)
        found["palaver, waiting"] = await _waiting_cancelled(client, ours)
    return found


Use = Callable[[], Coroutine[Any, Any, None]]


async def _left(client: redis.asyncio.Redis) -> int:
    """Keys that could make somebody wait: not the remembered fence, nor the remembered tokens beside it."""
    keys = [key async for key in client.scan_iter("*cancelled*")]
    return sum(b":fence" not in key for key in keys)


async def _at_every_await(client: redis.asyncio.Redis, use: Use, settle: Use | None = None) -> dict[str, int]:
    points, left = 0, 0
    while await asyncio.create_task(cancel_at(use(), points + 1)):
        points += 1
        if settle is not None:
            await settle()
        left += min(1, await _left(client))
        await client.delete("cancelled", "redlock:cancelled")
    return {"points": points, "keys left": left}


async def _waiting_cancelled(client: redis.asyncio.Redis, lock: palaver_aio.DistributedLock) -> dict[str, int]:
    """The same while somebody else has it, and gives it back meanwhile."""

    async def use() -> None:
        async with lock:
            await asyncio.sleep(0)

    points, left = 0, 0
    while True:
        holder = await lock.acquire()
        task = asyncio.create_task(cancel_at(use(), points + 1))
        await asyncio.wait({task}, timeout=0.02)
        await holder.release()
        if not await task:
            return {"points": points, "keys left": left}
        points += 1
        await lock.aclose()
        left += await _left(client)
