"""A lock on several independent servers, held by whoever a majority of them granted it to: what is called Redlock.

It buys availability, not correctness: it goes on while a minority of the servers is down. It rests on clocks, pauses
and delays being bounded, as every lease does; a server that comes back without its data within one ttl can help
a second holder to a majority. Where two holders would do harm, use the fence, which this lock has too: each server's
own, raised to the greatest of the majority before the lease is given out, so that it rises from holder to holder.

It refuses to queue: there is no order among servers that do not know each other. Waiting is trying again after a
random pause, so it is neither fair nor free of traffic. There is no renewal; `extend` needs a majority.

Sources: "Distributed Locks with Redis" (redis.io), and Kleppmann's criticism of it (2016).
"""

import asyncio
import random
import time
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import redis

from palaver.lock.client import AsyncClient, Reply, SyncClient, arun, run
from palaver.lock.core import (
    Attempt,
    Call,
    Clock,
    Grant,
    Mode,
    abandon_call,
    extend_call,
    raise_fence_call,
    release_call,
)
from palaver.lock.errors import LockLostError, LossReason, NotAcquiredError
from palaver.lock.lease import LeaseRecord, LeaseState
from palaver.lock.terms import CLAIM_SECONDS, Seconds, Terms, seconds

PAUSE_SECONDS = 0.05
"""The longest random pause between two tries."""

Everywhere = list[Call]
"""One call for each server; the answer is a list of replies, with None where there was no answer."""

Replies = list[Reply]
QuorumSteps = Generator[Everywhere | float, Replies | None, Grant | None]
ClientT = TypeVar("ClientT")


class _QuorumCore:
    """What the majority decides; a generator that yields calls for all servers, or seconds to pause."""

    def __init__(self, terms: Terms, servers: int, clock: Clock, chance: Callable[[], float]) -> None:
        self.terms = terms
        self.majority = servers // 2 + 1
        self._servers = servers
        self._clock = clock
        self._chance = chance

    def acquire(self, timeout: float | None) -> QuorumSteps:
        until = None if timeout is None else self._clock() + timeout
        while True:
            grant = yield from self._once()
            if grant is not None:
                return grant
            pause = self._chance() * PAUSE_SECONDS
            if until is not None and self._clock() + pause >= until:
                return None
            yield pause

    def enough(self, replies: Replies | None) -> bool:
        """Whether a majority said 1 (done), or 2 (done before)."""
        return sum(reply in (1, 2) for reply in replies or []) >= self.majority

    def everywhere(self, call: Call) -> Everywhere:
        return [call] * self._servers

    def _once(self) -> QuorumSteps:
        attempt = Attempt(self.terms, self._clock)
        sent = self._clock()
        replies = (yield self.everywhere(attempt.call(Mode.TRY))) or []
        fences = [reply for reply in replies if isinstance(reply, int)]
        if len(fences) >= self.majority:
            fence = max(fences)
            raised = yield self.everywhere(raise_fence_call(self.terms, attempt.token, fence))
            grant = attempt.valid(sent, fence)
            if grant is not None and self.enough(raised):
                return grant
        yield self.everywhere(abandon_call(self.terms, attempt.token))
        return None


class _QuorumLease(LeaseRecord, Generic[ClientT]):
    def __init__(self, terms: Terms, grant: Grant, clock: Clock, lock: ClientT) -> None:
        super().__init__(terms, grant, clock)
        self._lock = lock

    def _settle_extension(self, sent: float, ttl: float, *, enough: bool) -> None:
        if enough:
            self._extended(sent, ttl)
        else:
            self._lose(LossReason.UNCONFIRMED)
        self.check()

    def _begin_release(self) -> bool:
        """False if it was released before."""
        self._only_by_owner()
        if self._state is LeaseState.RELEASED:
            return False
        if self.lost is not None:
            raise LockLostError(self.name, self.lost)
        self._state = LeaseState.RELEASED
        return True


def _terms(name: str, ttl: Seconds, servers: Sequence[object]) -> Terms:
    if len(servers) < 3 or len(servers) % 2 == 0:
        raise ValueError(f"clients must be an odd number of independent servers, at least 3, not {len(servers)}")
    return Terms.of(name, ttl=ttl, renew=False, max_hold=None, claim=CLAIM_SECONDS, durability=None)


class QuorumLease(_QuorumLease["QuorumLock"]):
    """One acquisition from a majority. A context manager that releases."""

    def extend(self, ttl: Seconds | None = None) -> None:
        """Let the lease end `ttl` seconds from now on a majority.

        Raises:
            LockLostError: if no majority confirmed; the lease is then given up.
        """
        lasting = self._terms.ttl if ttl is None else seconds("ttl", ttl)
        self.check()
        sent = self._clock()
        core = self._lock.core
        replies = self._lock.ask(core.everywhere(extend_call(self._terms, self._token, lasting)))
        self._settle_extension(sent, lasting, enough=core.enough(replies))

    def release(self) -> None:
        """Give it back on every server that answers; the others' holds end by themselves.

        Raises:
            LockLostError: if the lease had ended before.
        """
        if self._begin_release():
            self._lock.ask(self._lock.core.everywhere(release_call(self._terms, self._token)))

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.release()
        except LockLostError as ended:
            if error is None:
                raise
            error.add_note(str(ended))


class QuorumLock:
    """A lock on a majority of independent servers, for threads. The servers are asked one after the other, so give
    their clients short timeouts and few retries: a dead one costs its timeout each time.
    """

    def __init__(
        self,
        clients: Sequence[SyncClient],
        name: str,
        *,
        ttl: Seconds = 10.0,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = list(clients)
        self._clock = clock
        self._sleep = sleep
        self.core = _QuorumCore(_terms(name, ttl, self._clients), len(self._clients), clock, chance)

    def acquire(self, timeout: Seconds | None = None) -> QuorumLease:
        """Try until a majority granted it; at most `timeout` seconds, or for ever if None.

        Raises:
            NotAcquiredError: if no majority did. What a minority granted was given back where it answered.
        """
        patience = None if timeout is None else seconds("timeout", timeout, least=0.0)
        began = self._clock()
        steps = self.core.acquire(patience)
        try:
            request = next(steps)
            while True:
                if isinstance(request, float):
                    self._sleep(request)
                    request = steps.send(None)
                else:
                    request = steps.send(self.ask(request))
        except StopIteration as stop:
            grant: Grant | None = stop.value
        if grant is None:
            raise NotAcquiredError(self.core.terms.name, self._clock() - began)
        return QuorumLease(self.core.terms, grant, self._clock, self)

    def ask(self, calls: Everywhere) -> Replies:
        """Run one call on each server; None where there was no answer."""
        return [_answer(client, call) for client, call in zip(self._clients, calls, strict=True)]


class AsyncQuorumLease(_QuorumLease["AsyncQuorumLock"]):
    """One acquisition from a majority, for asyncio."""

    async def extend(self, ttl: Seconds | None = None) -> None:
        """As `QuorumLease.extend`."""
        lasting = self._terms.ttl if ttl is None else seconds("ttl", ttl)
        self.check()
        sent = self._clock()
        core = self._lock.core
        replies = await self._lock.ask(core.everywhere(extend_call(self._terms, self._token, lasting)))
        self._settle_extension(sent, lasting, enough=core.enough(replies))

    async def release(self) -> None:
        """As `QuorumLease.release`."""
        if self._begin_release():
            await self._lock.ask(self._lock.core.everywhere(release_call(self._terms, self._token)))

    async def __aenter__(self) -> Self:
        self.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            await self.release()
        except LockLostError as ended:
            if error is None:
                raise
            error.add_note(str(ended))


class AsyncQuorumLock:
    """A lock on a majority of independent servers, for asyncio; they are asked all at once.

    A cancelled acquire leaves at most what ends by itself after `ttl`: it does not wait for servers to undo it.
    """

    def __init__(
        self,
        clients: Sequence[AsyncClient],
        name: str,
        *,
        ttl: Seconds = 10.0,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clients = list(clients)
        self._clock = clock
        self.core = _QuorumCore(_terms(name, ttl, self._clients), len(self._clients), clock, chance)

    async def acquire(self, timeout: Seconds | None = None) -> AsyncQuorumLease:  # noqa: ASYNC109 - as for threads
        """As `QuorumLock.acquire`."""
        patience = None if timeout is None else seconds("timeout", timeout, least=0.0)
        began = self._clock()
        steps = self.core.acquire(patience)
        try:
            request = next(steps)
            while True:
                if isinstance(request, float):
                    await asyncio.sleep(request)
                    request = steps.send(None)
                else:
                    request = steps.send(await self.ask(request))
        except StopIteration as stop:
            grant: Grant | None = stop.value
        if grant is None:
            raise NotAcquiredError(self.core.terms.name, self._clock() - began)
        return AsyncQuorumLease(self.core.terms, grant, self._clock, self)

    async def ask(self, calls: Everywhere) -> Replies:
        """Run one call on each server; None where there was no answer."""
        return await asyncio.gather(
            *(_aanswer(client, call) for client, call in zip(self._clients, calls, strict=True))
        )


def _answer(client: SyncClient, call: Call) -> Reply:
    try:
        return run(client, call)
    except redis.RedisError:
        return None


async def _aanswer(client: AsyncClient, call: Call) -> Reply:
    try:
        return await arun(client, call)
    except redis.RedisError:
        return None
