"""Frames that are nearly right, and bytes that are not frames at all: what a broken or hostile client may send.

A mutator starts from a good request and damages it, first as JSON, then as a WebSocket frame, then as a stream. The
same seed gives the same bytes, so that a failure can be had again.
"""

import json
import random
from collections.abc import Callable

from tests.property.server.test_inbound import frame
from tests.unit.server.test_connection import UPGRADE

ROOMS = ("a", "b", "c", "d")
_STRANGE: tuple[bytes, ...] = (
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-1e-400",
    b"9" * 4_000,
    b"-99999999999999999999",
    b"18446744073709551616",
    b"0x10",
    b"01",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b'"\xc0\xaf"',
    b'"\xf4\x90\x80\x80"',
    b'"' + "\u202e\u200d\ufeff\U0001f9d1".encode() + b'"',
    b'"' + b"x" * 70 + b'"',
    b'"' + b"y" * 5_000 + b'"',
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"-1",
    b'""',
    b'"~canary"',
    b'"__proto__"',
    b"[" * 40 + b"]" * 40,
    b'{"a":' * 20 + b"1" + b"}" * 20,
    b'{"epoch":"e","seq":-1}',
    b'{"epoch":"e","seq":1e3}',
    b'["' + b'","'.join(b"c%d" % number for number in range(300)) + b'"]',
)


class Mutator:
    """Makes bytes out of a seed. `name` is who its connections say they are; `epoch` is the server's."""

    def __init__(self, chance: random.Random, name: str, epoch: str = "e") -> None:
        self._chance = chance
        self._name = name
        self._epoch = epoch
        self._damages: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._flip,
            self._cut,
            self._insert,
            self._repeat_a_key,
            self._replace_a_value,
            self._replace_a_value,
            self._nest,
            self._pad,
            lambda data: data + data,
            lambda data: b"\xef\xbb\xbf" + data,
            lambda _data: chance.randbytes(chance.randrange(60)),
        )

    # ---- JSON ----

    def request(self) -> bytes:
        """A good request; some of its fields mean nothing in the state the connection is in."""
        chance, room = self._chance, self._chance.choice(ROOMS)
        re = str(chance.randrange(100))
        user = chance.choice(["u-1", "u-2", "u-00"])
        kinds: tuple[dict[str, object], ...] = (
            {"type": "auth", "name": self._name},
            {"type": "auth", "token": chance.choice(["good", "bad", "broken"])},
            {"type": "join", "room": room},
            {"type": "join", "room": room, "since": self._position(), "sent": ["c1", "c2"]},
            {"type": "leave", "room": room},
            {"type": "history", "room": room, "before": chance.randrange(9), "limit": 5},
            {"type": "history", "room": room, "after": 0},
            {"type": "send", "room": room, "text": "hello", "cid": f"c{chance.randrange(5)}"},
            {"type": "send", "room": room, "text": "hello " * 50},
            {"type": "typing", "room": room},
            {"type": "ping"},
            {"type": "pong"},
            {"type": "kick", "room": room, "user": user},
            {"type": "ban", "room": room, "user": user, "seconds": 0.01, "reason": "noise"},
            {"type": "unban", "room": room, "user": user},
            {"type": "mute", "room": room, "user": user, "seconds": 0},
            {"type": "unmute", "room": room, "user": user},
            {"type": "delete", "room": room, "seq": 1 + chance.randrange(9)},
            {"type": "slow", "room": room, "seconds": 0},
        )
        request = chance.choice(kinds)
        return json.dumps(request if request["type"] == "pong" else {"id": re, **request}).encode()

    def _position(self) -> dict[str, object]:
        epoch = self._chance.choice((self._epoch, self._epoch, "another"))
        return {"epoch": epoch, "seq": self._chance.choice((0, 1, 5, 99, -1, -(2**70), 2**70))}

    def payload(self) -> bytes:
        """A request, damaged or not."""
        data = self.request()
        for _ in range(self._chance.choice((0, 0, 0, 1, 1, 1, 2, 5))):
            data = self._chance.choice(self._damages)(data)
        return data

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        if changed:
            changed[self._chance.randrange(len(changed))] ^= 1 << self._chance.randrange(8)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._chance.randrange(len(data) + 1)]

    def _insert(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data) + 1)
        return data[:at] + self._chance.choice(_STRANGE) + data[at:]

    def _repeat_a_key(self, data: bytes) -> bytes:
        key = self._chance.choice((b"type", b"id", b"room", b"text", b"x"))
        return data[:-1] + b',"%s":%s}' % (key, self._chance.choice(_STRANGE))

    def _replace_a_value(self, data: bytes) -> bytes:
        parts = data.split(b": ")
        if len(parts) > 1:
            at = 1 + self._chance.randrange(len(parts) - 1)
            _, comma, rest = parts[at].partition(b", ")
            parts[at] = self._chance.choice(_STRANGE) + (comma + rest if comma else b"}")
        return b": ".join(parts)

    def _nest(self, data: bytes) -> bytes:
        depth = self._chance.choice((1, 15, 17, 1_000, 20_000))
        opening, closing = self._chance.choice(((b"[", b"]"), (b'{"x":', b"}")))
        return opening * depth + data + closing * depth

    def _pad(self, data: bytes) -> bytes:
        return data + b" " * self._chance.choice((1, 1_000, 65_536, 70_000))

    # ---- WebSocket ----

    def frames(self) -> bytes:
        """One message as frames: usually whole, sometimes in fragments, sometimes against RFC 6455."""
        chance, payload = self._chance, self.payload()
        kind = chance.randrange(20)
        if kind < 13:
            return frame(1, payload)
        if kind == 13:
            cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.randrange(1, 6)))
            pieces = [payload[start:stop] for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
            fragments = [frame(0 if index else 1, piece, fin=False) for index, piece in enumerate(pieces)]
            return chance.choice((b"", frame(9, b"between"))).join(fragments) + frame(0, b"")
        if kind == 14:
            return frame(2, payload)
        if kind == 15:
            return frame(chance.choice((9, 10)), payload[: chance.choice((0, 20, 125, 130))])
        if kind == 16:
            return frame(8, chance.randrange(6_000).to_bytes(2, "big") + payload[:20])
        if kind == 17:
            return frame(chance.randrange(16), payload, fin=chance.random() < 0.5, masked=chance.random() < 0.7)
        if kind == 18:
            return frame(1, payload, rsv=chance.randrange(8), width=chance.choice((0, 2, 8)))
        return self._flip(frame(1, payload))

    def handshake(self) -> bytes:
        """The first request: usually good, sometimes with something offered, sometimes damaged or no HTTP at all."""
        chance = self._chance
        kind = chance.randrange(20)
        if kind < 14:
            return UPGRADE
        if kind == 14:
            return UPGRADE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n\r\n"
        if kind == 15:
            return UPGRADE[:-2] + b"Sec-WebSocket-Protocol: palaver.v1, \x00nonsense\r\n\r\n"
        if kind == 16:
            return UPGRADE.replace(b"localhost", chance.randbytes(8).replace(b"\r", b"").replace(b"\n", b""))
        if kind == 17:
            return b"\x16\x03\x01" + chance.randbytes(200)
        damaged = UPGRADE
        for _ in range(chance.choice((1, 3, 30))):
            damaged = self._flip(damaged)
        return damaged

    def stream(self, count: int) -> bytes:
        """What one connection says in all: a handshake and so many messages."""
        hello = [frame(1, json.dumps({"type": "auth", "id": "0", "name": self._name}).encode())]
        if self._chance.random() < 0.3:
            hello = [frame(1, b'{"type":"auth","id":"0","token":"good"}')] if self._chance.random() < 0.6 else []
        return self.handshake() + b"".join([*hello, *(self.frames() for _ in range(count))])
