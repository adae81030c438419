"""The AsyncAPI 3 document of the WebSocket, made from the protocol's structs and the tables of errors and closes."""

import msgspec

from palaver import __version__
from palaver.chat import replies, requests
from palaver.chat.errors import CLOSE_RANGES, CLOSES, ERRORS
from palaver.chat.records import Message
from palaver.server.http.schemas import Schema, component_schemas, ref
from palaver.server.reviews.live import EvaluationPush

REPLIES: dict[str, type[msgspec.Struct]] = {
    "auth": replies.AuthAck,
    "join": replies.JoinAck,
    "leave": replies.RoomAck,
    "history": replies.HistoryAck,
    "send": replies.SendAck,
    "typing": replies.RoomAck,
    "ping": replies.PingAck,
    "kick": replies.RoomAck,
    "ban": replies.RoomAck,
    "unban": replies.RoomAck,
    "mute": replies.RoomAck,
    "unmute": replies.RoomAck,
    "delete": replies.RoomAck,
    "slow": replies.RoomAck,
}
"""The ack of each request; `pong` has none. Each request may be answered with an error instead."""

PUSHES: tuple[type[msgspec.Struct], ...] = (
    replies.Hello,
    Message,
    replies.Presence,
    replies.Typing,
    replies.Deleted,
    replies.Notice,
    replies.Ping,
    EvaluationPush,
)


def asyncapi() -> Schema:
    """The document."""
    kinds = requests.TYPES
    acks = tuple(dict.fromkeys(REPLIES.values()))
    names, schemas = component_schemas([*kinds.values(), *acks, *PUSHES, replies.Error])
    # Requests and pushes share some names (ping, typing, join): as messages they are told apart by a prefix.
    messages = {f"request.{name}": _message(kind, names) for name, kind in kinds.items()}
    messages |= {f"ack.{kind.__name__}": _message(kind, names) for kind in acks}
    messages |= {f"push.{kind.__name__}": _message(kind, names) for kind in PUSHES}
    messages["error"] = _message(replies.Error, names)
    operations: Schema = {
        name: {
            "action": "receive",
            "channel": {"$ref": "#/channels/chat"},
            "messages": [_in_channel(f"request.{name}")],
            **_reply(name),
        }
        for name in kinds
    }
    operations["push"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/chat"},
        "messages": [_in_channel(f"push.{kind.__name__}") for kind in PUSHES],
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Palaver",
            "version": __version__,
            "description": "One JSON object per text frame. `type` says what a frame is; the server's answer to a "
            "request has the request's `id` in `re`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "chat": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            }
        },
        "operations": operations,
        "components": {"schemas": schemas, "messages": messages},
        "x-errors": {code: row._asdict() for code, row in ERRORS.items()},
        "x-close-codes": {str(code): row._asdict() for code, row in CLOSES.items()},
        "x-close-ranges": [row._asdict() for row in CLOSE_RANGES],
    }


def _message(kind: type[msgspec.Struct], names: dict[type, str]) -> Schema:
    return {"name": names[kind], "summary": " ".join((kind.__doc__ or "").split()), "payload": ref(names[kind])}


def _in_channel(name: str) -> Schema:
    return {"$ref": f"#/channels/chat/messages/{name}"}


def _reply(name: str) -> Schema:
    ack = REPLIES.get(name)
    if ack is None:
        return {}
    answers = [_in_channel(f"ack.{ack.__name__}"), _in_channel("error")]
    return {"reply": {"channel": {"$ref": "#/channels/chat"}, "messages": answers}}
