"""The lock for threads and processes. What it decides is in `core`; here it is only done.

A `DistributedLock` is a definition and holds nothing: every acquisition is a `Lease` of its own, and only the lease
can be released. So one lock object may be shared by any number of threads.
"""

import threading
import time
from types import TracebackType
from typing import Self

import redis
from redis.cluster import RedisCluster

from palaver.lock.client import UNHEARD, Reply, SyncClient, run
from palaver.lock.core import (
    LOSS_BY_REPLY,
    Acknowledged,
    Attempt,
    Call,
    Clock,
    Grant,
    ReleaseReply,
    Steps,
    extend_call,
    release_call,
)
from palaver.lock.errors import LockLostError, NotAcquiredError, OutcomeUnknownError
from palaver.lock.fenced import FencedWriter
from palaver.lock.lease import LeaseRecord, LeaseState, OnLost
from palaver.lock.lines import block, line, pool_for
from palaver.lock.renewal import Renewals, process_renewals
from palaver.lock.terms import CLAIM_SECONDS, Durability, Seconds, Terms, seconds


def run_durable(client: SyncClient, call: Call, durability: Durability) -> Reply:
    """Run a script, and if it granted the lock, wait for copies. WAIT speaks of its own connection's writes only."""
    with line(pool_for(client, call.keys[0])) as connection:
        connection.send_command(*call.evalsha)
        try:
            reply = connection.read_response()
        except redis.exceptions.NoScriptError:
            connection.send_command(*call.eval)
            reply = connection.read_response()
        if not isinstance(reply, int):
            return reply
        connection.send_command(*durability.command)
        return Acknowledged(reply, connection.read_response(timeout=durability.timeout + 5.0))


def _undo(client: SyncClient, call: Call, error: BaseException) -> bool:
    """Run what undoes the work of `error`'s victim; False, with a note on it, if the server was not heard."""
    try:
        run(client, call)
    except UNHEARD as unheard:
        error.add_note(f"what was asked could not be undone: {unheard}")
        return False
    return True


class Lease(LeaseRecord):
    """One acquisition of a lock. Release it, or use it as a context manager, which does."""

    def __init__(
        self, client: SyncClient, terms: Terms, grant: Grant, clock: Clock, on_lost: OnLost | None, renewals: Renewals
    ) -> None:
        super().__init__(terms, grant, clock)
        self._client = client
        self._on_lost = on_lost
        self._owner = threading.current_thread()
        # Guards the state against the renewal thread.
        self._guard = threading.RLock()
        if terms.renew or on_lost is not None:
            renewals.watch(self, self.renewal_due if terms.renew else self.deadline)

    @property
    def fenced(self) -> FencedWriter:
        """Writes that are refused once a newer holder was seen, each after a `check()`."""
        return FencedWriter(self._client, self.fence, lock_name=self.name, check=self.check)

    def extend(self, ttl: Seconds | None = None) -> None:
        """Let the lease end `ttl` seconds from now (the lock's own ttl if None): longer or shorter than before.

        Raises:
            LockLostError: if it had ended; nothing is brought back.
            NotOwnedError: if it was released before.
            OutcomeUnknownError: if the server was not heard; the old deadline still stands.
            TypeError, ValueError: if `ttl` is not a positive duration.
        """
        lasting = self._terms.ttl if ttl is None else seconds("ttl", ttl)
        self.check()
        sent = self._clock()
        try:
            reply = ReleaseReply(run(self._client, extend_call(self._terms, self._token, lasting)))
        except UNHEARD as error:
            raise OutcomeUnknownError(self.name, "extend", max(self.remaining(), lasting)) from error
        with self._guard:
            self._settle(reply, sent, lasting)
        self.check()

    def release(self) -> None:
        """Give the lock to the next waiter, at most once: a second release does nothing.

        Raises:
            LockLostError: if the lease had ended before. Nobody else's lock is touched.
            OutcomeUnknownError: if the server was not heard.
            ForkedError: in a forked child.
        """
        self._only_by_owner()
        with self._guard:
            if self._state is LeaseState.RELEASED:
                return
            if self.lost is not None:
                raise LockLostError(self.name, self.lost)
            self._state = LeaseState.RELEASED
        try:
            reply = ReleaseReply(run(self._client, release_call(self._terms, self._token)))
        except UNHEARD as error:
            raise OutcomeUnknownError(self.name, "release", max(0.0, self._deadline - self._clock())) from error
        except BaseException as error:  # an interrupt: it may not have been sent, and nobody else will send it
            _undo(self._client, release_call(self._terms, self._token), error)
            raise
        if reply in LOSS_BY_REPLY:
            self._state, self._reason = LeaseState.LOST, LOSS_BY_REPLY[reply]
            raise LockLostError(self.name, self._reason)

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.release()
        except (LockLostError, OutcomeUnknownError) as ended:
            if error is None:
                raise
            # The body's own error is the one to see; that the lock was lost is added to it.
            error.add_note(str(ended))

    @property
    def server(self) -> SyncClient:
        """The client this lease renews itself through."""
        return self._client

    def owner_alive(self) -> bool:
        """Whether the thread that acquired the lease still runs."""
        return self._owner.is_alive()

    def renew_now(self) -> None:
        """One renewal, for the scheduler. No answer is no error: the deadline ends the lease in time."""
        sent = self._clock()
        try:
            reply = ReleaseReply(run(self._client, extend_call(self._terms, self._token, self._terms.ttl)))
        except redis.RedisError:
            return
        with self._guard:
            kept = self._settle(reply, sent, self._terms.ttl)
        if not kept:
            self.tell_lost()

    def tell_lost(self) -> None:
        """Call `on_lost`, once, if the lease is lost."""
        with self._guard:
            on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None and self.lost is not None:
            on_lost(self)


class DistributedLock:
    """A lock on one Redis or Valkey, for threads and processes.

    Args:
        client: a `redis.Redis` (also one made by Sentinel) or `redis.RedisCluster`; any protocol, decoding or not.
        name: the key. Other libraries' locks of this name are excluded too.
        ttl: seconds (or a timedelta) after which the lock ends by itself, at least 0.001.
        renew: whether a background thread keeps the lease alive, as long as the thread that acquired it lives.
        max_hold: with `renew`, the longest time in seconds that a lease is kept alive; None for no bound.
        claim: seconds in which a waiter that was handed the lock must confirm.
        durability: how many copies must acknowledge a grant; None for none.
        on_lost: called once with a lease that was lost, on the scheduler's thread.
        clock: monotonic seconds; for tests.
        renewals: the scheduler; None for the one this process shares.
    """

    def __init__(
        self,
        client: SyncClient,
        name: str,
        *,
        ttl: Seconds = 10.0,
        renew: bool = False,
        max_hold: Seconds | None = None,
        claim: Seconds = CLAIM_SECONDS,
        durability: Durability | None = None,
        on_lost: OnLost | None = None,
        clock: Clock = time.monotonic,
        renewals: Renewals | None = None,
    ) -> None:
        if not isinstance(client, redis.Redis | RedisCluster):
            raise TypeError(f"client must be a redis.Redis or redis.RedisCluster, not {client!r}")
        self._client = client
        self._terms = Terms.of(name, ttl=ttl, renew=renew, max_hold=max_hold, claim=claim, durability=durability)
        self._on_lost = on_lost
        self._clock = clock
        self._renewals = process_renewals() if renewals is None else renewals
        self._lowest_fence = 0
        self._entered = threading.local()

    @property
    def name(self) -> str:
        """The lock's name, which is its key."""
        return self._terms.name

    def acquire(self, timeout: Seconds | None = None) -> Lease:
        """Wait for the lock, first come first served; at most `timeout` seconds, or for ever if None.

        The client's own timeouts and retries apply to each request.

        Raises:
            NotAcquiredError: if somebody else has it until then. Nothing of the attempt is left.
            NotDurableError: if too few copies acknowledged; it was given back.
            OutcomeUnknownError: if the server was not heard, not even to undo the attempt.
            TypeError, ValueError: if `timeout` is not a duration of at least 0.
        """
        patience = None if timeout is None else seconds("timeout", timeout, least=0.0)
        began = self._clock()
        lease = self._attempt(patience)
        if lease is None:
            raise NotAcquiredError(self.name, self._clock() - began)
        return lease

    def try_acquire(self) -> Lease | None:
        """Acquire the lock if it is free and nobody waits for it; else None, at once.

        Raises:
            NotDurableError, OutcomeUnknownError: as `acquire`.
        """
        return self._attempt(0)

    def __enter__(self) -> Lease:
        lease = self.acquire()
        self._stack().append(lease)
        return lease

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack().pop().__exit__(kind, error, traceback)

    def _stack(self) -> list[Lease]:
        stack: list[Lease] | None = getattr(self._entered, "leases", None)
        if stack is None:
            stack = self._entered.leases = []
        return stack

    def _attempt(self, timeout: float | None) -> Lease | None:
        attempt = Attempt(self._terms, self._clock, lowest_fence=self._lowest_fence)
        try:
            grant = self._drive(attempt.steps(timeout))
        except BaseException as error:  # also KeyboardInterrupt: what was sent may have been executed
            self._give_up(attempt, error)
            raise
        if grant is None:
            return None
        self._lowest_fence = max(self._lowest_fence, grant.fence + 1)
        return Lease(self._client, self._terms, grant, self._clock, self._on_lost, self._renewals)

    def _drive(self, steps: Steps) -> Grant | None:
        try:
            request = next(steps)
            while True:
                if isinstance(request, Call):
                    durability = self._terms.durability if request.durable else None
                    if durability is None:
                        request = steps.send(run(self._client, request))
                    else:
                        request = steps.send(run_durable(self._client, request, durability))
                else:
                    request = steps.send(block(self._client, request))
        except StopIteration as stop:
            grant: Grant | None = stop.value
            return grant

    def _give_up(self, attempt: Attempt, error: BaseException) -> None:
        heard = _undo(self._client, attempt.give_up(), error)
        if not heard and isinstance(error, redis.RedisError):
            raise OutcomeUnknownError(self.name, "acquire", self._terms.ttl) from error
