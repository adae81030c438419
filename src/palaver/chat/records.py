"""The values that the chat core, the log and the wire share. Immutable; no behaviour beyond what their fields say."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_SEQ = 2**53 - 1  # what every client can count to: JavaScript has no greater whole numbers
OURS = "~"  # the ids of the server's own users begin with it, and so do the names of its rooms
Durability = Literal["memory", "disk", "replicated"]


class User(msgspec.Struct, frozen=True, gc=False):
    """Who somebody is. `id` is stable for life; `name` is what people read."""

    id: str
    name: str


def is_ours(user: User) -> bool:
    """Whether it is a user of the server itself: a model, or the server's own voice. Nobody can sign in as one."""
    return user.id.startswith(OURS)


class Position(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A place in a room's total order: `seq` counts from 1 without holes within an `epoch`; 0 is before the first."""

    epoch: str
    seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)]


class Message(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="message"):
    """One stored message, in exactly its wire form. A deleted one keeps its `seq` and loses its text."""

    room: str
    seq: int
    epoch: str
    mid: str
    time: int  # milliseconds since the Unix epoch, when the message was accepted
    user: User
    text: str
    cid: str | None = None
    deleted: bool | msgspec.UnsetType = msgspec.UNSET


class Sanction(msgspec.Struct, frozen=True, gc=False):
    """What a moderator decided about a user in a room, or about a whole room (`user` empty, kind "slow").

    `until` is milliseconds since the Unix epoch, or None for no end. `seconds` is the pause of slow mode, otherwise 0.
    A lifted sanction has `active` false; it is kept so that replicas agree that it was lifted. `at` orders decisions.
    """

    kind: Literal["ban", "mute", "slow"]
    room: str
    user: str
    active: bool
    until: int | None
    seconds: float
    by: str
    reason: str
    at: int
