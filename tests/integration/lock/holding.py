"""Threads that hold and wait, for the tests of the lock on a real server."""

import threading
import time
from collections.abc import Callable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from palaver.lock import DistributedLock, Lease, LockError
from palaver.lock.core import Call

DEADLINE_SECONDS = 40.0
NO_RETRY = Retry(NoBackoff(), retries=0)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition of the real world, with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.002)


def run_text(client: redis.Redis, call: Call) -> object:
    return client.execute_command(*call.eval)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


def queue_length(client: redis.Redis, name: str) -> int:
    return int(client.zcard(f"palaver:{{{name}}}:queue"))


def expire(client: redis.Redis, name: str) -> None:
    """Let the server end the hold now, as if its time were over."""
    client.delete(name)


class Waiter:
    """A thread that acquires, and then holds until told to let go."""

    def __init__(self, lock: DistributedLock, timeout: float | None = DEADLINE_SECONDS) -> None:
        self.lease: Lease | None = None
        self.error: LockError | None = None
        self.granted = threading.Event()
        self.let_go = threading.Event()
        self._lock, self._timeout = lock, timeout
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.lease = self._lock.acquire(self._timeout)
            self.granted.set()
            self.let_go.wait(DEADLINE_SECONDS)
            self.lease.release()
        except LockError as error:
            self.error = error

    def end(self) -> None:
        self.let_go.set()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()
