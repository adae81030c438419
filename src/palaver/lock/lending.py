"""Takes a connection out of an asyncio pool of redis-py, without what its `get_connection` does in vain.

An ordinary pool's `get_connection` takes a lock that nobody has, save who moves the pool to another server; counts, for
metrics that are off; and connects what is connected: some 10 us for each command on a quiet machine. Where one of these
is not so, or the pool or redis-py is of another kind, it is asked all the same. It refuses to give back: that is
`pool.release`, for every connection, which also tells who listens for it.

Invariant: who was lent a connection has one that is connected and has nothing to read; who was not, has taken none.
"""

from typing import Any, TypeAlias

import redis
import redis.asyncio

Pool: TypeAlias = Any
"""A connection pool of redis-py."""

Line: TypeAlias = Any
"""A connection of redis-py, used by one task alone."""

try:
    from redis.maint_notifications import MaintenanceState
    from redis.observability import get_observability_instance
except ImportError:  # redis-py before 8
    _GET_CONNECTION: object = None
else:
    _GET_CONNECTION = redis.asyncio.ConnectionPool.get_connection


async def lend(pool: Pool) -> Line:
    """A connection of the pool, to be given back with `pool.release`.

    Raises:
        redis.RedisError: as `pool.get_connection`.
    """
    if type(pool).get_connection is not _GET_CONNECTION or get_observability_instance().is_enabled():
        return await pool.get_connection()
    connection = pool.get_available_connection()
    try:
        at_rest = getattr(connection, "maintenance_state", MaintenanceState.NONE) is MaintenanceState.NONE
        if at_rest:
            if not await _is_ready(connection):
                await pool.ensure_connection(connection)
            return connection
    except BaseException:  # also a cancellation
        await pool.release(connection)
        raise
    await pool.release(connection)
    return await pool.get_connection()


async def _is_ready(connection: Line) -> bool:
    try:
        return connection.is_connected and not await connection.can_read()
    except (redis.ConnectionError, redis.TimeoutError):
        return False  # closed by the server while nobody used it
