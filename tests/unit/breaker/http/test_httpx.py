"""httpx under a breaker, against a real server that fails."""

import asyncio
from typing import Self

import httpx
import pytest

from palaver.breaker import BreakerRegistry, CircuitOpenError, Outcome, State
from palaver.breaker.http.httpx import AsyncBreakerTransport, BreakerTransport, HttpxCircuitOpenError
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.http.faulty import BODY, FaultyServer


def test_a_failing_host_is_left_alone(server: FaultyServer) -> None:
    transport = BreakerTransport(failure_threshold=3, open_for=60)
    with httpx.Client(transport=transport) as client:
        assert [client.get(server.url("fail")).status_code for _ in range(3)] == [503] * 3
        with pytest.raises(HttpxCircuitOpenError) as caught:
            client.get(server.url("ok"))
    assert isinstance(caught.value, httpx.TransportError)
    assert isinstance(caught.value, CircuitOpenError)
    assert caught.value.name == server.host
    assert caught.value.request.url == server.url("ok")
    assert caught.value.__cause__ is None
    assert server.requests == 3


def test_a_cut_body_is_a_failure_although_the_status_was_good(server: FaultyServer) -> None:
    transport = BreakerTransport(failure_threshold=2)
    with httpx.Client(transport=transport) as client:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(server.url("cut"))
    assert transport.breakers.get(server.host).state is State.OPEN


def test_a_hanging_host_is_left_alone(server: FaultyServer) -> None:
    transport = BreakerTransport(failure_threshold=1)
    with httpx.Client(transport=transport, timeout=0.1) as client, pytest.raises(httpx.ReadTimeout):
        client.get(server.url("hang"))
    assert transport.breakers.get(server.host).state is State.OPEN


def test_the_servers_limit_sets_the_wait_up_to_the_cap(server: FaultyServer) -> None:
    for cap, wait in ((300.0, 120.0), (60.0, 60.0)):
        transport = BreakerTransport(failure_threshold=1, open_for=5, retry_after_cap=cap)
        with httpx.Client(transport=transport) as client:
            assert client.get(server.url("limit")).status_code == 429
        assert transport.breakers.get(server.host).retry_after == pytest.approx(wait, abs=1)


def test_good_bodies_and_not_found_are_successes(server: FaultyServer) -> None:
    transport = BreakerTransport(failure_threshold=1)
    with httpx.Client(transport=transport) as client:
        assert client.get(server.url("ok")).content == BODY
        client.get(server.url("empty"))
        client.get(server.url("missing"))
        with client.stream("GET", server.url("ok")) as response:
            next(response.iter_bytes(10))
    assert transport.breakers.get(server.host).snapshot().outcomes[Outcome.SUCCESS] == 4


def test_what_the_caller_did_wrong_says_nothing_about_the_host(server: FaultyServer) -> None:
    transport = BreakerTransport(failure_threshold=1)
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.UnsupportedProtocol):
        client.get(f"ftp://{server.host}/ok")
    assert all(breaker.is_closed for breaker in transport.breakers)


def test_clients_can_share_breakers(server: FaultyServer) -> None:
    breakers: BreakerRegistry[str] = BreakerRegistry(failure_threshold=1)
    with httpx.Client(transport=BreakerTransport(breakers=breakers)) as client:
        client.get(server.url("fail"))
    with httpx.Client(transport=BreakerTransport(breakers=breakers)) as client, pytest.raises(CircuitOpenError):
        client.get(server.url("ok"))


async def test_async_failures_cut_bodies_and_successes_are_counted(server: FaultyServer) -> None:
    transport = AsyncBreakerTransport(failure_threshold=3)
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(server.url("ok"))).content == BODY
        await client.get(server.url("fail"))
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(server.url("cut"))
        with pytest.raises(HttpxCircuitOpenError):
            await client.get(server.url("ok"))
    outcomes = transport.breakers.get(server.host).snapshot().outcomes
    assert (outcomes[Outcome.SUCCESS], outcomes[Outcome.FAILURE]) == (1, 3)


@pytest.mark.parametrize("path", ["hang", "stall"])
async def test_cancelling_a_request_is_neutral_at_headers_and_in_the_body(server: FaultyServer, path: str) -> None:
    transport = AsyncBreakerTransport(failure_threshold=1)
    async with httpx.AsyncClient(transport=transport) as client:
        answered = asyncio.Event()

        async def read() -> None:
            async with client.stream("GET", server.url(path)) as response:
                answered.set()
                await response.aread()

        request = asyncio.create_task(read())
        await (answered.wait() if path == "stall" else asyncio.to_thread(server.arrived.wait, 5))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    snapshot = transport.breakers.get(server.host).snapshot()
    assert snapshot.state is State.CLOSED
    assert snapshot.outcomes[Outcome.CANCELLED] == 1


async def test_an_early_end_of_an_async_stream_is_a_success(server: FaultyServer) -> None:
    transport = AsyncBreakerTransport(failure_threshold=1)
    async with httpx.AsyncClient(transport=transport) as client, client.stream("GET", server.url("ok")) as response:
        await anext(response.aiter_bytes(10))
    assert transport.breakers.get(server.host).snapshot().outcomes[Outcome.SUCCESS] == 1


class Entered(httpx.MockTransport):
    """A transport that has to be entered."""

    entered = 0

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self


async def test_the_guarded_transport_is_entered_with_its_client() -> None:
    transport = Entered(lambda _: httpx.Response(200))
    with httpx.Client(transport=BreakerTransport(transport)):
        assert transport.entered == 1
    async with httpx.AsyncClient(transport=AsyncBreakerTransport(transport)):
        assert transport.entered == 2


def test_a_body_that_nobody_reads_or_closes_gives_the_place_of_a_probe_back() -> None:
    clock = FakeClock()
    statuses = iter([503, 200])
    inner = httpx.MockTransport(lambda _: httpx.Response(next(statuses), content=iter([b"x"])))
    transport = BreakerTransport(inner, breakers=BreakerRegistry(failure_threshold=1, open_for=10, clock=clock))
    transport.handle_request(httpx.Request("GET", "http://search/"))
    clock.advance(10)
    kept = [transport.handle_request(httpx.Request("GET", "http://search/"))]
    assert transport.breakers.get("search:80").snapshot().in_flight == 1
    with pytest.warns(ResourceWarning, match="never settled"):
        kept.clear()
    assert transport.breakers.get("search:80").snapshot().in_flight == 0
