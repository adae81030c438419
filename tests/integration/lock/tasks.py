"""Tasks that hold and wait, for the tests of the asyncio lock on a real server."""

import asyncio
from collections.abc import Awaitable, Callable

import redis.asyncio

from palaver.lock.aio import DistributedLock

DEADLINE_SECONDS = 40.0
QUEUE = "palaver:{name}:queue"


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - a condition of the real world
            await asyncio.sleep(0.002)


async def waiting(client: redis.asyncio.Redis, number: int, queue: str = QUEUE) -> None:
    async def so_many() -> bool:
        return int(await client.zcard(queue)) == number

    await until(so_many)


async def waiting_or_done(client: redis.asyncio.Redis, waiter: asyncio.Task[object]) -> None:
    """Until it stands in the queue, or has come to its end before."""

    async def so_it_is() -> bool:
        return waiter.done() or bool(await client.zcard(QUEUE))

    await until(so_it_is)


async def gone(client: redis.asyncio.Redis) -> None:
    async def is_gone() -> bool:
        return not await client.exists("name")

    await until(is_gone)


async def left_behind(client: redis.asyncio.Redis) -> list[bytes]:
    """Keys that could make anybody wait: neither a remembered fence nor a remembered token."""
    keys = [key async for key in client.scan_iter()]
    return [key for key in keys if b":fence" not in key]


async def one_cycle(lock: DistributedLock) -> None:
    async with lock:
        await asyncio.sleep(0)


async def one_wait(lock: DistributedLock) -> None:
    lease = await lock.acquire(timeout=DEADLINE_SECONDS)
    await lease.release()
