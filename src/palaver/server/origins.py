"""Where a connection may come from: which web pages (Origin), and which address it has behind proxies.

Sources: RFC 6454 (origin), RFC 6455 section 10.2. A browser always sends Origin with a WebSocket handshake; what is
not a browser need not, and could say anything, so a missing Origin is accepted.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page of `origin` may connect to us, whom it called `host`."""
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        theirs = urlsplit(origin)
        port = theirs.port
        ours = urlsplit(f"//{host or ''}")
        our_port = ours.port
    except ValueError:
        return False
    if theirs.scheme not in _DEFAULT_PORTS or not theirs.hostname or theirs.path or theirs.query or theirs.fragment:
        return False
    default = _DEFAULT_PORTS[theirs.scheme]
    return theirs.hostname == ours.hostname and (port or default) == (our_port or default)


def is_local_host(host: str | None) -> bool:
    """Whether this Host header names localhost or an address.

    A page of a stranger can make a name of its own lead to this machine (DNS rebinding), and is then, to its browser, a
    page of our own host. It cannot do that with an address or with localhost (RFC 6761, section 6.3).
    """
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy's.

    `peer` is the address of the socket's other end, None for a Unix socket, whose other end is a proxy by its nature.
    `forwarded` are the X-Forwarded-For headers. They are believed from right to left for as long as a trusted proxy
    wrote them; something that is no address ends the reading.
    """
    address = peer
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    while hops and (address is None or _is_in(address, trusted)):
        hop = _plain(hops.pop())
        if hop is None:
            break
        address = hop
    return address if address is not None else "unix"


def _plain(hop: str) -> str | None:
    """An address without its port, or None where this is no address."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(known, "ipv4_mapped", None)
    known = known if mapped is None else mapped
    return any(known in network for network in networks)
