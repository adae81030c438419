"""The quorum lock on three real servers: it outlives one of them, and its fence rises whichever two answer."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from palaver.lock import LockLostError, NotAcquiredError
from palaver.lock.quorum import AsyncQuorumLock, QuorumLock
from tests.valkey import Valkey, ValkeyFactory

pytestmark = pytest.mark.redis

Make = Callable[[], QuorumLock]


@pytest.fixture
def servers(valkey_factory: ValkeyFactory) -> list[Valkey]:
    return [valkey_factory() for _ in range(3)]


@pytest.fixture
def clients(servers: list[Valkey]) -> Iterator[list[redis.Redis]]:
    made = [server.client(retry=Retry(NoBackoff(), retries=0), socket_timeout=5) for server in servers]
    yield made
    for client in made:
        client.close()


def test_a_majority_is_held_and_given_back(clients: list[redis.Redis]) -> None:
    lock = QuorumLock(clients, "name")
    with lock.acquire() as lease:
        assert {client.get("name") for client in clients} == {lease.token.encode()}
        with pytest.raises(NotAcquiredError):
            QuorumLock(clients, "name").acquire(timeout=0)
        lease.extend(20)
        assert lease.remaining() > 15
    assert not any(client.exists("name") for client in clients)


def test_one_server_down_does_not_stop_it(servers: list[Valkey], clients: list[redis.Redis]) -> None:
    servers[0].kill()
    with QuorumLock(clients, "name").acquire(timeout=30) as lease:
        lease.check()


def test_two_servers_down_stop_it_and_leave_nothing(servers: list[Valkey], clients: list[redis.Redis]) -> None:
    servers[0].kill()
    servers[1].kill()
    with pytest.raises(NotAcquiredError):
        QuorumLock(clients, "name").acquire(timeout=0)
    assert not clients[2].exists("name")


def test_the_fence_rises_whichever_majority_answers(servers: list[Valkey], clients: list[redis.Redis]) -> None:
    future = 4_000_000_000_000_000
    clients[0].set("palaver:{name}:fence", future)
    fences = []
    for silent in (2, 0, 1):
        # Another client holds it there, so that the majority is the two others.
        clients[silent].set("name", "another")
        with QuorumLock(clients, "name").acquire(timeout=30) as lease:
            fences.append(lease.fence)
        clients[silent].delete("name")
    assert fences[0] > future
    assert fences == sorted(set(fences))


def test_an_extension_without_a_majority_gives_the_lease_up(servers: list[Valkey], clients: list[redis.Redis]) -> None:
    lease = QuorumLock(clients, "name").acquire()
    servers[0].kill()
    servers[1].kill()
    with pytest.raises(LockLostError):
        lease.extend()


@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_an_even_number_of_servers_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        QuorumLock([redis.Redis()] * number, "name")


async def test_asyncio_too(servers: list[Valkey]) -> None:
    retry = AsyncRetry(NoBackoff(), retries=0)
    clients = [redis.asyncio.Redis(port=server.port, retry=retry, socket_timeout=5) for server in servers]
    lock = AsyncQuorumLock(clients, "name")
    served: list[int] = []

    async def work() -> None:
        async with await lock.acquire() as lease:
            served.append(lease.fence)
            await lease.extend()

    await asyncio.gather(*(work() for _ in range(4)))
    servers[2].kill()
    await work()
    assert len(served) == 5
    assert served == sorted(served)
    for client in clients:
        await client.aclose()
