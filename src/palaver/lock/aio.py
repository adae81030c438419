"""The lock for asyncio. What it decides is in `core`; here it is only done.

The body of `async with` is cancelled before its lease can run out, by the local clock, so it works while the server
is silent: inside it sees a cancellation, outside it is a `LockLostError`, as with `asyncio.timeout`.

Cancellation: wherever `acquire` or `release` is cancelled, what may have been executed is undone (or done) before
the cancellation goes on, for at most `TIDY_SECONDS`; if the server is silent longer, a task of the lock goes on
trying until the lease would have ended by itself. `aclose` waits for those.
"""

import asyncio
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster

from palaver.lock.alines import block, line, read_within
from palaver.lock.arenewal import LoopRenewals
from palaver.lock.client import UNHEARD, AsyncClient, Meanwhile, Reply, arun
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
from palaver.lock.errors import LockLostError, LossReason, NotAcquiredError, OutcomeUnknownError
from palaver.lock.fenced import AsyncFencedWriter
from palaver.lock.lease import LeaseRecord, LeaseState, OnLost
from palaver.lock.limits import Limit
from palaver.lock.terms import CLAIM_SECONDS, Durability, Seconds, Terms, seconds
from palaver.lock.tidy import Tidying

GUARD_SECONDS = 0.05
"""How long before its end a lease that is not renewed ends its body, at most: a tenth of the lease if that is less."""


async def run_durable(client: AsyncClient, call: Call, durability: Durability) -> Reply:
    """Run a script, and if it granted the lock, wait for copies. WAIT speaks of its own connection's writes only."""
    async with line(client, call.keys[0]) as connection:
        await connection.send_command(*call.evalsha)
        try:
            reply = await connection.read_response()
        except redis.exceptions.NoScriptError:
            await connection.send_command(*call.eval)
            reply = await connection.read_response()
        if not isinstance(reply, int):
            return reply
        await connection.send_command(*durability.command)
        return Acknowledged(reply, await read_within(connection, durability.timeout + 5.0))


class Lease(LeaseRecord):
    """One acquisition of a lock. Release it, or use it as an async context manager, which ends its body in time."""

    def __init__(
        self,
        client: AsyncClient,
        terms: Terms,
        grant: Grant,
        clock: Clock,
        on_lost: OnLost | None,
        renewals: Callable[[], LoopRenewals],
        tidying: Tidying,
    ) -> None:
        super().__init__(terms, grant, clock)
        self._client = client
        self._on_lost = on_lost
        self._tidying = tidying
        self._owner: weakref.ref[asyncio.Task[object]] | None = None
        self._scope: asyncio.Timeout | None = None
        self._release = grant.release or release_call(terms, grant.token)
        if terms.renew or on_lost is not None:
            self._owner = weakref.ref(current) if (current := asyncio.current_task()) else None
            renewals().watch(self, self.renewal_due if terms.renew else self.deadline)

    @property
    def fenced(self) -> AsyncFencedWriter:
        """Writes that are refused once a newer holder was seen, each after a `check()`."""
        return AsyncFencedWriter(self._client, self.fence, lock_name=self.name, check=self.check)

    async def extend(self, ttl: Seconds | None = None) -> None:
        """Let the lease end `ttl` seconds from now (the lock's own ttl if None): longer or shorter than before.

        Cancelled, it may or may not have happened; the old deadline stands.

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
            reply = ReleaseReply(await arun(self._client, extend_call(self._terms, self._token, lasting)))
        except UNHEARD as error:
            raise OutcomeUnknownError(self.name, "extend", max(self.remaining(), lasting)) from error
        self._settle(reply, sent, lasting)
        self._reschedule_scope()
        self.check()

    async def release(self) -> None:
        """Give the lock to the next waiter, at most once: a second release does nothing.

        Cancelled, it is still released before the cancellation goes on, for at most `TIDY_SECONDS`.

        Raises:
            LockLostError: if the lease had ended before. Nobody else's lock is touched.
            OutcomeUnknownError: if the server was not heard.
            ForkedError: in a forked child.
        """
        self._only_by_owner()
        if self._state is LeaseState.RELEASED:
            return
        if self.lost is not None:
            raise LockLostError(self.name, self.lost)
        self._state = LeaseState.RELEASED
        call, remaining = self._release, self._deadline - self._clock()
        try:
            # Past the deadline there is nothing left to release, however patient the client is.
            with Limit(remaining):
                reply = ReleaseReply(await arun(self._client, call))
        except (*UNHEARD, TimeoutError) as error:
            raise OutcomeUnknownError(self.name, "release", max(0.0, self._deadline - self._clock())) from error
        except asyncio.CancelledError:
            await self._tidying.finish(call, within=remaining)
            raise
        if reply in LOSS_BY_REPLY:
            self._state, self._reason = LeaseState.LOST, LOSS_BY_REPLY[reply]
            raise LockLostError(self.name, self._reason)

    async def __aenter__(self) -> Self:
        self.check()
        self._scope = asyncio.timeout_at(self._loop_time(self._last_moment))
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None, "left without having been entered"
        try:
            await scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            await self._ended_early(error)
        try:
            await self.release()
        except (LockLostError, OutcomeUnknownError) as ended:
            if error is None:
                raise
            # The body's own error is the one to see; that the lock was lost is added to it.
            error.add_note(str(ended))

    async def _ended_early(self, error: BaseException | None) -> None:
        """The body was ended before the lease could: give back what is left of it, and say why."""
        if self._lose(LossReason.UNCONFIRMED if self._terms.renew else LossReason.EXPIRED):
            left = self._deadline - self._clock()
            await self._tidying.finish(self._release, within=left, patience=left)
        assert self._reason is not None
        raise LockLostError(self.name, self._reason) from error

    @property
    def server(self) -> AsyncClient:
        """The client this lease renews itself through."""
        return self._client

    def owner_alive(self) -> bool:
        """Whether the task that acquired the lease still runs."""
        if self._owner is None:
            return True
        task = self._owner()
        return task is not None and not task.done()

    async def renew_now(self) -> None:
        """One renewal, for the scheduler. No answer is no error: the deadline ends the lease in time."""
        sent = self._clock()
        try:
            reply = ReleaseReply(await arun(self._client, extend_call(self._terms, self._token, self._terms.ttl)))
        except redis.RedisError:
            return
        if self._settle(reply, sent, self._terms.ttl):
            self._reschedule_scope()
        else:
            self.tell_lost()

    def tell_lost(self) -> None:
        """End the body and call `on_lost`, once, if the lease is lost."""
        if self.lost is None:
            return
        self._reschedule_scope()
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost(self)

    @property
    def _last_moment(self) -> float:
        """When a body must end: now if the lease is lost, else a moment before its end."""
        if self.lost is not None:
            return self._clock()
        grace = self._terms.grace if self._terms.renew else min(self._terms.ttl / 10, GUARD_SECONDS)
        return self._deadline - grace

    def _reschedule_scope(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._loop_time(self._last_moment))

    def _loop_time(self, when: float) -> float:
        return asyncio.get_running_loop().time() + (when - self._clock())


class DistributedLock:
    """A lock on one Redis or Valkey, for asyncio. Any number of tasks may share it.

    Args:
        client: a `redis.asyncio.Redis` (also one made by Sentinel) or `redis.asyncio.RedisCluster`.
        name, ttl, renew, max_hold, claim, durability, clock: as for `palaver.lock.DistributedLock`; renewal is one
            timer per loop, and stops when the task that acquired the lease has ended.
        on_lost: called once with a lease that was lost, in the loop; must not block.
    """

    def __init__(
        self,
        client: AsyncClient,
        name: str,
        *,
        ttl: Seconds = 10.0,
        renew: bool = False,
        max_hold: Seconds | None = None,
        claim: Seconds = CLAIM_SECONDS,
        durability: Durability | None = None,
        on_lost: OnLost | None = None,
        clock: Clock = time.monotonic,
        renewals: Callable[[], LoopRenewals] = LoopRenewals.of_running_loop,
    ) -> None:
        if not isinstance(client, redis.asyncio.Redis | RedisCluster):
            raise TypeError(f"client must be a redis.asyncio.Redis or redis.asyncio.RedisCluster, not {client!r}")
        self._client = client
        self._terms = Terms.of(name, ttl=ttl, renew=renew, max_hold=max_hold, claim=claim, durability=durability)
        self._on_lost = on_lost
        self._clock = clock
        self._renewals = renewals
        self._lowest_fence = 0
        self._tidying = Tidying(client)
        self._entered: weakref.WeakKeyDictionary[asyncio.Task[object], list[Lease]] = weakref.WeakKeyDictionary()

    @property
    def name(self) -> str:
        """The lock's name, which is its key."""
        return self._terms.name

    async def acquire(self, timeout: Seconds | None = None) -> Lease:  # noqa: ASYNC109 - part of the queue's protocol
        """Wait for the lock, first come first served; at most `timeout` seconds, or for ever if None.

        The client's own timeouts and retries apply to each request. Cancelled, it leaves nothing behind.

        Raises:
            NotAcquiredError: if somebody else has it until then. Nothing of the attempt is left.
            NotDurableError: if too few copies acknowledged; it was given back.
            OutcomeUnknownError: if the server was not heard, not even to undo the attempt.
            TypeError, ValueError: if `timeout` is not a duration of at least 0.
        """
        patience = None if timeout is None else seconds("timeout", timeout, least=0.0)
        began = self._clock()
        grant = await self._attempt(patience)
        if grant is None:
            raise NotAcquiredError(self.name, self._clock() - began)
        return self._lease(grant)

    async def try_acquire(self) -> Lease | None:
        """Acquire the lock if it is free and nobody waits for it; else None, at once.

        Raises:
            NotDurableError, OutcomeUnknownError: as `acquire`.
        """
        grant = await self._attempt(0)
        return None if grant is None else self._lease(grant)

    async def aclose(self) -> None:
        """Wait until nothing of this lock's cancelled attempts is left to tidy up. It can be used afterwards."""
        await self._tidying.wait()

    async def __aenter__(self) -> Lease:
        lease = await self.acquire()
        await lease.__aenter__()
        task = asyncio.current_task()
        assert task is not None, "entered outside a task"
        self._entered.setdefault(task, []).append(lease)
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "left outside a task"
        lease = self._entered[task].pop()
        await lease.__aexit__(kind, error, traceback)

    def _lease(self, grant: Grant) -> Lease:
        """Made where no frame keeps it in a variable.

        An error within the client may keep frames until the next collection; a lease in one would be renewed till then.
        """
        return Lease(self._client, self._terms, grant, self._clock, self._on_lost, self._renewals, self._tidying)

    async def _attempt(self, timeout: float | None) -> Grant | None:  # noqa: ASYNC109 - see acquire
        attempt = Attempt(self._terms, self._clock, lowest_fence=self._lowest_fence)
        try:
            grant = await self._drive(attempt.steps(timeout), attempt.prepare)
        except UNHEARD as error:
            if not await self._tidying.finish(attempt.give_up(), within=self._terms.ttl):
                raise OutcomeUnknownError(self.name, "acquire", self._terms.ttl) from error
            raise
        except BaseException:  # also a cancellation: what was sent may have been executed
            await self._tidying.finish(attempt.give_up(), within=self._terms.ttl)
            raise
        if grant is not None:
            self._lowest_fence = max(self._lowest_fence, grant.fence + 1)
        return grant

    async def _drive(self, steps: Steps, meanwhile: Meanwhile) -> Grant | None:
        try:
            request = next(steps)
            while True:
                if isinstance(request, Call):
                    durability = self._terms.durability if request.durable else None
                    if durability is None:
                        request = steps.send(await arun(self._client, request, meanwhile))
                    else:
                        request = steps.send(await run_durable(self._client, request, durability))
                else:
                    request = steps.send(await block(self._client, request))
        except StopIteration as stop:
            grant: Grant | None = stop.value
            return grant
