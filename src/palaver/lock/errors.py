"""What can go wrong with a lock. Facts are fields; the text is for people.

LockError
├── NotAcquiredError (also a TimeoutError)   somebody else has it, and the time to wait is over
│   └── NotDurableError                      it was granted, but too few copies knew; it was given back
├── LockLostError                            it was ours and is not any more; `reason` says how
│   └── StaleFenceError                      a newer holder was seen, so the write was refused
├── NotOwnedError                            this handle holds nothing: released before
│   └── ForkedError                          this handle belongs to the parent process
└── OutcomeUnknownError                      the server was not heard; the lock may be held until it expires
"""

from enum import Enum


class LossReason(Enum):
    """How a lease was lost."""

    EXPIRED = "expired"
    """Its time ran out by the local clock."""
    TAKEN = "taken"
    """The server says that another token holds the lock."""
    GONE = "gone"
    """The server does not know the hold although its time was not over: data lost, evicted or deleted."""
    UNCONFIRMED = "unconfirmed"
    """A renewal could not be confirmed in time: the server is silent, or this process was too slow."""
    MAX_HOLD = "max_hold"
    """It was renewed for as long as `max_hold` allows."""


class LockError(Exception):
    """The base of every error of this package."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"lock {name!r}: {text}")
        self.name = name


class NotAcquiredError(LockError, TimeoutError):
    """The lock was not acquired, and nothing of the attempt is left. `waited_seconds` says how long was waited."""

    def __init__(self, name: str, waited_seconds: float, text: str | None = None) -> None:
        super().__init__(name, text or f"not acquired within {waited_seconds:.3f} s")
        self.waited_seconds = waited_seconds


class NotDurableError(NotAcquiredError):
    """Fewer copies than asked for acknowledged the grant in time; it was given back."""

    def __init__(self, name: str, acknowledged: int, required: int, waited_seconds: float) -> None:
        text = f"only {acknowledged} of {required} copies acknowledged the grant; it was given back"
        super().__init__(name, waited_seconds, text)
        self.acknowledged = acknowledged
        self.required = required


class LockLostError(LockError):
    """The lease ended before its holder gave it back. What was done under it may have overlapped with another."""

    def __init__(self, name: str, reason: LossReason, text: str | None = None) -> None:
        super().__init__(name, text or f"the lease was lost ({reason.value})")
        self.reason = reason


class StaleFenceError(LockLostError):
    """A write was refused because a newer fence was seen. Nothing was written."""

    def __init__(self, name: str, fence: int, newest: int) -> None:
        super().__init__(name, LossReason.TAKEN, f"fence {fence} is stale, {newest} was seen; nothing was written")
        self.fence = fence
        self.newest = newest


class NotOwnedError(LockError):
    """The handle holds nothing: it was released before."""


class ForkedError(NotOwnedError):
    """The handle was made by another process: a forked child does not inherit its parent's locks."""

    def __init__(self, name: str, owner_pid: int) -> None:
        super().__init__(name, f"belongs to process {owner_pid}; a forked child must acquire its own")
        self.owner_pid = owner_pid


class OutcomeUnknownError(LockError):
    """The server was not heard. What was asked may or may not have happened; an unreleased lock ends by itself
    after at most `within_seconds`. The client's own error is the cause.
    """

    def __init__(self, name: str, doing: str, within_seconds: float) -> None:
        super().__init__(name, f"no answer to {doing}; if it is held, it ends within {within_seconds:.3f} s")
        self.within_seconds = within_seconds
