"""Connections without sockets, for tests of the fan-out."""

from palaver.server.fanout_room import FanoutRoom


def unframe(data: bytes) -> list[bytes]:
    """The payloads of whole, unmasked frames, one after the other."""
    payloads, at = [], 0
    while at < len(data):
        length, start = data[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        payloads.append(data[start : start + length])
        at = start + length
    return payloads


class FakeReader:
    """Keeps what it was written; can be made congested."""

    def __init__(self, name: str = "reader") -> None:
        self.name = name
        self.rooms: tuple[FanoutRoom, ...] = ()
        self.out: list[bytes] | None = None
        self.acks: bytes | None = None
        self.handed = False
        self.lagging_since: float | None = None
        self.congested = False
        self.buffered = 0
        self.writes: list[bytes] = []

    def __repr__(self) -> str:
        return self.name

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    @property
    def got(self) -> list[bytes]:
        return unframe(b"".join(self.writes))
