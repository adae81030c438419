"""What a client may send, and how bytes become one of these or a precise refusal.

The happy path is one msgspec decode into a tagged union. Only when that fails is the frame looked at again, slowly, to
say which field is wrong: the diagnosis never decides whether a frame is good.

Refuses to do: rules that need state (is the room joined, is the name free). Invariant: `decode` raises nothing but
`Malformed`, for any bytes.
"""

import difflib
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from palaver.chat.records import MAX_SEQ, Position

MAX_DEPTH = 16
_LONGEST_TYPE = 32  # characters of a mistyped `type` that are compared with the known ones
MAX_SENT = 256  # unacknowledged sends a client may ask about in one join

Id = Annotated[str, Meta(min_length=1, max_length=64)]
Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]  # 0 is before the first message
MessageSeq = Annotated[int, Meta(ge=1, le=MAX_SEQ)]
UserId = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, Meta(max_length=1_000)]
Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86_400)]


class Request(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="type"):
    """What every client frame has in common."""


class Auth(Request, frozen=True, tag="auth"):
    """Say who you are: a guest's name (with an earlier `session` to be the same user again), or a token."""

    id: Id
    name: str | None = None
    token: str | None = None
    session: str | None = None


class Join(Request, frozen=True, tag="join"):
    """Enter a room; with `since`, get exactly what was missed; with `sent`, learn the fate of each send."""

    id: Id
    room: str
    since: Position | None = None
    sent: Annotated[tuple[Id, ...], Meta(max_length=MAX_SENT)] = ()


class Leave(Request, frozen=True, tag="leave"):
    """Leave a room at once."""

    id: Id
    room: str


class History(Request, frozen=True, tag="history"):
    """Read kept messages before or after a `seq`; with both, from the first between them; with neither, the newest."""

    id: Id
    room: str
    before: Seq | None = None
    after: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class Send(Request, frozen=True, tag="send"):
    """Say something in a room. With a `cid` it may be repeated harmlessly."""

    id: Id
    room: str
    text: str
    cid: Id | None = None


class Typing(Request, frozen=True, tag="typing"):
    """Tell the others in the room that you are writing."""

    id: Id
    room: str


class Ping(Request, frozen=True, tag="ping"):
    """Ask for a sign of life; the ack has the server's time."""

    id: Id


class Pong(Request, frozen=True, tag="pong"):
    """The answer to the server's `ping`. Gets no ack."""


class Kick(Request, frozen=True, tag="kick"):
    """Close a user's connections that are in the room. Needs the right `moderate`."""

    id: Id
    room: str
    user: UserId
    reason: Reason = ""


class Ban(Request, frozen=True, tag="ban"):
    """Kick a user and refuse later joins, for `seconds` or without end. Needs the right `moderate`."""

    id: Id
    room: str
    user: UserId
    seconds: Seconds | None = None
    reason: Reason = ""


class Unban(Request, frozen=True, tag="unban"):
    """Lift a ban. Needs the right `moderate`."""

    id: Id
    room: str
    user: UserId


class Mute(Request, frozen=True, tag="mute"):
    """Refuse a user's messages in the room, for `seconds` or without end. Needs the right `moderate`."""

    id: Id
    room: str
    user: UserId
    seconds: Seconds | None = None
    reason: Reason = ""


class Unmute(Request, frozen=True, tag="unmute"):
    """Lift a mute. Needs the right `moderate`."""

    id: Id
    room: str
    user: UserId


class Delete(Request, frozen=True, tag="delete"):
    """Remove a message's text; its `seq` stays. One's own, or anybody's with the right `moderate`."""

    id: Id
    room: str
    seq: MessageSeq


class Slow(Request, frozen=True, tag="slow"):
    """Let each user send at most one message per `seconds` in the room; 0 ends it. Needs the right `moderate`."""

    id: Id
    room: str
    seconds: Seconds


AnyRequest = (
    Auth | Join | Leave | History | Send | Typing | Ping | Pong | Kick | Ban | Unban | Mute | Unmute | Delete | Slow
)
TYPES: dict[str, type[Request]] = {
    str(kind.__struct_config__.tag): kind
    for kind in AnyRequest.__args__  # the union is the one list of requests
}

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyRequest)
_any_decoder = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


class Malformed(Exception):  # noqa: N818 - named for what the frame is
    """A frame that is no request. `code` is from the table of errors, `re` the frame's id where it had one."""

    def __init__(self, code: str, message: str, *, re: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.re, self.field = code, message, re, field


def decode(data: bytes) -> AnyRequest:
    """Turn one text frame into a request.

    Raises:
        Malformed: with the code, the field and the id to answer with.
    """
    try:
        request: AnyRequest = _decoder.decode(data)
    except _UNREADABLE as error:  # a ValidationError is a DecodeError
        raise _diagnose(data, str(error)) from None
    return request


def _diagnose(data: bytes, text: str) -> Malformed:
    if _depth(data) > MAX_DEPTH:
        return Malformed("invalid_json", f"The frame is nested deeper than {MAX_DEPTH} levels.")
    try:
        frame: Any = _any_decoder.decode(data)
    except _UNREADABLE as error:
        return Malformed("invalid_json", f"The frame is not JSON: {error}.")
    if not isinstance(frame, dict):
        return Malformed("invalid_frame", 'A frame is a JSON object, like {"type": "ping", "id": "1"}.')
    identity = frame.get("id")
    re_ = identity if isinstance(identity, str) and 1 <= len(identity) <= 64 else None
    kind = frame.get("type")
    if not isinstance(kind, str):
        return Malformed("invalid_frame", "The field `type` is missing or is not a string.", re=re_, field="type")
    request = TYPES.get(kind)
    if request is None:
        meant = difflib.get_close_matches(kind.lower(), TYPES, 1) if len(kind) <= _LONGEST_TYPE else []
        hint = f" Did you mean '{meant[0]}'?" if meant else ""
        return Malformed("unknown_type", f"There is no request of type {_short(kind)}.{hint}", re=re_, field="type")
    if text.endswith("at `$.type`"):  # the known type that `kind` is came later in the frame than another one
        return Malformed("invalid_frame", "The field `type` is there more than once.", re=re_, field="type")
    return Malformed("invalid_frame", f"{text}.", re=re_, field=_wrong_field(frame, request))


def _wrong_field(frame: dict[str, Any], request: type[Request]) -> str | None:
    fields = {field.name: field for field in msgspec.structs.fields(request)}
    for name in frame:
        if name != "type" and name not in fields:
            return name
    for name, field in fields.items():
        if name not in frame:
            if field.required:
                return name
            continue
        try:
            msgspec.convert(frame[name], field.type)
        except msgspec.ValidationError:
            return name
    return None


def _depth(data: bytes) -> int:
    """How deep the brackets outside strings nest; a scan, so that no recursion can be provoked."""
    depth = deepest = 0
    for match in _BRACKET_OR_STRING.finditer(data):
        first = match.group()[0]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
