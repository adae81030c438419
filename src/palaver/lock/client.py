"""What the lock needs of a redis client, so that the rest of the package is fully typed.

redis-py types its replies and connections only in part; the aliases say where its values pass through unexamined.

A plain client's script runs on a connection of its pool: once, then with the connection's own retries if it has any.
That leaves out what `execute_command` does around it, which costs a third of a round trip on a fast network. A client
that is a cluster's, that holds one connection for itself, or whose `execute_command` somebody replaced (to trace or to
script it) is asked through that method.
"""

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from palaver.lock.core import Call
from palaver.lock.lending import Line, lend
from palaver.lock.limits import Limit

Reply: TypeAlias = Any
"""Whatever the client made of the server's reply."""

SyncClient: TypeAlias = redis.Redis | RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | AsyncRedisCluster

AnyClient: TypeAlias = Any
"""One of the two, whose `execute_command` redis-py leaves untyped."""

CLUSTERS = (RedisCluster, AsyncRedisCluster)

Command: TypeAlias = tuple[str | int, ...]

Meanwhile: TypeAlias = Callable[[], object]

UNHEARD = (redis.ConnectionError, redis.TimeoutError)
"""The server did not answer: what was asked may or may not have happened."""


_EXECUTE = redis.Redis.execute_command
_ASYNC_EXECUTE = redis.asyncio.Redis.execute_command


def _is_plain(client: AnyClient, execute: object) -> bool:
    """Whether `client` runs commands in redis-py's own way, on connections of its pool, and in UTF-8."""
    return (
        type(client).execute_command is execute
        and type(execute) is FunctionType
        and client.connection is None
        and client.connection_pool.connection_kwargs.get("encoding", "utf-8") == "utf-8"
    )


def run(client: AnyClient, call: Call) -> Reply:
    """Run a script by its hash, and by its text if the server does not know it."""
    plain = _is_plain(client, _EXECUTE)
    try:
        return _ask_on_pool(client, call) if plain else client.execute_command(*call.evalsha)
    except redis.exceptions.NoScriptError:
        return client.execute_command(*call.eval)


def _ask_on_pool(client: AnyClient, call: Call) -> Reply:
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        try:
            return _exchange(connection, call)
        except UNHEARD:
            if connection.retry.get_retries() == 0:
                raise
        connection.disconnect()
        return connection.retry.call_with_retry(lambda: _exchange(connection, call), lambda _: connection.disconnect())
    except redis.ResponseError:
        raise  # the server's answer: the connection is in order
    except BaseException:  # also KeyboardInterrupt: whoever uses it next must not read our reply
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _exchange(connection: Line, call: Call) -> Reply:
    packed = call.packed
    connection.send_packed_command(connection.pack_command(*call.evalsha) if packed is None else (packed,))
    return connection.read_response()


async def arun(client: AnyClient, call: Call, meanwhile: Meanwhile | None = None) -> Reply:
    """`run`, for asyncio. `meanwhile` may be called once the request is on its way, or not at all; must be brief."""
    plain = _is_plain(client, _ASYNC_EXECUTE) and not client.single_connection_client
    try:
        return await (_aask_on_pool(client, call, meanwhile) if plain else client.execute_command(*call.evalsha))
    except redis.exceptions.NoScriptError:
        return await client.execute_command(*call.eval)


async def _aask_on_pool(client: AnyClient, call: Call, meanwhile: Meanwhile | None) -> Reply:
    pool = client.connection_pool
    connection = await lend(pool)
    try:
        try:
            return await _aexchange(connection, call, meanwhile)
        except UNHEARD:
            if connection.retry.get_retries() == 0:
                raise
        await connection.disconnect(nowait=True)
        return await connection.retry.call_with_retry(
            lambda: _aexchange(connection, call), lambda _: connection.disconnect(nowait=True)
        )
    except redis.ResponseError:
        raise  # as above
    except BaseException:  # also a cancellation
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _aexchange(connection: Line, call: Call, meanwhile: Meanwhile | None = None) -> Reply:
    if not connection.is_connected:
        await connection.connect()
    packed = call.packed
    if packed is None or connection.health_check_interval:
        await connection.send_command(*call.evalsha)
        return await connection.read_response()
    # redis-py bounds the sending (on Python 3.11 with a task of its own) and the reading with a timer each. A command
    # of ours is far smaller than what a transport takes without waiting, and the connection's earlier ones were
    # answered, so nothing is in its way; and the limit of the reading is cheaper here.
    patience, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command((packed,))
    finally:
        connection.socket_timeout = patience
    if meanwhile is not None:
        meanwhile()
    if patience is None:
        return await connection.read_response()
    try:
        with Limit(patience):
            return await connection.read_response(timeout=math.inf)
    except TimeoutError as error:
        raise redis.TimeoutError(f"no answer within {patience} s") from error
