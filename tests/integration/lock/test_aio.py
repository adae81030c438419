"""What asyncio adds: tasks that share a lock, and bodies that are cancelled before their lease can end."""

import asyncio
import gc
import time
import weakref

import pytest
import redis.asyncio

from palaver.lock import LockLostError, LossReason, NotAcquiredError, StaleFenceError
from palaver.lock.aio import DistributedLock
from palaver.lock.lease import LeaseRecord
from tests.integration.lock.tasks import DEADLINE_SECONDS, gone, left_behind, waiting
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


@pytest.fixture
def client(aclient: redis.asyncio.Redis) -> redis.asyncio.Redis:
    return aclient


# Tasks


async def test_tasks_may_share_one_lock_and_are_served_in_order(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name")
    served: list[int] = []

    async def work(number: int) -> None:
        async with lock as lease:
            served.append(number)
            lease.check()

    async with asyncio.TaskGroup() as group, lock:
        for number in range(5):
            group.create_task(work(number))
            await waiting(client, number + 1)
    assert served == [0, 1, 2, 3, 4]
    assert await left_behind(client) == []


async def test_one_tasks_late_release_leaves_the_others_lock_alone(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name")
    first = await lock.acquire()
    await client.delete("name")
    second = await asyncio.create_task(lock.acquire())
    with pytest.raises(LockLostError):
        await first.release()
    assert await client.get("name") == second.token.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
async def test_a_name_is_encoded_as_the_client_encodes(valkey: Valkey, encoding: str) -> None:
    async with redis.asyncio.Redis(host=valkey.host, port=valkey.port, encoding=encoding) as client:
        lock = DistributedLock(client, "schloß")
        async with lock as lease:
            assert await client.get("schloß".encode(encoding)) == lease.token.encode()
            waiter = asyncio.create_task(lock.acquire())
            await waiting(client, 1, queue="palaver:{schloß}:queue")
        await (await waiter).release()
        assert not await client.exists("schloß")


async def test_timeout_try_and_extend_are_as_for_threads(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=5)
    lease = await lock.acquire()
    assert await lock.try_acquire() is None
    with pytest.raises(NotAcquiredError):
        await lock.acquire(timeout=0.01)
    await lease.extend(60)
    assert lease.remaining() > 50
    await lease.fenced.set("key", "value")
    assert await lease.fenced.hset("hash", {"a": 1}) == 1
    assert await lease.fenced.incr("number") == 1
    assert await lease.fenced.eval("return ARGV[1]", "key", "x") == b"x"
    await lease.release()
    await lease.release()
    newer = await lock.acquire()
    with pytest.raises(StaleFenceError):
        await type(lease.fenced)(client, lease.fence, lock_name="name").set("key", "stale")
    await newer.release()


# The body


async def test_the_body_is_cancelled_before_its_lease_can_end(client: redis.asyncio.Redis) -> None:
    remaining: list[float] = []

    async def body() -> None:
        async with DistributedLock(client, "name", ttl=2) as lease:
            try:
                await asyncio.Event().wait()
            finally:
                remaining.append(lease.deadline - time.monotonic())

    with pytest.raises(LockLostError) as caught:
        await body()
    assert caught.value.reason is LossReason.EXPIRED
    assert remaining[0] > 0
    assert not await client.exists("name")


async def test_with_renewal_the_body_outlives_many_leases(client: redis.asyncio.Redis) -> None:
    async with DistributedLock(client, "name", ttl=0.9, renew=True) as lease:
        first = lease.deadline
        async with asyncio.timeout(DEADLINE_SECONDS):
            while lease.deadline < first + 2.0:  # noqa: ASYNC110 - a condition of the real world
                await asyncio.sleep(0.01)
        lease.check()


async def test_the_body_is_cancelled_in_time_although_the_server_is_silent(own_valkey: Valkey) -> None:
    remaining: list[float] = []

    async def body(client: redis.asyncio.Redis) -> None:
        async with DistributedLock(client, "name", ttl=3, renew=True) as lease:
            own_valkey.pause()
            try:
                await asyncio.Event().wait()
            finally:
                remaining.append(lease.deadline - time.monotonic())

    async with redis.asyncio.Redis(port=own_valkey.port) as client:
        began = time.monotonic()
        with pytest.raises(LockLostError) as caught:
            await body(client)
        assert caught.value.reason is LossReason.UNCONFIRMED
        assert remaining[0] > 0
        assert time.monotonic() - began < 20, "nobody waits for the silent server"
        own_valkey.resume()


async def test_the_body_is_cancelled_at_once_when_the_lock_is_taken(client: redis.asyncio.Redis) -> None:
    told: list[LeaseRecord] = []

    async def body() -> None:
        async with DistributedLock(client, "name", ttl=3, renew=True, on_lost=told.append):
            await client.set("name", "another")
            await asyncio.Event().wait()

    with pytest.raises(LockLostError) as caught:
        await body()
    assert caught.value.reason is LossReason.TAKEN, "told at the next renewal; at its end it would have been EXPIRED"
    assert [lease.lost for lease in told] == [LossReason.TAKEN]
    assert await client.get("name") == b"another"


async def test_a_cancellation_from_outside_stays_one(client: redis.asyncio.Redis) -> None:
    entered = asyncio.Event()

    async def body() -> None:
        async with DistributedLock(client, "name"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left_behind(client) == []


async def test_renewal_stops_when_the_task_that_acquired_has_ended(client: redis.asyncio.Redis) -> None:
    lock = DistributedLock(client, "name", ttl=0.15, renew=True)
    lease = await asyncio.create_task(lock.acquire())
    await gone(client)
    assert lease.lost is not None


async def test_renewal_stops_when_nobody_has_the_lease_any_more(client: redis.asyncio.Redis) -> None:
    await DistributedLock(client, "name", ttl=0.15, renew=True).acquire()
    await gone(client)


async def test_a_dropped_lease_is_collected_at_once_though_the_server_had_forgotten_the_script(
    client: redis.asyncio.Redis,
) -> None:
    """An error within the client keeps frames in a circle; from Python 3.12 on they keep their callers' frames."""
    await client.script_flush()
    gc.disable()
    try:
        lease = weakref.ref(await DistributedLock(client, "name", ttl=10).acquire())
        assert lease() is None
    finally:
        gc.enable()
