"""What the lock needs of a redis client, so that the rest of the package is fully typed.

redis-py types its replies and connections only in part; the aliases say where its values pass through unexamined.

A plain client's script runs on a connection of its pool: once, then with the connection's own retries if it has any.
That leaves out what `execute_command` does around it, which costs a third of a round trip on a fast network. A client
that is a cluster's, that holds one connection for itself, or whose `execute_command` somebody replaced (to trace or to
script it) is asked through that method.
"""

import asyncio
from types import FunctionType
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from palaver.lock.core import Call

Reply: TypeAlias = Any
"""Whatever the client made of the server's reply."""

Pool: TypeAlias = Any
"""A connection pool of redis-py."""

SyncClient: TypeAlias = redis.Redis | RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | AsyncRedisCluster

AnyClient: TypeAlias = Any
"""One of the two, whose `execute_command` redis-py leaves untyped."""

Line: TypeAlias = Any
"""A connection of redis-py, used by one waiter alone."""

CLUSTERS = (RedisCluster, AsyncRedisCluster)

Command: TypeAlias = tuple[str | int, ...]

UNHEARD = (redis.ConnectionError, redis.TimeoutError)
"""The server did not answer: what was asked may or may not have happened."""


_EXECUTE = redis.Redis.execute_command
_ASYNC_EXECUTE = redis.asyncio.Redis.execute_command


def _is_plain(client: AnyClient, execute: object) -> bool:
    """Whether `client` runs commands in redis-py's own way, on connections of its pool."""
    return type(client).execute_command is execute and type(execute) is FunctionType and client.connection is None


def run(client: AnyClient, call: Call) -> Reply:
    """Run a script by its hash, and by its text if the server does not know it."""
    ask = _ask_on_pool if _is_plain(client, _EXECUTE) else _ask
    try:
        return ask(client, call.evalsha)
    except redis.exceptions.NoScriptError:
        return ask(client, call.eval)


def _ask(client: AnyClient, command: Command) -> Reply:
    return client.execute_command(*command)


def _ask_on_pool(client: AnyClient, command: Command) -> Reply:
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        try:
            return _exchange(connection, command)
        except UNHEARD:
            if connection.retry.get_retries() == 0:
                raise
        connection.disconnect()
        return connection.retry.call_with_retry(
            lambda: _exchange(connection, command), lambda _: connection.disconnect()
        )
    except redis.ResponseError:
        raise  # the server's answer: the connection is in order
    except BaseException:  # also KeyboardInterrupt: whoever uses it next must not read our reply
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _exchange(connection: Line, command: Command) -> Reply:
    connection.send_command(*command)
    return connection.read_response()


async def arun(client: AnyClient, call: Call) -> Reply:
    """`run`, for asyncio."""
    ask = _aask_on_pool if _is_plain(client, _ASYNC_EXECUTE) and not client.single_connection_client else _aask
    try:
        return await ask(client, call.evalsha)
    except redis.exceptions.NoScriptError:
        return await ask(client, call.eval)


async def _aask(client: AnyClient, command: Command) -> Reply:
    return await client.execute_command(*command)


async def _aask_on_pool(client: AnyClient, command: Command) -> Reply:
    pool = client.connection_pool
    connection = await pool.get_connection()
    try:
        try:
            return await _aexchange(connection, command)
        except UNHEARD:
            if connection.retry.get_retries() == 0:
                raise
        await connection.disconnect(nowait=True)
        return await connection.retry.call_with_retry(
            lambda: _aexchange(connection, command), lambda _: connection.disconnect(nowait=True)
        )
    except redis.ResponseError:
        raise  # as above
    except BaseException:  # also a cancellation
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _aexchange(connection: Line, command: Command) -> Reply:
    if not connection.is_connected:
        await connection.connect()
    # redis-py bounds the sending and the reading apart, and on Python 3.11 starts a task for the first: one bound
    # around both is the same to the caller and costs half as much.
    limit, connection.socket_timeout = connection.socket_timeout, None
    try:
        async with asyncio.timeout(limit):
            await connection.send_command(*command)
            return await connection.read_response()
    except TimeoutError as error:
        raise redis.TimeoutError(f"no answer within {limit} s") from error
    finally:
        connection.socket_timeout = limit
