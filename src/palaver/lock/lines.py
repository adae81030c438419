"""A connection to block on, for threads: the client's own pool while there is room, else one for the occasion.

A waiter blocks for seconds on a connection. Were they all taken from a small pool, nobody could release any more; so
waiters use at most half of a pool, and beyond that each opens a connection and closes it after the wait.

A wait that must end exactly is ended here and not by the server, which closes its connection: that is for the end of a
dead holder's lease, not for every look around.

It refuses to repeat a wait: a lost signal costs a check, which the caller makes anyway.
"""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.cluster import RedisCluster

from palaver.lock.client import UNHEARD, Command, SyncClient
from palaver.lock.core import Sleep
from palaver.lock.lending import Line, Pool

SILENT_SECONDS = 2.0
"""How much longer than the server was asked to block a waiter listens, before it takes the server for silent."""

# What a blocked connection may end with that only means: ask again.
ASK_AGAIN = (
    *UNHEARD,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.NoScriptError,
)


def is_unblocked(error: redis.ResponseError) -> bool:
    """Whether the server ended the wait because it changed its role."""
    return str(error).startswith("UNBLOCKED")


class PoolShares:
    """Counts how many connections of each pool are lent to waiters. One per process: pools are shared by locks."""

    def __init__(self) -> None:
        self._lent: weakref.WeakKeyDictionary[Pool, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._guard = threading.Lock()

    def take(self, pool: Pool) -> bool:
        """Whether one more connection of the pool may be lent; if so it is counted until `give_back`."""
        limit = pool.max_connections // 2
        with self._guard:
            lent = self._count(pool)
            if lent >= limit:
                return False
            self._lent[pool] = (os.getpid(), lent + 1)
            return True

    def give_back(self, pool: Pool) -> None:
        """The connection was returned."""
        with self._guard:
            self._lent[pool] = (os.getpid(), max(0, self._count(pool) - 1))

    def _count(self, pool: Pool) -> int:
        # A forked child inherits the numbers but none of the waiters.
        pid, lent = self._lent.get(pool, (0, 0))
        return lent if pid == os.getpid() else 0


SHARES = PoolShares()


def pool_for(client: SyncClient, key: str) -> Pool:
    """The pool of the server that has `key`."""
    if isinstance(client, RedisCluster):
        node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        return client.get_redis_connection(node).connection_pool
    return client.connection_pool


@contextmanager
def line(pool: Pool) -> Iterator[Line]:
    """A connection of one's own. If the body fails, it is closed: a reply may still be on its way."""
    lent = SHARES.take(pool)
    try:
        connection = pool.get_connection() if lent else pool.connection_class(**pool.connection_kwargs)
        try:
            yield connection
        except BaseException:  # also KeyboardInterrupt: whoever uses it next must not read our reply
            connection.disconnect()
            raise
        finally:
            if lent:
                pool.release(connection)
            else:
                connection.disconnect()
    finally:
        if lent:
            SHARES.give_back(pool)


def block(client: SyncClient, wait: Sleep) -> object:
    """Do the wait: its reply, or None after its time or when the connection breaks."""
    listen, *commands = waiting(wait)
    try:
        with line(pool_for(client, wait.key)) as connection:
            connection.send_packed_command(connection.pack_commands(commands))
            reply = connection.read_response(timeout=listen)
            if wait.then is not None:
                return connection.read_response(timeout=SILENT_SECONDS)
    except ASK_AGAIN:
        return None
    except redis.ResponseError as error:
        if is_unblocked(error):
            return None
        raise
    return None if reply is None else reply[1]


def waiting(wait: Sleep) -> tuple[float, *tuple[Command, ...]]:
    """How many seconds to listen for the first reply, and the commands to send."""
    seconds = max(wait.seconds, 0.001)
    late = SILENT_SECONDS if wait.exact else 0.0
    blpop: Command = ("BLPOP", wait.key, f"{seconds + late:.3f}")
    listen = seconds if wait.exact else seconds + SILENT_SECONDS
    return (listen, blpop) if wait.then is None else (listen, blpop, wait.then.evalsha)
