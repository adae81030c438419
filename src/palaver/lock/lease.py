"""What a lease knows without asking anybody: whose it is, until when it is valid, and why it ended.

Pure arithmetic on a clock that is passed in; both faces build on it. One writer: the face that owns the lease.

    HELD ──release──▶ RELEASED
      └─────lose────▶ LOST ──release──▶ LOST

Invariant: once lost or released, never held again. A lease whose deadline has passed is lost, whatever anyone says.
"""

import os
from collections.abc import Callable
from enum import Enum

from palaver.lock.core import LOSS_BY_REPLY, Clock, Grant, ReleaseReply
from palaver.lock.errors import ForkedError, LockLostError, LossReason, NotOwnedError
from palaver.lock.terms import Terms, drift_seconds


class LeaseState(Enum):
    """Where a lease is in its life."""

    HELD = "held"
    RELEASED = "released"
    LOST = "lost"


class LeaseRecord:
    """The part of a lease that is the same for threads and for asyncio."""

    def __init__(self, terms: Terms, grant: Grant, clock: Clock) -> None:
        self._terms = terms
        self._clock = clock
        self._pid = os.getpid()
        self._state = LeaseState.HELD
        self._reason: LossReason | None = None
        self._deadline = grant.deadline
        self._granted = grant.granted
        self._token = grant.token
        self._fence = grant.fence

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._terms.name

    @property
    def token(self) -> str:
        """What the lock's key holds while this lease does; different for every acquisition."""
        return self._token

    @property
    def fence(self) -> int:
        """This acquisition's number, greater than that of every earlier one. Send it along with every write."""
        return self._fence

    @property
    def deadline(self) -> float:
        """When the lease ends, in seconds of `time.monotonic()`: earlier than on the server, never later."""
        return self._deadline

    @property
    def lost(self) -> LossReason | None:
        """Why the lease was lost, or None. The local clock decides too, so a silent server hides nothing."""
        if self._state is LeaseState.HELD and self._clock() >= self._deadline:
            self._lose(LossReason.EXPIRED)
        return self._reason

    @property
    def held(self) -> bool:
        """Whether the lease is neither released nor lost."""
        return self.lost is None and self._state is LeaseState.HELD

    def remaining(self) -> float:
        """Seconds until the lease ends; 0 if it was released or lost."""
        return max(0.0, self._deadline - self._clock()) if self.held else 0.0

    def check(self) -> None:
        """Return if the lease is valid now. No request is sent.

        A check is true when it is made, not when you act on it: between the two a process may be stopped for
        longer than the lease. Where that matters, use the fence.

        Raises:
            LockLostError: with the reason.
            NotOwnedError: if it was released; ForkedError in a forked child.
        """
        self._only_by_owner()
        reason = self.lost
        if reason is not None:
            raise LockLostError(self.name, reason)
        if self._state is LeaseState.RELEASED:
            raise NotOwnedError(self.name, "this lease was released before")

    def __repr__(self) -> str:
        ended = self.lost
        state = f"lost ({ended.value})" if ended else self._state.value
        return f"<{type(self).__name__} {self.name!r} fence={self._fence} {state}>"

    def _only_by_owner(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError(self.name, self._pid)

    def _lose(self, reason: LossReason) -> bool:
        """Record the loss; True for the first time."""
        if self._state is not LeaseState.HELD:
            return False
        self._state, self._reason = LeaseState.LOST, reason
        return True

    def _extended(self, sent: float, ttl: float) -> None:
        """The server confirmed at some time after `sent` that the hold lasts `ttl` seconds from then."""
        if self._state is LeaseState.HELD:
            self._deadline = sent + ttl - drift_seconds(ttl)

    def plan(self, now: float, *, owner_alive: bool) -> tuple["Step", float]:
        """What the scheduler has to do at `now`, and when it should ask again. May find the lease lost."""
        if self._state is LeaseState.RELEASED:
            return Step.FORGET, now
        if self.lost is not None:
            return Step.TELL, now
        if not self._terms.renew:
            return Step.WAIT, self._deadline
        last_moment = self._deadline - self._terms.grace
        spent = self._terms.max_hold is not None and now + self._terms.ttl > self._granted + self._terms.max_hold
        if now >= last_moment:
            self._lose(LossReason.MAX_HOLD if spent else LossReason.UNCONFIRMED)
            return Step.TELL, now
        if spent or not owner_alive:
            return Step.WAIT, last_moment
        if now >= self.renewal_due:
            # Looked at again half an interval later, whether or not the renewal is confirmed by then.
            return Step.RENEW, min(now + self._terms.renew_every / 2, last_moment)
        return Step.WAIT, self.renewal_due

    @property
    def renewal_due(self) -> float:
        """When the next renewal is due, in seconds of the clock: a third into the lease."""
        begun = self._deadline - self._terms.ttl + drift_seconds(self._terms.ttl)
        return begun + self._terms.renew_every

    def _settle(self, reply: ReleaseReply, sent: float, ttl: float) -> bool:
        """Take in the reply to an extension sent at `sent`; False if it says that the lease is lost."""
        if reply is ReleaseReply.DONE:
            self._extended(sent, ttl)
            return True
        self._lose(LOSS_BY_REPLY[reply])
        return False


class Step(Enum):
    """What the scheduler does with a lease."""

    WAIT = "wait"
    RENEW = "renew"
    TELL = "tell that it is lost"
    FORGET = "forget"


OnLost = Callable[[LeaseRecord], None]
"""Called once when a lease is lost, with the lease; `lease.lost` says why. Must return soon."""
