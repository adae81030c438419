"""The client's half of the wire: server frames decoded leniently, requests encoded exactly.

Fields that this version does not know are ignored, as the protocol asks of clients; a missing or wrongly typed field
is a ProtocolError. An ack's shape depends on what was asked, so `decode` leaves it raw and `decode_ack` finishes it.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from palaver.chat.records import Durability, Message, User
from palaver.client.errors import ProtocolError, Refused


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """Seconds of silence before the server pings, and seconds it then waits."""

    interval: float
    timeout: float


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What the server allows; None is off."""

    frame_bytes: int = 65_536
    messages: int | None = None
    per_seconds: float = 1.0


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The first frame."""

    protocol: int
    time: int
    heartbeat: Heartbeat
    limits: Limits = Limits()
    server: str = ""
    node: str = ""


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """To be answered with `pong`."""


class Notice(msgspec.Struct, frozen=True, tag_field="type", tag="notice"):
    """Something to know or to plan for."""

    code: str
    after_ms: int | None = None
    room: str | None = None
    message: str | None = None


class PresencePush(msgspec.Struct, frozen=True, tag_field="type", tag="presence"):
    """Who came and who left."""

    room: str
    joined: tuple[User, ...] = ()
    left: tuple[User, ...] = ()
    member_count: int | None = None


class TypingPush(msgspec.Struct, frozen=True, tag_field="type", tag="typing"):
    """Somebody is writing."""

    room: str
    user: User


class DeletedPush(msgspec.Struct, frozen=True, tag_field="type", tag="deleted"):
    """A message became a tombstone."""

    room: str
    seq: int
    epoch: str


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """The answer to one request; the rest of it is decoded by `decode_ack`."""

    re: str


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A refusal of one request, or with `re` None the reason of a close."""

    code: str
    message: str = ""
    re: str | None = None
    retryable: bool = False
    retry_after_ms: int | None = None
    scope: str | None = None
    field: str | None = None
    trace: str | None = None

    def exception(self) -> Refused:
        """The same facts as an exception."""
        return Refused(
            self.code,
            self.message,
            retryable=self.retryable,
            retry_after_ms=self.retry_after_ms,
            scope=self.scope,
            field=self.field,
            trace=self.trace,
        )


class AuthAck(msgspec.Struct, frozen=True):
    """Who we are now."""

    user: User
    session: str | None = None
    expires: int | None = None


class WireGap(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """What the reply does not have."""

    first: int
    last: int
    reason: Literal["retention", "epoch", "limit"]


class Fate(msgspec.Struct, frozen=True):
    """Where a send was stored."""

    seq: int


class JoinAck(msgspec.Struct, frozen=True):
    """One atomic picture of a room."""

    epoch: str
    seq: int
    messages: list[Message]
    members: list[User] = []
    member_count: int = 0
    recovered: Literal["none", "full", "gap"] = "none"
    gap: WireGap | None = None
    sent: dict[str, Fate | None] = {}


class HistoryAck(msgspec.Struct, frozen=True):
    """One page of a room's history, ascending."""

    messages: list[Message]
    complete: bool
    epoch: str | None = None


class SendAck(msgspec.Struct, frozen=True):
    """The message is stored."""

    seq: int
    epoch: str
    mid: str
    time: int
    duplicate: bool = False
    durability: Durability | None = None


Push = Hello | Ping | Notice | PresencePush | TypingPush | DeletedPush | Message
Frame = Push | Ack | Error

_KNOWN = {str(kind.__struct_config__.tag) for kind in (*Push.__args__, Ack, Error)}


class _Head(msgspec.Struct, frozen=True):
    type: str


_head = msgspec.json.Decoder(_Head)
_frame: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()

A = TypeVar("A", AuthAck, JoinAck, HistoryAck, SendAck)


def decode(data: bytes | str) -> Frame | None:
    """Turn one text frame of the server into a value; None for a type that this version does not know.

    Raises:
        ProtocolError: the frame is no JSON object with a type, or a field is missing or wrong.
    """
    try:
        return _frame.decode(data)
    except msgspec.MsgspecError as error:
        try:
            if _head.decode(data).type not in _KNOWN:
                return None
        except msgspec.MsgspecError:
            pass  # not even a type: the first error says it better
        raise ProtocolError(f"The server sent a frame that is not protocol version 1: {error}.") from error


def decode_ack(data: bytes | str, kind: type[A]) -> A:
    """Read an ack as the answer to the kind of request it answers.

    Raises:
        ProtocolError: a field is missing or wrong.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"The server sent an ack that is not protocol version 1: {error}.") from error


def encode(kind: str, fields: Mapping[str, Any]) -> bytes:
    """One request; a field that is None is left out."""
    return _encoder.encode({"type": kind, **{name: value for name, value in fields.items() if value is not None}})
