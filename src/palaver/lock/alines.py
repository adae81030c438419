"""A connection to block on, for asyncio; what `lines` is for threads.

On a cluster a connection is opened for the occasion, because the cluster client's own have no public way to be lent.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
from redis.asyncio.cluster import RedisCluster

from palaver.lock.client import AsyncClient, Reply
from palaver.lock.core import Sleep
from palaver.lock.lending import Line, lend
from palaver.lock.lines import ASK_AGAIN, SHARES, SILENT_SECONDS, is_unblocked, waiting


@asynccontextmanager
async def line(client: AsyncClient, key: str) -> AsyncIterator[Line]:
    """A connection to the server that has `key`. If the body fails or is cancelled, the connection is closed."""
    if isinstance(client, RedisCluster):
        await client.initialize()
        node = client.get_node_from_key(key)
        if node is None:
            raise redis.ConnectionError(f"the cluster has no node for the slot of {key!r}")
        async with _own(node.connection_class(**node.connection_kwargs)) as connection:
            yield connection
        return
    pool = client.connection_pool
    if not SHARES.take(pool):
        async with _own(pool.connection_class(**pool.connection_kwargs)) as connection:
            yield connection
        return
    try:
        connection = await lend(pool)
        try:
            yield connection
        except BaseException:  # also a cancellation: whoever uses it next must not read our reply
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
    finally:
        SHARES.give_back(pool)


async def read_within(connection: Line, seconds: float) -> Reply:
    """The next reply; a `redis.TimeoutError` after `seconds`.

    redis-py's own bound would say None, which is what a BLPOP in vain says too: the connection would be used again,
    and its next user would read our reply.
    """
    try:
        async with asyncio.timeout(seconds):
            return await connection.read_response(timeout=math.inf)
    except TimeoutError as error:
        raise redis.TimeoutError(f"no answer within {seconds} s") from error


@asynccontextmanager
async def _own(connection: Line) -> AsyncIterator[Line]:
    try:
        await connection.connect()
        yield connection
    finally:
        await connection.disconnect(nowait=True)


async def block(client: AsyncClient, wait: Sleep) -> object:
    """Do the wait: its reply, or None after its time or when the connection breaks."""
    listen, *commands = waiting(wait)
    try:
        async with line(client, wait.key) as connection:
            await connection.send_packed_command(connection.pack_commands(commands))
            reply = await read_within(connection, listen)
            if wait.then is not None:
                return await read_within(connection, SILENT_SECONDS)
    except ASK_AGAIN:
        return None
    except redis.ResponseError as error:
        if is_unblocked(error):
            return None
        raise
    return None if reply is None else reply[1]
