"""What the server says: acks, errors and pushes, in exactly their wire form, and the one encoder for them.

An ack or an error answers one request (`re`); everything else is a push. Stored messages: palaver.chat.records.Message.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from palaver.chat.errors import ERRORS, Scope
from palaver.chat.records import Durability, User

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


class Reply(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """What every server frame has in common: a `type`."""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """Seconds of silence before a ping, and seconds to answer it."""

    interval: float
    timeout: float


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What the server allows. `messages` is None where nobody is limited."""

    frame_bytes: int
    text_chars: int
    rooms: int
    history: int
    messages: int | None
    per_seconds: float


class Hello(Reply, frozen=True, tag="hello"):
    """The first frame."""

    protocol: int
    server: str
    node: str
    time: int
    auth: str
    heartbeat: Heartbeat
    limits: Limits


class AuthAck(Reply, frozen=True, tag="ack"):
    """Who the connection is now. `session` is a guest's secret; `expires` is in milliseconds since the epoch."""

    re: str
    user: User
    session: str | None
    expires: int | None


class Gap(msgspec.Struct, frozen=True, gc=False, rename={"from_": "from"}):
    """The `seq` that were missed and are not in this reply, both ends included.

    "retention": they are not kept any more. "limit": they are kept, and `history` reads them. "epoch": the numbering
    started anew; the range is in the new numbering and is empty (`to` is below `from`) where the reply has all of it.
    """

    from_: int
    to: int
    reason: Literal["retention", "epoch", "limit"]


class SentAs(msgspec.Struct, frozen=True, gc=False):
    """Where a send of the client was stored."""

    seq: int


class JoinAck(Reply, frozen=True, tag="ack"):
    """One atomic picture of the room: every later message follows as a push."""

    re: str
    room: str
    epoch: str
    seq: int
    members: Raw  # a list of palaver.chat.records.User
    member_count: int
    messages: Raw  # a list of palaver.chat.records.Message
    recovered: Literal["none", "full", "gap"]
    gap: Gap | UnsetType = UNSET
    sent: dict[str, SentAs | None] | UnsetType = UNSET


class RoomAck(Reply, frozen=True, tag="ack"):
    """Done, in this room."""

    re: str
    room: str


class Ack(Reply, frozen=True, tag="ack"):
    """Done."""

    re: str


class HistoryAck(Reply, frozen=True, tag="ack"):
    """Ascending messages. `complete`: nothing older is kept; with `after`: nothing newer."""

    re: str
    room: str
    epoch: str
    messages: list[Raw]
    complete: bool


class Rate(msgspec.Struct, frozen=True, gc=False):
    """How many messages the user may send now, and in how many milliseconds all of them."""

    remaining: int
    reset_ms: int


class SendAck(Reply, frozen=True, tag="ack"):
    """The message is stored, as safely as `durability` says."""

    re: str
    room: str
    seq: int
    epoch: str
    mid: str
    time: int
    duplicate: bool
    durability: Durability
    rate: Rate | None


class PingAck(Reply, frozen=True, tag="ack"):
    """The server lives; its time in milliseconds since the epoch."""

    re: str
    time: int


class Ping(Reply, frozen=True, tag="ping"):
    """Answer with `pong`, or with anything."""


class Presence(Reply, frozen=True, tag="presence"):
    """Who came and went since the last one. In very large rooms the lists stay empty and only the count moves."""

    room: str
    joined: list[User]
    left: list[User]
    member_count: int


class Typing(Reply, frozen=True, tag="typing"):
    """Somebody writes."""

    room: str
    user: User


class Deleted(Reply, frozen=True, tag="deleted"):
    """The text of a message was removed; its place in the order stays."""

    room: str
    seq: int
    epoch: str
    mid: str


class Notice(Reply, frozen=True, tag="notice"):
    """Something to know: "shutdown", "token_expiring", "muted", "unmuted", "slow", "kicked", "banned"."""

    code: str
    after_ms: int | UnsetType = UNSET
    room: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Error(Reply, frozen=True, tag="error"):
    """A refusal. `code` is from the table of errors; `message` is for people."""

    re: str | None
    code: str
    message: str
    retryable: bool
    retry_after_ms: int | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    field: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    trace: str | UnsetType = UNSET


def error(
    re: str | None,
    code: str,
    message: str,
    *,
    retry_after_ms: int | None = None,
    scope: Scope | None = None,
    field: str | None = None,
    room: str | None = None,
    trace: str | None = None,
) -> bytes:
    """Encode an error frame; whether it is retryable comes from the table."""
    return encode(
        Error(
            re=re,
            code=code,
            message=message,
            retryable=ERRORS[code].retryable,
            retry_after_ms=UNSET if retry_after_ms is None else retry_after_ms,
            scope=UNSET if scope is None else scope,
            field=UNSET if field is None else field,
            room=UNSET if room is None else room,
            trace=UNSET if trace is None else trace,
        )
    )
