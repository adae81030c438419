"""One room of the fan-out, and what the fan-out needs of a connection.

Refuses to do: IO, and deciding anything: palaver.server.fanout does, and is the one writer of all that is here.
"""

from collections.abc import Callable
from typing import Protocol

from palaver.server.lag import Backlog


class Reader(Protocol):
    """What the fan-out needs of a connection."""

    rooms: "tuple[FanoutRoom, ...]"  # written by the fan-out only
    out: list[bytes] | None  # what goes into this turn's write; written by the fan-out only
    acks: bytes | None  # what goes behind its room's frames of this turn; written by the fan-out only
    handed: bool  # the transport may still have something of it; set by whoever writes to the transport
    lagging_since: float | None  # monotonic, or since it last took a part of what waits; written by the fan-out only

    def __hash__(self) -> int:
        """By identity."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Hands bytes to the transport; never waits, never raises for a peer that is gone."""

    @property
    def congested(self) -> bool:
        """The transport's buffer is above its mark."""

    @property
    def buffered(self) -> int:
        """Bytes in the transport's buffer."""


class Slices:
    """A large room's frames on their way out: who still waits for them, and from which frame on."""

    __slots__ = ("chunk", "frames", "waiting")

    def __init__(self, frames: list[bytes], members: dict[Reader, None], ahead: dict[Reader, int]) -> None:
        self.frames = frames
        self.chunk = b"".join(frames)
        self.waiting: dict[Reader, int] = dict.fromkeys(members, 0)
        self.waiting.update(ahead)

    def take(self, reader: Reader) -> bytes:
        """What this connection has not got yet; after this it has."""
        start = self.waiting.pop(reader)
        return self.chunk if start == 0 else b"".join(self.frames[start:])


class FanoutRoom:
    """The connections of one room, and this turn's frames for them."""

    __slots__ = ("ahead", "backlog", "members", "name", "pending", "slices")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[Reader, None] = {}  # the hot list
        self.pending: list[bytes] = []  # frames of this turn
        self.ahead: dict[Reader, int] = {}  # members that need the pending frames only from here on
        self.slices: Slices | None = None  # earlier frames that not every member has got yet
        self.backlog: Backlog[Reader] | None = None  # for those that lag; exists only while somebody does

    @property
    def empty(self) -> bool:
        """Nobody is in it."""
        return not self.members and self.backlog is None
