"""The lock everybody writes first, kept as it was found, so that its faults can be shown. Never use it.

It differs from the original in one point: how it sleeps is an argument, so that a wait can be scripted.
"""

import time
import uuid
from collections.abc import Callable

import redis


class NaiveLock:
    """Can be held by two at once, for ever, or by nobody who knows it."""

    def __init__(
        self,
        redis_client: redis.Redis,
        lock_name: str,
        timeout: int = 10,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.redis = redis_client
        self.lock_name = f"lock:{lock_name}"
        self.timeout = timeout
        self.token = str(uuid.uuid4())
        self._sleep = sleep

    def acquire(self) -> bool:
        """Wait for the lock, without end."""
        while True:
            if self.redis.setnx(self.lock_name, self.token):
                self.redis.expire(self.lock_name, self.timeout)
                return True
            self._sleep(0.1)

    def release(self) -> None:
        """Remove the lock if it looks like ours."""
        if self.redis.get(self.lock_name) == self.token:
            self.redis.delete(self.lock_name)


class HalfMendedLock(NaiveLock):
    """The naive lock with the two mends most often made, SET NX EX and an atomic compare-and-delete.

    It is still wrong: one token serves all acquisitions of an object, and nobody learns that the lease is over.
    """

    def acquire(self) -> bool:
        """Wait for the lock, without end."""
        while True:
            if self.redis.set(self.lock_name, self.token, nx=True, ex=self.timeout):
                return True
            self._sleep(0.1)

    def release(self) -> None:
        """Remove the lock if it holds this object's token."""
        script = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
        self.redis.eval(script, 1, self.lock_name, self.token)
