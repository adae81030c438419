"""What a response says about its host."""

import logging

import httpx
import pytest
import requests
import yarl

from palaver.breaker import State
from palaver.breaker.http.httpx import BreakerTransport
from palaver.breaker.http.policy import Hosts, HttpPolicy, fails, retry_after
from palaver.breaker.http.requests import BreakerAdapter

DATE = "Fri, 20 Nov 2026 20:00:00 GMT"


@pytest.mark.parametrize(("status", "failed"), [(200, False), (404, False), (429, True), (499, False), (500, True)])
def test_server_errors_and_limits_are_failures(status: int, failed: bool) -> None:
    assert fails(status) is failed


@pytest.mark.parametrize(
    ("value", "date", "wait"),
    [
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        ("0", None, 0.0),
        ("Fri, 20 Nov 2026 20:01:30 GMT", DATE, 90.0),
        ("Fri, 20 Nov 2026 20:01:30 -0000", DATE, 90.0),
        ("Fri, 20 Nov 2026 19:00:00 GMT", DATE, 0.0),
        ("Fri, 20 Nov 2026 20:01:30 GMT", None, None),
        (None, DATE, None),
        ("soon", DATE, None),
        ("-5", None, None),
        ("1e3", None, None),
        ("9" * 400, None, None),
        ("Fri, 99 Nov 2026 20:01:30 GMT", DATE, None),
        ("Fri, 20 Nov 2026 20:01:30 GMT", "yesterday", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_relative_to_the_responses_own_date(
    value: str | None, date: str | None, wait: float | None
) -> None:
    assert retry_after(value, date) == wait


def test_every_host_and_port_has_a_breaker_of_its_own() -> None:
    hosts = Hosts(None, None, None, {"failure_threshold": 7}, {})
    assert hosts.breaker("https", "a.example", None) is hosts.breaker("https", "a.example", 443)
    assert hosts.breaker("https", "a.example", None) is not hosts.breaker("http", "a.example", None)
    assert hosts.breaker("https", "a.example", None).config.failure_threshold == 7


def test_breakers_and_single_options_together_are_refused() -> None:
    with pytest.raises(ValueError, match="ramp"):
        Hosts(Hosts(None, None, None, {}, {}).breakers, None, None, {"ramp": 5}, {})
    with pytest.raises(ValueError, match="listener"):
        Hosts(Hosts(None, None, None, {}, {}).breakers, None, print, {}, {})


def test_a_host_has_one_breaker_whatever_a_client_writes_around_its_address() -> None:
    hosts = Hosts(None, None, None, {}, {})
    assert hosts.breaker("http", "[::1]", 80) is hosts.breaker("http", "::1", None)
    assert hosts.breaker("https", "Search", None) is hosts.breaker("https", "search", 443)
    assert hosts.breakers.keys() == ("[::1]:80", "search:443")


def test_clients_name_a_host_beyond_ascii_alike() -> None:
    names: set[str] = set()
    for transport in (BreakerTransport(failure_threshold=1), BreakerAdapter(failure_threshold=1)):
        if isinstance(transport, BreakerTransport):
            transport._transport = httpx.MockTransport(lambda _: httpx.Response(503))
            transport.handle_request(httpx.Request("GET", "http://bücher.test/"))
        else:
            request = requests.Request("GET", "http://bücher.test/").prepare()
            with pytest.raises(requests.ConnectionError):
                transport.send(request, timeout=5, proxies={"http": "http://127.0.0.1:1"})
        names.update(transport.breakers.keys())
    names.add(f"{yarl.URL('http://bücher.test/').raw_host}:80")  # what the middleware of aiohttp asks for
    assert names == {"xn--bcher-kva.test:80"}


def test_a_judgement_that_raises_is_written_down_and_the_default_stands(caplog: pytest.LogCaptureFixture) -> None:
    def raises(status: int) -> bool:
        raise RuntimeError("an error in the judgement")

    hosts = Hosts(None, HttpPolicy(failure_status=raises), None, {"failure_threshold": 1}, {})
    breaker = hosts.breaker("http", "search", None)
    with caplog.at_level(logging.ERROR):
        permit = breaker.acquire()
        assert not hosts.settled_by_headers(permit, 200, lambda _: None)
        assert permit.release()
        assert hosts.settled_by_headers(breaker.acquire(), 503, lambda _: None)
    assert breaker.state is State.OPEN
    assert "an error in the judgement" in caplog.text


def test_a_judgement_is_a_plain_function() -> None:
    async def judge(status: int) -> bool:
        return False

    for wrong in (500, judge):
        with pytest.raises(TypeError, match="failure_status="):
            HttpPolicy(failure_status=wrong)  # type: ignore[arg-type]  # what the checker forbids must fail too
