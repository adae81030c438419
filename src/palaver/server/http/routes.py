"""The one table of HTTP routes. The application and the OpenAPI document are both made from it."""

from typing import Literal, NamedTuple

import msgspec

from palaver.chat import replies, requests
from palaver.server.http import documents, health, rooms
from palaver.server.http.rooms import Handler

Access = Literal["anybody", "reader", "token", "operator"]
Answer = type[msgspec.Struct] | Literal["text", "document"]


class Route(NamedTuple):
    """One operation.

    For a `reader` no token is needed where guests may chat. `answer` is the struct of the answer's body; an ack loses
    its fields `type` and `re`. `body` is the protocol's request whose fields, without `leave_out`, are the fields of
    the request's body.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answer: Answer
    access: Access = "token"
    body: type[requests.Request] | None = None
    leave_out: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


_ROOM = "/api/rooms/{room}"
_USER = ("id", "room", "user")

ROUTES: tuple[Route, ...] = (
    Route(
        "listRooms", "GET", "/api/rooms", rooms.list_rooms, "Rooms that somebody is in and you may join.",
        rooms.RoomList, "reader",
        query=("after", "limit"),
    ),
    Route(
        "readMessages", "GET", f"{_ROOM}/messages", rooms.read_messages, "A page of a room's messages.",
        replies.HistoryAck, "reader",
        query=("before", "after", "limit"),
    ),
    Route(
        "sendMessage", "POST", f"{_ROOM}/messages", rooms.send_message, "Say something in a room.", replies.SendAck,
        body=requests.Send, leave_out=("id", "room"),
    ),
    Route(
        "deleteMessage", "DELETE", _ROOM + "/messages/{seq}", rooms.delete_message,
        "Remove a message's text; its place in the order stays.", replies.RoomAck,
    ),
    Route("listMembers", "GET", f"{_ROOM}/members", rooms.list_members, "Who is in a room.", rooms.MemberList,
          "reader"),
    Route(
        "listSanctions", "GET", f"{_ROOM}/sanctions", rooms.list_sanctions, "Bans, mutes and slow mode that stand.",
        rooms.SanctionList,
    ),
    Route(
        "kick", "POST", _ROOM + "/members/{user}/kick", rooms.moderate(requests.Kick),
        "Close a user's connections that are in the room.", replies.RoomAck, body=requests.Kick, leave_out=_USER,
    ),
    Route(
        "ban", "PUT", _ROOM + "/bans/{user}", rooms.moderate(requests.Ban),
        "Kick a user and refuse later joins.", replies.RoomAck, body=requests.Ban, leave_out=_USER,
    ),
    Route("unban", "DELETE", _ROOM + "/bans/{user}", rooms.moderate(requests.Unban), "Lift a ban.", replies.RoomAck),
    Route(
        "mute", "PUT", _ROOM + "/mutes/{user}", rooms.moderate(requests.Mute),
        "Refuse a user's messages in the room.", replies.RoomAck, body=requests.Mute, leave_out=_USER,
    ),
    Route("unmute", "DELETE", _ROOM + "/mutes/{user}", rooms.moderate(requests.Unmute), "Lift a mute.",
          replies.RoomAck),
    Route(
        "slow", "PUT", f"{_ROOM}/slow", rooms.moderate(requests.Slow, None),
        "Let each user send at most one message per so many seconds.", replies.RoomAck, body=requests.Slow,
        leave_out=("id", "room"),
    ),
    Route("live", "GET", "/health/live", health.live, "Whether the process lives.", health.Live, "anybody"),
    Route("ready", "GET", "/health/ready", health.ready, "Whether messages get through.",
          health.Ready, "anybody"),
    Route("metrics", "GET", "/metrics", health.metrics, "Everything that is counted.", "text", "anybody"),
    Route(
        "openapi", "GET", "/api/openapi.json", documents.openapi, "This document.", "document", "anybody",
    ),
    Route(
        "asyncapi", "GET", "/api/asyncapi.json", documents.asyncapi, "The protocol of the WebSocket.", "document",
        "anybody",
    ),
)  # fmt: skip
