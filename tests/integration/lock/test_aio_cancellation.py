"""Cancelled at any await, or cut off from the server, the asyncio lock leaves nothing."""

import asyncio
import random
import time
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from palaver.lock import OutcomeUnknownError, alines, lines
from palaver.lock.aio import DistributedLock, Lease
from palaver.lock.core import Sleep
from palaver.lock.scripts import ACQUIRE, RELEASE
from palaver.lock.testing import Proxy, cancel_at
from tests.integration.lock.tasks import left_behind, one_cycle, one_wait, waiting, waiting_or_done
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


@pytest.fixture
def client(aclient: redis.asyncio.Redis) -> redis.asyncio.Redis:
    return aclient


# Cancellation


async def test_cancelling_at_every_await_leaves_nothing(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=30)
    points = 0
    while await asyncio.create_task(cancel_at(one_cycle(lock), points + 1)):
        points += 1
        await lock.aclose()
        assert await left_behind(client) == [], f"cancelled at await {points}"
    assert points >= 3, "acquire, the body, release"


async def test_cancelling_a_waiter_at_every_await_leaves_nothing(client: redis.asyncio.Redis) -> None:
    """Among them the one where the lock was just handed to it."""
    lock = DistributedLock(client, "name", ttl=30)
    points = 0
    while True:
        holder = await lock.acquire(timeout=30)
        waiter = asyncio.create_task(cancel_at(one_wait(lock), points + 1))
        await waiting_or_done(client, waiter)
        await holder.release()
        if not await waiter:
            break
        points += 1
        await lock.aclose()
        assert await left_behind(client) == [], f"cancelled at await {points}"
    assert points >= 3, "acquire, wait to be handed it, release"


@pytest.mark.slow
async def test_a_thousand_random_cancellations_leave_nothing(client: redis.asyncio.Redis) -> None:
    chance = random.Random(5)  # seeded, so that a failure comes back
    lock = DistributedLock(client, "name", ttl=30)
    for _ in range(100):
        tasks = [asyncio.create_task(one_cycle(lock)) for _ in range(10)]
        for task in chance.sample(tasks, k=len(tasks)):
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await lock.aclose()
        assert await left_behind(client) == []


async def test_cancelling_while_the_server_is_silent_leaves_nothing_once_it_is_back(own_valkey: Valkey) -> None:
    async with redis.asyncio.Redis(port=own_valkey.port) as client:
        lock = DistributedLock(client, "name", ttl=30)
        await one_cycle(lock)
        own_valkey.pause()
        task = asyncio.create_task(lock.acquire())
        await asyncio.wait({task}, timeout=0.05)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 10, (
            "a cancellation is held back for a second at most, and not until it answers"
        )
        own_valkey.resume()
        await lock.aclose()
        assert await left_behind(client) == []


async def test_a_cancelled_release_is_a_release(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=30)
    for at in range(1, 20):
        lease = await lock.acquire(timeout=30)
        if not await asyncio.create_task(cancel_at(lease.release(), at)):
            return
        assert not await client.exists("name"), f"cancelled at await {at}"
        await lease.release()
    pytest.fail("release has no end of awaits")


# Lost replies


async def test_lost_replies_are_neither_a_wait_for_oneself_nor_a_false_alarm(valkey: Valkey) -> None:
    with Proxy(valkey.host, valkey.port) as proxy:
        async with redis.asyncio.Redis(port=proxy.port) as client:
            lock = DistributedLock(client, "name", ttl=30)
            await one_cycle(lock)
            proxy.lose_reply_to(ACQUIRE.sha)
            async with asyncio.timeout(20):  # its own lease is one of 30 s
                lease = await lock.acquire()
            proxy.lose_reply_to(RELEASE.sha)
            await lease.release()
            assert proxy.lost == 2
            assert await left_behind(client) == []


async def test_a_waiter_does_not_read_the_answer_of_a_wait_it_gave_up(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was silent for longer than the wait, and answers it when it is back."""
    monkeypatch.setattr(lines, "SILENT_SECONDS", 0.05)
    async with redis.asyncio.Redis(port=own_valkey.port) as client:
        await client.ping()
        own_valkey.pause()
        assert await alines.block(client, Sleep("list", 0.05)) is None
        own_valkey.resume()
        for _ in range(3):
            assert await client.ping() is True


async def test_a_client_with_one_connection_and_one_that_is_watched_are_asked_in_their_own_way(valkey: Valkey) -> None:
    async with redis.asyncio.Redis(port=valkey.port, single_connection_client=True) as single:
        await one_cycle(DistributedLock(single, "name"))
        assert int((await single.info("clients"))["connected_clients"]) <= 2, "the one of the test's server and this"

    seen: list[object] = []

    class Watched(redis.asyncio.Redis):
        async def execute_command(self, *args: Any, **options: Any) -> object:
            seen.append(args[0])
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's

    async with Watched(port=valkey.port) as watched:
        await one_cycle(DistributedLock(watched, "name"))
    assert seen.count("EVALSHA") == 2


async def test_waiting_may_last_longer_than_the_clients_socket_timeout(
    valkey: Valkey, client: redis.asyncio.Redis
) -> None:
    retry = Retry(NoBackoff(), retries=0)
    async with redis.asyncio.Redis(port=valkey.port, retry=retry, socket_timeout=1.0) as short:
        lease = await DistributedLock(client, "name").acquire()
        waiter = asyncio.create_task(one_wait(DistributedLock(short, "name", claim=2.5)))
        await waiting(client, 1)
        await asyncio.sleep(2)  # the fault itself: nothing comes for longer than the socket's patience
        await lease.release()
        await waiter


async def test_a_silent_server_makes_the_outcome_unknown(own_valkey: Valkey) -> None:
    async with redis.asyncio.Redis(
        port=own_valkey.port, retry=Retry(NoBackoff(), retries=0), socket_timeout=0.7
    ) as client:
        lock = DistributedLock(client, "name", ttl=30)
        lease: Lease = await lock.acquire()
        own_valkey.pause()
        with pytest.raises(OutcomeUnknownError):
            await lock.acquire(timeout=1)
        with pytest.raises(OutcomeUnknownError):
            await lease.extend()
        with pytest.raises(OutcomeUnknownError):
            await lease.release()
        own_valkey.resume()
        await lock.aclose()


async def test_waiting_never_takes_more_than_half_of_a_small_pool(valkey: Valkey, client: redis.asyncio.Redis) -> None:
    pool = redis.asyncio.BlockingConnectionPool(host=valkey.host, port=valkey.port, max_connections=2, timeout=30)
    async with redis.asyncio.Redis.from_pool(pool) as small:
        lock = DistributedLock(small, "name")
        lease = await lock.acquire()
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(one_cycle(lock))
            await waiting(client, 4)
            await lease.release()
    assert await left_behind(client) == []


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_every_way_of_decoding_and_protocol_works(valkey: Valkey, decode_responses: bool, protocol: int) -> None:
    async with redis.asyncio.Redis(
        host=valkey.host, port=valkey.port, decode_responses=decode_responses, protocol=protocol
    ) as client:
        lock = DistributedLock(client, "name")
        lease = await lock.acquire()
        waiter = asyncio.create_task(one_wait(lock))
        await waiting(client, 1)
        await lease.fenced.set("key", "value")
        await lease.release()
        await waiter
