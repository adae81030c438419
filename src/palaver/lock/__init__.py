"""A distributed lock on Redis or Valkey, with fencing. `palaver.lock.aio` is the same for asyncio.

At most one holder per lease on the server; at most one effective writer only with the fence. See
docs/explanation/lock-guarantees.md for what holds under which fault.
"""

from palaver.lock.errors import (
    ForkedError,
    LockError,
    LockLostError,
    LossReason,
    NotAcquiredError,
    NotDurableError,
    NotOwnedError,
    OutcomeUnknownError,
    StaleFenceError,
)
from palaver.lock.fenced import AsyncFencedWriter, FencedWriter
from palaver.lock.sync import DistributedLock, Lease
from palaver.lock.terms import Durability

__all__ = [
    "AsyncFencedWriter",
    "DistributedLock",
    "Durability",
    "FencedWriter",
    "ForkedError",
    "Lease",
    "LockError",
    "LockLostError",
    "LossReason",
    "NotAcquiredError",
    "NotDurableError",
    "NotOwnedError",
    "OutcomeUnknownError",
    "StaleFenceError",
]
