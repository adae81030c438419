"""What a response says about its host."""

import pytest

from palaver.breaker.http.policy import Hosts, fails, retry_after

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
