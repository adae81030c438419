"""aiohttp under a breaker, against a real server that fails."""

import asyncio

import aiohttp
import pytest

from palaver.breaker import BreakerRegistry, CircuitOpenError, Outcome, State
from palaver.breaker.http.aiohttp import AiohttpCircuitOpenError, BreakerMiddleware
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.http.faulty import BODY, FaultyServer


async def fetch(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        return await response.read()


async def test_a_failing_host_is_left_alone(server: FaultyServer) -> None:
    middleware = BreakerMiddleware(failure_threshold=3, open_for=60)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        for _ in range(3):
            await fetch(session, server.url("fail"))
        with pytest.raises(AiohttpCircuitOpenError) as caught:
            await fetch(session, server.url("ok"))
    assert isinstance(caught.value, aiohttp.ClientConnectionError)
    assert isinstance(caught.value, CircuitOpenError)
    assert caught.value.name == server.host
    assert 59 < (caught.value.retry_after or 0) <= 60
    assert server.requests == 3


async def test_a_cut_body_is_a_failure_although_the_status_was_good(server: FaultyServer) -> None:
    middleware = BreakerMiddleware(failure_threshold=2)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        for _ in range(2):
            with pytest.raises(aiohttp.ClientPayloadError):
                await fetch(session, server.url("cut"))
    assert middleware.breakers.get(server.host).state is State.OPEN


async def test_a_body_that_stalls_until_the_timeout_is_a_failure(server: FaultyServer) -> None:
    middleware = BreakerMiddleware(failure_threshold=2)
    timeout = aiohttp.ClientTimeout(sock_read=0.1)
    async with aiohttp.ClientSession(middlewares=[middleware], timeout=timeout) as session:
        for path in ("stall", "hang"):
            with pytest.raises(aiohttp.SocketTimeoutError):
                await fetch(session, server.url(path))
    assert middleware.breakers.get(server.host).state is State.OPEN


async def test_the_servers_limit_sets_the_wait(server: FaultyServer) -> None:
    middleware = BreakerMiddleware(failure_threshold=1, open_for=5)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        await fetch(session, server.url("limit"))
    assert middleware.breakers.get(server.host).retry_after == pytest.approx(120, abs=1)


async def test_good_bodies_are_successes_and_so_is_an_early_end(server: FaultyServer) -> None:
    middleware = BreakerMiddleware(failure_threshold=1)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        assert await fetch(session, server.url("ok")) == BODY
        await fetch(session, server.url("empty"))
        await fetch(session, server.url("missing"))
        async with session.get(server.url("stall")) as response:
            await response.content.read(5)
    assert middleware.breakers.get(server.host).snapshot().outcomes[Outcome.SUCCESS] == 4


@pytest.mark.parametrize("path", ["hang", "stall"])
async def test_cancelling_a_request_is_neutral_at_headers_and_in_the_body(server: FaultyServer, path: str) -> None:
    middleware = BreakerMiddleware(failure_threshold=1)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        answered = asyncio.Event()

        async def read() -> None:
            async with session.get(server.url(path)) as response:
                answered.set()
                await response.read()

        request = asyncio.create_task(read())
        await (answered.wait() if path == "stall" else asyncio.to_thread(server.arrived.wait, 5))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    snapshot = middleware.breakers.get(server.host).snapshot()
    assert snapshot.state is State.CLOSED
    assert snapshot.outcomes[Outcome.CANCELLED] == 1


async def test_a_refused_connection_is_a_failure() -> None:
    middleware = BreakerMiddleware(failure_threshold=1)
    with FaultyServer().running() as gone:
        host, url = gone.host, gone.url("ok")
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await fetch(session, url)
    assert middleware.breakers.get(host).state is State.OPEN


async def test_a_body_that_nobody_reads_or_closes_ends_a_probe_when_it_has_arrived(server: FaultyServer) -> None:
    clock = FakeClock()
    middleware = BreakerMiddleware(breakers=BreakerRegistry(failure_threshold=1, open_for=10, clock=clock))
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        await fetch(session, server.url("fail"))
        breaker = middleware.breakers.get(server.host)
        clock.advance(10)
        closed = asyncio.Event()
        breaker.listen(lambda change: closed.set() if change.after is State.CLOSED else None)
        await session.get(server.url("ok"))
        await asyncio.wait_for(closed.wait(), 40)
    assert breaker.snapshot().outcomes[Outcome.SUCCESS] == 1
