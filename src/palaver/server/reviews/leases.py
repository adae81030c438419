"""Claims as leases of the distributed lock, for workers on several machines that share a folder of evaluations.

A claim is a lock on one call of one evaluation, renewed while the call's task runs. Before a record is written its
fence goes through the lock's server, which refuses an older one than it has seen. A worker that is killed keeps its
claim from the others for as long as the lease lasts; then one of them makes the call again.

Refuses to do: claim while the lock's server is away; calls that are under way end, their results are dropped, and the
evaluation goes on when it is back. Invariant: whoever holds a newer fence, no record of an older claim is written
after the server has said so; where a writer is stopped between that word and the write, the ledger holds two records
of one call and every reader chooses the same one.

Needs the extra `palaver[cluster]`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from palaver.review.claims import Claims
from palaver.review.errors import ConfigurationError
from palaver.review.folder import Folder
from palaver.review.records import digest

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from palaver.lock.aio import Lease

LEASE_SECONDS = 30.0
_KEPT_SECONDS = 24 * 3600.0  # how long the newest fence of a call is remembered

journal = structlog.get_logger("palaver.reviews")


@asynccontextmanager
async def claims_at(url: str | None, lease_seconds: float = LEASE_SECONDS) -> AsyncIterator[Callable[[Folder], Claims]]:
    """What hands out claims for a folder: leases of the lock at `url`, or file locks of this machine without one.

    Raises ConfigurationError for a URL that is none, or where the client library is missing.
    """
    if url is None:
        yield lambda folder: folder.claims
        return
    try:
        from redis.asyncio import Redis
    except ImportError as error:
        raise ConfigurationError("Sharing evaluations through a lock needs the extra: palaver[cluster].") from error
    try:
        client: Redis = Redis.from_url(url)
    except ValueError as error:
        raise ConfigurationError(f"The lock's address cannot be used: {error}") from error
    async with client:
        yield lambda folder: LeaseClaims(client, folder.path.name, lease_seconds)


class LeaseClaims:
    """Claims on the calls of one evaluation."""

    def __init__(self, client: "Redis", evaluation: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self._client = client
        self._evaluation = evaluation
        self._lease_seconds = lease_seconds

    async def claim(self, task: str) -> "LeaseClaim | None":
        """Claim a call that nobody holds; None also where the lock's server cannot be asked."""
        from redis import RedisError

        from palaver.lock.aio import DistributedLock
        from palaver.lock.errors import LockError

        name = f"palaver:review:{{{self._evaluation}}}:{digest(task)}"
        lock = DistributedLock(self._client, name, ttl=self._lease_seconds, renew=True)
        try:
            lease = await lock.try_acquire()
        except (LockError, RedisError, OSError) as error:
            journal.warning("not_claimed", evaluation=self._evaluation, error=str(error))
            return None
        return None if lease is None else LeaseClaim(lease)


class LeaseClaim:
    """A claim of `LeaseClaims`."""

    def __init__(self, lease: "Lease") -> None:
        self._lease = lease

    @property
    def fence(self) -> int:
        """Higher than that of every earlier claim on this call."""
        return self._lease.fence

    async def held(self) -> bool:
        """Whether the lock's server has seen no newer claim. Where it cannot be asked, the answer is no."""
        from redis import RedisError

        from palaver.lock.errors import LockError

        try:
            await self._lease.fenced.set(f"{self._lease.name}:written", self.fence, ttl=_KEPT_SECONDS)
        except (LockError, RedisError, OSError):
            return False
        return True

    async def release(self) -> None:
        """Give the call back. What is lost already needs no giving back."""
        from redis import RedisError

        from palaver.lock.errors import LockError

        try:
            await self._lease.release()
        except (LockError, RedisError, OSError) as error:
            journal.debug("not_released", lock=self._lease.name, error=str(error))
