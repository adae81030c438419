"""A client of the shared server, and one behind a proxy that can lose replies."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
import redis.asyncio

from palaver.lock import DistributedLock
from palaver.lock.testing import Proxy
from tests.valkey import Valkey


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with valkey.client() as client:
        yield client


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    with Proxy(valkey.host, valkey.port) as proxy:
        yield proxy


@pytest.fixture
def lossy(proxy: Proxy) -> Iterator[redis.Redis]:
    """A client behind the proxy, which knows the scripts, so that the reply lost is the one that matters."""
    with redis.Redis(port=proxy.port) as client:
        DistributedLock(client, "warm").acquire().release()
        yield client


@pytest.fixture
async def aclient(valkey: Valkey) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis(host=valkey.host, port=valkey.port) as client:
        yield client
