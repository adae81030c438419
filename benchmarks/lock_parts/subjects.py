"""The locks that are measured, each behind the same two methods, and the floors they are measured against.

One object is one worker's: made in its own process, on its own connection.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import redis
import redis.asyncio
import redis_lock
from pottery import AIORedlock, Redlock

from palaver.lock import DistributedLock, Lease
from palaver.lock import aio as palaver_aio

COMPARE_AND_DELETE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
TOKEN = "a-token-of-usual-length-0123"
# The peers publish no types.
Peer = Any


class Subject(Protocol):
    """A lock that one worker uses."""

    def acquire(self) -> object:
        """Wait for it."""

    def release(self) -> object:
        """Give it back."""


class Palaver:
    """Ours."""

    def __init__(self, client: redis.Redis, name: str, ttl: int, *, renew: bool = False) -> None:
        self._lock = DistributedLock(client, name, ttl=ttl, renew=renew)
        self._lease: Lease | None = None

    def acquire(self) -> None:
        self._lease = self._lock.acquire()

    def release(self) -> None:
        assert self._lease is not None
        self._lease.release()


class PollingFloor:
    """SET NX PX, then compare-and-delete by hash: the two round trips that every such lock needs."""

    def __init__(self, client: redis.Redis, name: str, ttl: int) -> None:
        self._client, self._name, self._ttl_ms = client, name, ttl * 1000
        self._sha = client.script_load(COMPARE_AND_DELETE)

    def acquire(self) -> object:
        return self._client.set(self._name, TOKEN, nx=True, px=self._ttl_ms)

    def release(self) -> object:
        return self._client.evalsha(self._sha, 1, self._name, TOKEN)


class TokenList:
    """One token in a list, taken with BLPOP: no lease, no owner; nothing that waits can be handed on faster."""

    def __init__(self, client: redis.Redis, name: str, _ttl: int) -> None:
        self._client, self._name = client, name

    def acquire(self) -> None:
        while self._client.blpop([self._name], timeout=4) is None:
            pass

    def release(self) -> None:
        self._client.rpush(self._name, TOKEN)


def _palaver(client: redis.Redis, name: str, ttl: int) -> Subject:
    return Palaver(client, name, ttl)


def _palaver_renewing(client: redis.Redis, name: str, ttl: int) -> Subject:
    return Palaver(client, name, ttl, renew=True)


def _redis_py(client: redis.Redis, name: str, ttl: int) -> Subject:
    lock: Peer = client.lock(name, timeout=ttl)
    return lock  # type: ignore[no-any-return]  # untyped


def _python_redis_lock(client: redis.Redis, name: str, ttl: int) -> Subject:
    lock: Peer = redis_lock.Lock(client, name, expire=ttl)
    return lock  # type: ignore[no-any-return]  # untyped


def _python_redis_lock_renewing(client: redis.Redis, name: str, ttl: int) -> Subject:
    lock: Peer = redis_lock.Lock(client, name, expire=ttl, auto_renewal=True)
    return lock  # type: ignore[no-any-return]  # untyped


def _pottery(client: redis.Redis, name: str, ttl: int) -> Subject:
    lock: Peer = Redlock(key=name, masters={client}, auto_release_time=ttl)
    return lock  # type: ignore[no-any-return]  # untyped


Make = Callable[[redis.Redis, str, int], Subject]
FLOOR, WAKE_FLOOR, OURS, OURS_RENEWING = "two round trips", "BLPOP floor", "palaver", "palaver renewing"
UNCONTENDED: Mapping[str, Make] = {
    FLOOR: PollingFloor,
    OURS: _palaver,
    OURS_RENEWING: _palaver_renewing,
    "redis-py": _redis_py,
    "python-redis-lock": _python_redis_lock,
    "python-redis-lock renewing": _python_redis_lock_renewing,
    "pottery": _pottery,
}
WAITING: Mapping[str, Make] = {
    WAKE_FLOOR: TokenList,
    OURS: _palaver,
    "redis-py": _redis_py,
    "python-redis-lock": _python_redis_lock,
    "pottery": _pottery,
}
PEERS = ("redis-py", "python-redis-lock", "pottery")
KEYS: Mapping[str, Callable[[str], str]] = {
    OURS: lambda name: name,
    "redis-py": lambda name: name,
    "python-redis-lock": lambda name: f"lock:{name}",
    "pottery": lambda name: f"redlock:{name}",
}
"""Where each lock lives."""


class AsyncSubject(Protocol):
    """The same for asyncio."""

    async def acquire(self) -> object:
        """Wait for it."""

    async def release(self) -> object:
        """Give it back."""


class AsyncPalaver:
    """Ours."""

    def __init__(self, client: redis.asyncio.Redis, name: str, ttl: int, *, renew: bool = False) -> None:
        self._lock = palaver_aio.DistributedLock(client, name, ttl=ttl, renew=renew)
        self._lease: palaver_aio.Lease | None = None

    async def acquire(self) -> None:
        self._lease = await self._lock.acquire()

    async def release(self) -> None:
        assert self._lease is not None
        await self._lease.release()


class AsyncPollingFloor:
    """The two round trips."""

    def __init__(self, client: redis.asyncio.Redis, name: str, ttl: int) -> None:
        self._client, self._name, self._ttl_ms = client, name, ttl * 1000
        self._sha = ""

    async def acquire(self) -> object:
        self._sha = self._sha or await self._client.script_load(COMPARE_AND_DELETE)
        return await self._client.set(self._name, TOKEN, nx=True, px=self._ttl_ms)

    async def release(self) -> object:
        return await self._client.evalsha(self._sha, 1, self._name, TOKEN)


class AsyncTokenList:
    """One token in a list."""

    def __init__(self, client: redis.asyncio.Redis, name: str, _ttl: int) -> None:
        self._client, self._name = client, name

    async def acquire(self) -> None:
        while await self._client.blpop([self._name], timeout=4) is None:
            pass

    async def release(self) -> None:
        await self._client.rpush(self._name, TOKEN)


AsyncMake = Callable[[redis.asyncio.Redis, str, int], AsyncSubject]
ASYNC_UNCONTENDED: Mapping[str, AsyncMake] = {
    FLOOR: AsyncPollingFloor,
    OURS: AsyncPalaver,
    OURS_RENEWING: lambda client, name, ttl: AsyncPalaver(client, name, ttl, renew=True),
    "redis-py": lambda client, name, ttl: client.lock(name, timeout=ttl),
    "pottery": lambda client, name, ttl: AIORedlock(key=name, masters={client}, auto_release_time=ttl),
}
ASYNC_WAITING: Mapping[str, AsyncMake] = {
    WAKE_FLOOR: AsyncTokenList,
    OURS: AsyncPalaver,
    "redis-py": lambda client, name, ttl: client.lock(name, timeout=ttl),
}
