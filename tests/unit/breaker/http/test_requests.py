"""requests under a breaker, against a real server that fails."""

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from palaver.breaker import BreakerRegistry, CircuitOpenError, Outcome, State
from palaver.breaker.http.requests import BreakerAdapter, RequestsCircuitOpenError
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.http.faulty import BODY, FaultyServer


@pytest.fixture
def adapter() -> BreakerAdapter:
    return BreakerAdapter(failure_threshold=2, open_for=60)


@pytest.fixture
def session(adapter: BreakerAdapter) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapter)
        yield session


def test_a_failing_host_is_left_alone(session: requests.Session, server: FaultyServer) -> None:
    assert [session.get(server.url("fail"), timeout=5).status_code for _ in range(2)] == [503] * 2
    with pytest.raises(RequestsCircuitOpenError) as caught:
        session.get(server.url("ok"), timeout=5)
    error = caught.value
    assert isinstance(error, requests.ConnectionError)
    assert isinstance(error, CircuitOpenError)
    assert (error.name, error.state) == (server.host, State.OPEN)
    assert error.request is not None
    assert error.request.url == server.url("ok")
    assert "is open" in str(error)
    assert server.requests == 2


def test_a_cut_body_is_a_failure_although_the_status_was_good(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer
) -> None:
    for _ in range(2):
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(server.url("cut"), timeout=5)
    assert adapter.breakers.get(server.host).state is State.OPEN


def test_a_hanging_host_and_a_stalling_body_are_failures(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer
) -> None:
    with pytest.raises(requests.ReadTimeout):
        session.get(server.url("hang"), timeout=0.1)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url("stall"), timeout=0.1)
    assert adapter.breakers.get(server.host).state is State.OPEN


def test_the_servers_limit_sets_the_wait(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer
) -> None:
    for _ in range(2):
        assert session.get(server.url("limit"), timeout=5).status_code == 429
    assert adapter.breakers.get(server.host).retry_after == pytest.approx(120, abs=1)


def test_good_bodies_are_successes_however_they_are_read(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer
) -> None:
    assert session.get(server.url("ok"), timeout=5).content == BODY
    session.get(server.url("empty"), timeout=5)
    session.get(server.url("missing"), timeout=5)
    with session.get(server.url("ok"), timeout=5, stream=True) as response:
        next(response.iter_content(10))
    with session.get(server.url("ok"), timeout=5, stream=True) as response:
        while response.raw.read(100):
            pass
    assert adapter.breakers.get(server.host).snapshot().outcomes[Outcome.SUCCESS] == 5


def test_a_raw_read_of_a_cut_body_is_a_failure(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer
) -> None:
    with (
        session.get(server.url("cut"), timeout=5, stream=True) as response,
        pytest.raises(Exception, match="Incomplete"),
    ):
        response.raw.read()
    assert adapter.breakers.get(server.host).snapshot().outcomes[Outcome.FAILURE] == 1


def test_a_rejection_survives_pickling(session: requests.Session, server: FaultyServer) -> None:
    for _ in range(2):
        session.get(server.url("fail"), timeout=5)
    with pytest.raises(RequestsCircuitOpenError) as caught:
        session.get(server.url("ok"), timeout=5)
    assert pickle.loads(pickle.dumps(caught.value)).retry_after == caught.value.retry_after


def lines(raw: Any) -> bytes:
    return b"".join(raw)


def into(raw: Any) -> bytes:
    with io.BufferedReader(raw) as reader:
        return reader.read()


@pytest.mark.parametrize("read", [lines, into, lambda raw: raw.read(), lambda raw: raw.readline() + raw.readline()])
def test_however_the_raw_body_is_read_its_end_settles_the_request(
    session: requests.Session, adapter: BreakerAdapter, server: FaultyServer, read: Callable[[Any], bytes]
) -> None:
    response = session.get(server.url("ok"), timeout=5, stream=True)
    assert read(response.raw) == BODY
    assert adapter.breakers.get(server.host).snapshot().outcomes[Outcome.SUCCESS] == 1
    response.close()


def test_a_body_that_nobody_reads_or_closes_gives_the_place_of_a_probe_back(
    session: requests.Session, server: FaultyServer
) -> None:
    clock = FakeClock()
    adapter = BreakerAdapter(breakers=BreakerRegistry(failure_threshold=1, open_for=10, clock=clock))
    session.mount("http://", adapter)
    session.get(server.url("fail"), timeout=5)
    clock.advance(10)
    kept = [session.get(server.url("ok"), timeout=5, stream=True)]
    assert adapter.breakers.get(server.host).snapshot().in_flight == 1
    with pytest.warns(ResourceWarning, match="never settled"):
        kept.clear()
    assert adapter.breakers.get(server.host).snapshot().in_flight == 0


def test_an_adapter_does_not_lose_its_breakers_on_the_way_to_another_process(adapter: BreakerAdapter) -> None:
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="mount a new one"):
            copying(adapter)
