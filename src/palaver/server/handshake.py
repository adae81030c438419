"""The handshake that nearly every client sends, read without the library; it costs a sixth of the time that way.

What RFC 6455 (4.2.1) asks for is looked for in the plainest form: each header that matters once, on one line, in ASCII.
For everything else the answer is None, and the library decides: about errors, about forms that are allowed and rare.

Refuses to do: IO, origins, addresses; it says no to nobody. Invariant, which a test holds against the library: what is
read here, the library would have accepted with the same key and the same subprotocol.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import NamedTuple

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_REQUEST_LINE = re.compile(rb"GET [!-~]+ HTTP/1\.1\r\n")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([!-~](?:[ -~]*[!-~])?)?\r\n")
_PROTOCOLS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:, [!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_FORWARDED = b"x-forwarded-for"  # may come more than once
_BODY = frozenset({b"content-length", b"transfer-encoding"})  # an upgrade has none
_CONNECTION = frozenset({b"upgrade", b"keep-alive, upgrade"})  # Firefox says the second
_HEAD_BYTES, _HEADERS = 8_192, 100  # the library refuses more of either, somewhere above


class Handshake(NamedTuple):
    """What a client asked for."""

    key: bytes
    protocols: Sequence[str]
    host: str
    origin: str | None
    forwarded: Sequence[str]  # X-Forwarded-For, one for each header

    def accepted(self, protocol: str | None) -> bytes:
        """The answer that makes it a WebSocket."""
        token = b64encode(sha1(self.key + _GUID, usedforsecurity=False).digest())
        chosen = b"" if protocol is None else b"Sec-WebSocket-Protocol: " + protocol.encode() + b"\r\n"
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + token + b"\r\n" + chosen + b"\r\n"
        )


def read(head: bytes) -> Handshake | None:
    """The request of a whole head, the empty line included; None where it is not of the plain form."""
    line = _REQUEST_LINE.match(head)
    if line is None or len(head) > _HEAD_BYTES:
        return None
    headers: dict[bytes, bytes] = {}
    forwarded: list[str] = []
    at, end, left = line.end(), len(head) - 2, _HEADERS
    while at < end:
        header, left = _HEADER.match(head, at), left - 1
        if header is None or left < 0:
            return None
        at = header.end()
        name, value = header[1].lower(), header[2] or b""
        if name == _FORWARDED:
            forwarded.append(value.decode("ascii"))
        elif name in headers or name in _BODY:
            return None
        else:
            headers[name] = value
    return _asked(headers, forwarded)


def _asked(headers: Mapping[bytes, bytes], forwarded: Sequence[str]) -> Handshake | None:
    key, host, origin = headers.get(b"sec-websocket-key", b""), headers.get(b"host"), headers.get(b"origin")
    offered = headers.get(b"sec-websocket-protocol")
    plain = (
        headers.get(b"upgrade", b"").lower() == b"websocket"
        and headers.get(b"connection", b"").lower() in _CONNECTION
        and headers.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key) is not None
        and (offered is None or _PROTOCOLS.fullmatch(offered) is not None)
    )
    if not plain or host is None:
        return None
    protocols = () if offered is None else offered.decode("ascii").split(", ")
    page = None if origin is None else origin.decode("ascii")
    return Handshake(key, protocols, host.decode("ascii"), page, forwarded)
