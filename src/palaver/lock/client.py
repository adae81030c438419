"""What the lock needs of a redis client, so that the rest of the package is fully typed.

redis-py types its replies and connections only in part; the aliases say where its values pass through unexamined.
"""

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

UNHEARD = (redis.ConnectionError, redis.TimeoutError)
"""The server did not answer: what was asked may or may not have happened."""


def run(client: AnyClient, call: Call) -> Reply:
    """Run a script by its hash, and by its text if the server does not know it."""
    try:
        return client.execute_command(*call.evalsha)
    except redis.exceptions.NoScriptError:
        return client.execute_command(*call.eval)


async def arun(client: AnyClient, call: Call) -> Reply:
    """`run`, for asyncio."""
    try:
        return await client.execute_command(*call.evalsha)
    except redis.exceptions.NoScriptError:
        return await client.execute_command(*call.eval)
