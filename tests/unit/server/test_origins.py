"""Which pages may connect, and whose address a connection has."""

from ipaddress import ip_network

import pytest

from palaver.server.origins import client_address, is_local_host, origin_allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "chat.example", True),
        ("https://chat.example", "chat.example", True),
        ("http://chat.example:80", "chat.example", True),
        ("https://chat.example", "chat.example:443", True),
        ("https://CHAT.example", "chat.example", True),
        ("http://chat.example:8000", "chat.example:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://chat.example:8001", "chat.example:8000", False),
        ("https://evil.example", "chat.example", False),
        ("https://chat.example.evil.example", "chat.example", False),
        ("https://chat.example@evil.example", "chat.example", False),
        ("https://chat.example/path", "chat.example", False),
        ("ftp://chat.example", "chat.example", False),
        ("null", "chat.example", False),
        ("", "", False),
        ("https://", None, False),
        ("https://chat.example:port", "chat.example", False),
        ("https://[::1", "chat.example", False),
        ("https://team.example", "chat.example", True),
        ("https://team.example:444", "chat.example", False),
    ],
)
def test_an_origin_is_our_own_or_allowed_by_name(origin: str | None, host: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, host, ("https://team.example",)) is allowed


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "a.localhost:1", "127.0.0.1:8000", "[::1]:1"]
)
def test_localhost_and_addresses_are_local_hosts(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "x@y"]
)
def test_names_are_no_local_hosts(host: str | None) -> None:
    assert not is_local_host(host)


def test_a_star_allows_every_origin() -> None:
    assert origin_allowed("null", "chat.example", ("*",))


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.1, rubbish"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        (None, [], "unix"),
        (None, ["203.0.113.9"], "203.0.113.9"),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == address
