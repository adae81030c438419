"""The one table of error codes and the one table of close codes. The reference pages are generated from it.

A code is stable for ever; its message is for people and may change. Ranges of close codes tell a client what to do
even with a code it has never heard of.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Scope = Literal["user", "connection", "room", "ip"]


class ErrorCode(NamedTuple):
    """One row: when it is sent, whether the same request may succeed later, and what to do about it."""

    when: str
    retryable: bool
    remedy: str


ERRORS: Mapping[str, ErrorCode] = MappingProxyType(
    {
        "invalid_json": ErrorCode(
            "The frame is not UTF-8 JSON, or is nested deeper than 16 levels.",
            retryable=False,
            remedy="Send one JSON object per text frame.",
        ),
        "invalid_frame": ErrorCode(
            "Not an object, binary, or with a missing, unknown or wrongly typed field, which `field` names.",
            retryable=False,
            remedy="Compare the frame with the protocol page. Unknown fields are refused: a typing mistake must show.",
        ),
        "unknown_type": ErrorCode(
            "There is no request of this `type`.", retryable=False, remedy="Use a `type` from the protocol page."
        ),
        "invalid_room": ErrorCode(
            "The room's name is empty, longer than 64 characters, or has a character that is not allowed.",
            retryable=False,
            remedy="Use 1 to 64 letters, digits and the characters - _ . : ~ @ +",
        ),
        "invalid_name": ErrorCode(
            "The name is empty, longer than 32 characters, mixes scripts, or has a character that is not allowed.",
            retryable=False,
            remedy="Use 1 to 32 letters and digits of one script, with single spaces, - _ . or ' between them.",
        ),
        "invalid_text": ErrorCode(
            "The text is empty or cannot be seen, is too long, or has a control character.",
            retryable=False,
            remedy="Send 1 to `limits.text_chars` characters, some visible; of controls only line breaks and tabs.",
        ),
        "unauthenticated": ErrorCode(
            "The connection has not authenticated, or the request needs a token where guests are not allowed.",
            retryable=False,
            remedy="Send `auth` first.",
        ),
        "request_timeout": ErrorCode(
            "No `auth` arrived in time. The connection is closed with 4003.",
            retryable=False,
            remedy="Send `auth` directly after `hello`.",
        ),
        "invalid_token": ErrorCode(
            "The token or session is malformed, has a wrong signature, or belongs to another user.",
            retryable=False,
            remedy="Get a new token; a guest sends `auth` without `session` and becomes a new user.",
        ),
        "token_expired": ErrorCode("The token's `exp` has passed.", retryable=False, remedy="Get a new token."),
        "name_taken": ErrorCode(
            "Somebody present has this name, or one that looks the same.",
            retryable=False,
            remedy="Choose another name.",
        ),
        "forbidden": ErrorCode(
            "The user may not do this in this room, or is banned or muted there.",
            retryable=False,
            remedy="Ask a moderator, or use a token with the right.",
        ),
        "not_joined": ErrorCode(
            "This connection is not in the room.", retryable=False, remedy="Send `join` for the room first."
        ),
        "not_found": ErrorCode(
            "There is no such message or user in the room.", retryable=False, remedy="Check the `seq` or the user's id."
        ),
        "too_many_rooms": ErrorCode(
            "The connection is in `limits.rooms` rooms already.", retryable=False, remedy="Leave a room first."
        ),
        "rate_limited": ErrorCode(
            "Over a limit; `scope` says whose.", retryable=True, remedy="Send the same request after `retry_after_ms`."
        ),
        "unavailable": ErrorCode(
            "The store or the bus is down; nothing was stored.",
            retryable=True,
            remedy="Send the same request again, with the same `cid`, after `retry_after_ms`.",
        ),
        "internal": ErrorCode(
            "A fault of the server; `trace` finds it in the server's log.",
            retryable=True,
            remedy="Send the same request again, with the same `cid`; report the `trace` to the operator.",
        ),
    }
)


class CloseCode(NamedTuple):
    """One row: the name used in logs and metrics, and when it is sent."""

    name: str
    when: str


CLOSES: Mapping[int, CloseCode] = MappingProxyType(
    {
        4001: CloseCode("removed", "Kicked or banned by a moderator."),
        4003: CloseCode("auth_timeout", "No `auth` in time."),
        4008: CloseCode("malformed", "Too many malformed frames."),
        4102: CloseCode("heartbeat_lost", "Nothing was heard within the heartbeat's timeout."),
        4108: CloseCode("slow_reader", "The connection read too slowly and too much was waiting for it."),
        4110: CloseCode(
            "too_many_connects",
            "Over the limit of connects from one address; the error before it has `retry_after_ms`.",
        ),
        4201: CloseCode("shutdown", "The server is shutting down."),
        4301: CloseCode("token_expired", "The token expired and was not renewed."),
    }
)


class CloseRange(NamedTuple):
    """What a client should do after a close code from `first` to `last`, both included."""

    first: int
    last: int
    action: Literal["stop", "back_off", "reconnect", "renew"]
    text: str


CLOSE_RANGES: tuple[CloseRange, ...] = (
    CloseRange(4000, 4099, "stop", "Stop."),
    CloseRange(4100, 4199, "back_off", "Reconnect with back-off and `since`."),
    CloseRange(4200, 4299, "reconnect", "Reconnect at once, or at the `after_ms` of the last `notice`."),
    CloseRange(4300, 4399, "renew", "Get a new token, then reconnect."),
)
