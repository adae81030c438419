"""The locks of this package behind the explorer's three methods: the naive ones, and ours. Examples for yours."""

from collections.abc import Callable

import redis

from palaver.lock.errors import LockLostError
from palaver.lock.sync import DistributedLock, Lease
from palaver.lock.testing.explorer import LogicalClock, MakeLock
from palaver.lock.testing.naive import NaiveLock
from palaver.lock.testing.steps import stand_before

TTL_SECONDS = 10
NAME = "demo"
KEY = f"lock:{NAME}"


class _WouldWaitError(Exception):
    """The lock wanted to sleep, so this attempt is over."""


def _end_the_attempt(_seconds: float) -> None:
    raise _WouldWaitError


def _sleep_as_a_step(seconds: float) -> None:
    stand_before(f"(sleeps {seconds:g} s)")


class Naive:
    """A naive lock. Nothing tells it that it lost, so its holder believes until it releases."""

    def __init__(self, lock: NaiveLock) -> None:
        self._lock = lock

    def try_acquire(self) -> object | None:
        """One round of its loop, unless its sleep is a step: then as many as it likes."""
        try:
            return self._lock.acquire()
        except _WouldWaitError:
            return None

    def release(self, _handle: object) -> None:
        """Its own release."""
        self._lock.release()

    def believes(self, _handle: object) -> bool:
        """Always."""
        return True


def naive(kind: type[NaiveLock] = NaiveLock, *, waits: bool = False) -> MakeLock:
    """Makes naive locks; with `waits` they wait as they would, a step for each sleep."""
    sleep: Callable[[float], None] = _sleep_as_a_step if waits else _end_the_attempt

    def make(client: redis.Redis, _clock: LogicalClock) -> Naive:
        return Naive(kind(client, NAME, TTL_SECONDS, sleep=sleep))

    return make


class Ours:
    """`palaver.lock.DistributedLock`: the handle is the lease."""

    def __init__(self, client: redis.Redis, clock: LogicalClock) -> None:
        self._lock = DistributedLock(client, KEY, ttl=TTL_SECONDS, clock=clock)

    def try_acquire(self) -> Lease | None:
        """`try_acquire`."""
        return self._lock.try_acquire()

    def release(self, handle: Lease) -> None:
        """Release the lease; that it was lost is what it is there to say."""
        try:
            handle.release()
        except LockLostError:
            return

    def believes(self, handle: Lease) -> bool:
        """Whether the lease is held, by the local clock."""
        return handle.held
