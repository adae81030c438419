"""A connection lent without the pool's own `get_connection` is as good as one lent by it. Also what is relied on in the
installed redis-py: that its ordinary pool can be used so, and that a cycle of the lock sets no timer.
"""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintenanceState

from palaver.lock import lending
from palaver.lock.aio import DistributedLock
from palaver.lock.lending import Line, Pool, lend
from tests.integration.lock.tasks import one_cycle
from tests.unit.lock.timers import noted
from tests.valkey import Valkey

pytestmark = pytest.mark.redis


def pool_of(valkey: Valkey, **options: Any) -> Pool:
    return redis.asyncio.ConnectionPool(
        host=valkey.host, port=valkey.port, retry=Retry(NoBackoff(), retries=0), max_connections=1, **options
    )


@pytest.fixture
async def pool(valkey: Valkey) -> AsyncIterator[Pool]:
    pool = pool_of(valkey, protocol=2)
    yield pool
    await pool.aclose()


@pytest.fixture
def asked(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that the pool's own way was taken."""
    seen: list[str] = []
    own_way = pool.get_connection

    async def get_connection() -> Line:
        seen.append("asked")
        return await own_way()

    monkeypatch.setattr(pool, "get_connection", get_connection)
    return seen


async def answer(connection: Line, word: str) -> bytes:
    await connection.send_command("ECHO", word)
    reply: bytes = await connection.read_response()
    return reply


async def test_an_ordinary_pool_is_not_asked_and_lends_one_to_one(pool: Pool, asked: list[str]) -> None:
    first = await lend(pool)
    with pytest.raises(redis.MaxConnectionsError):
        await lend(pool)
    assert await answer(first, "a") == b"a"
    await pool.release(first)
    assert await lend(pool) is first
    await pool.release(first)
    assert asked == []


async def test_a_connection_that_the_server_closed_is_connected_anew(pool: Pool, valkey: Valkey) -> None:
    connection = await lend(pool)
    await connection.send_command("CLIENT", "ID")
    number = await connection.read_response()
    await pool.release(connection)
    with valkey.client() as other:
        other.client_kill_filter(_id=str(number))
    await asyncio.wait_for(closed(connection), 5)
    connection = await lend(pool)
    assert await answer(connection, "a") == b"a"
    await pool.release(connection)


async def closed(connection: Line) -> None:
    while not await connection.can_read():  # noqa: ASYNC110 - redis-py tells nobody
        await asyncio.sleep(0.001)


async def test_a_connection_that_is_found_broken_is_connected_anew(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await lend(pool)
    await pool.release(connection)
    can_read = connection.can_read

    async def found() -> bool:
        monkeypatch.setattr(connection, "can_read", can_read)
        await connection.disconnect()
        raise redis.ConnectionError("the fault itself")

    monkeypatch.setattr(connection, "can_read", found)
    connection = await lend(pool)
    assert await answer(connection, "a") == b"a"
    await pool.release(connection)


async def test_an_answer_that_nobody_read_is_not_the_next_ones(pool: Pool) -> None:
    connection = await lend(pool)
    await connection.send_command("ECHO", "stale")
    await asyncio.wait_for(closed(connection), 5)
    await pool.release(connection)
    connection = await lend(pool)
    assert await answer(connection, "fresh") == b"fresh"
    await pool.release(connection)


async def test_where_nothing_is_lent_nothing_is_taken(own_valkey: Valkey) -> None:
    """The pool has one connection: were it lost, the error would be another, and then nothing would work."""
    pool = pool_of(own_valkey, socket_timeout=30)
    own_valkey.stop()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError, match="connecting"):
            await lend(pool)
    own_valkey.start()
    own_valkey.pause()
    for _ in range(2):
        task = asyncio.create_task(lend(pool))
        await asyncio.wait({task}, timeout=0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    own_valkey.resume()
    connection = await lend(pool)
    assert await answer(connection, "a") == b"a"
    await pool.release(connection)
    await pool.aclose()


async def test_a_pool_that_moves_to_another_server_is_asked(pool: Pool, asked: list[str]) -> None:
    connection = await lend(pool)
    connection.maintenance_state = MaintenanceState.MOVING
    await pool.release(connection)
    connection = await lend(pool)
    assert asked == ["asked"]
    with pytest.raises(redis.MaxConnectionsError):
        await lend(pool)
    await pool.release(connection)


async def test_a_pool_whose_connections_are_counted_is_asked(
    pool: Pool, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving back counts one less: what is lent must have been counted."""
    monkeypatch.setattr(lending, "get_observability_instance", lambda: SimpleNamespace(is_enabled=lambda: True))
    await pool.release(await lend(pool))
    assert asked == ["asked"]


async def test_a_pool_of_another_kind_is_asked(valkey: Valkey) -> None:
    """This one waits for a connection that is given back, where an ordinary one refuses."""
    pool = redis.asyncio.BlockingConnectionPool(host=valkey.host, port=valkey.port, max_connections=1, timeout=5)
    first = await lend(pool)
    waiting = asyncio.create_task(lend(pool))
    await asyncio.wait({waiting}, timeout=0.02)
    await pool.release(first)
    await pool.release(await waiting)
    await pool.aclose()


async def test_a_cycle_sets_no_timer(aclient: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = DistributedLock(aclient, "name")
    for _ in range(2):
        lease = await lock.acquire()
        await lease.release()
    timers = noted(asyncio.get_running_loop(), monkeypatch)
    for _ in range(20):
        lease = await lock.acquire()
        await lease.release()
    assert timers == []
    await one_cycle(lock)
    assert timers, "the body of `async with` has one"
