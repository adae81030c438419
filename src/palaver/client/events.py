"""What a program that uses the client sees: values, immutable, without behaviour beyond their text.

A `Message` is the server's own record. A `Gap` stands in the stream where messages are missing for good, so that
nobody reads on unaware.
"""

from enum import Enum
from typing import Literal

import msgspec

from palaver.chat.records import Durability, Message, Position, User

__all__ = ["Deleted", "Event", "Gap", "Link", "Message", "Position", "Presence", "Stored", "Typing", "User"]


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Messages `first` to `last`, both included, are not available.

    "retention": the server does not keep them any more. "epoch": the room's numbering started anew; the range is in
    the new numbering (and empty where `last` is below `first`), and how many of the old one were missed nobody knows.
    """

    room: str
    first: int
    last: int
    reason: Literal["retention", "epoch"]

    @property
    def count(self) -> int:
        """How many messages are known to be missing."""
        return max(0, self.last - self.first + 1)

    def __str__(self) -> str:
        if self.reason == "epoch":
            return f"[{self.room} started anew; earlier messages are not available]"
        return f"[{self.count} message{'s' * (self.count != 1)} in {self.room} not available]"


class Presence(msgspec.Struct, frozen=True, gc=False):
    """Who came and who left since the last one."""

    room: str
    joined: tuple[User, ...]
    left: tuple[User, ...]


class Typing(msgspec.Struct, frozen=True, gc=False):
    """Somebody is writing."""

    room: str
    user: User


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """The text of message `seq` was removed; its place stays."""

    room: str
    seq: int
    epoch: str


Event = Message | Gap | Presence | Typing | Deleted


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What became of a message that was sent: it has a place in the room, for everybody and for good.

    `mid`, `time` (milliseconds since the Unix epoch) and `durability` are None where the answer itself was lost and
    the server confirmed the message after a reconnect.
    """

    room: str
    cid: str
    seq: int
    epoch: str
    mid: str | None = None
    time: int | None = None
    durability: Durability | None = None


class Link(Enum):
    """The state of the connection to the server."""

    IDLE = "idle"  # not started
    WAITING = "waiting"  # until the time to dial again
    RENEWING = "renewing"  # a token is being fetched
    DIALLING = "dialling"  # the network connection is being made
    GREETING = "greeting"  # open; the server's hello is awaited
    ENTERING = "entering"  # auth is sent; its answer is awaited
    READY = "ready"
    ENDED = "ended"
