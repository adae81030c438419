"""The one table of HTTP routes. The application and the OpenAPI document are both made from it."""

from typing import Literal, NamedTuple

from palaver.chat import requests
from palaver.server.http import health, rooms
from palaver.server.http.rooms import Handler

Access = Literal["anybody", "token", "operator"]
Answer = Literal["rooms", "messages", "sent", "members", "done", "live", "ready"]


class Route(NamedTuple):
    """One operation. `body` is the protocol's request whose fields, without `leave_out`, are the JSON body."""

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
        "listRooms", "GET", "/api/rooms", rooms.list_rooms, "Rooms that somebody is in and you may join.", "rooms",
        query=("after", "limit"),
    ),
    Route(
        "readMessages", "GET", f"{_ROOM}/messages", rooms.read_messages, "A page of a room's messages.", "messages",
        query=("before", "after", "limit"),
    ),
    Route(
        "sendMessage", "POST", f"{_ROOM}/messages", rooms.send_message, "Say something in a room.", "sent",
        body=requests.Send, leave_out=("id", "room"),
    ),
    Route(
        "deleteMessage", "DELETE", _ROOM + "/messages/{seq}", rooms.delete_message,
        "Remove a message's text; its place in the order stays.", "done",
    ),
    Route("listMembers", "GET", f"{_ROOM}/members", rooms.list_members, "Who is in a room.", "members"),
    Route(
        "kick", "POST", _ROOM + "/members/{user}/kick", rooms.moderate(requests.Kick),
        "Close a user's connections that are in the room.", "done", body=requests.Kick, leave_out=_USER,
    ),
    Route(
        "ban", "PUT", _ROOM + "/bans/{user}", rooms.moderate(requests.Ban),
        "Kick a user and refuse later joins.", "done", body=requests.Ban, leave_out=_USER,
    ),
    Route("unban", "DELETE", _ROOM + "/bans/{user}", rooms.moderate(requests.Unban), "Lift a ban.", "done"),
    Route(
        "mute", "PUT", _ROOM + "/mutes/{user}", rooms.moderate(requests.Mute),
        "Refuse a user's messages in the room.", "done", body=requests.Mute, leave_out=_USER,
    ),
    Route("unmute", "DELETE", _ROOM + "/mutes/{user}", rooms.moderate(requests.Unmute), "Lift a mute.", "done"),
    Route(
        "slow", "PUT", f"{_ROOM}/slow", rooms.moderate(requests.Slow, None),
        "Let each user send at most one message per so many seconds.", "done", body=requests.Slow,
        leave_out=("id", "room"),
    ),
    Route("live", "GET", "/health/live", health.live, "Whether the process lives.", "live", "anybody"),
    Route("ready", "GET", "/health/ready", health.ready, "Whether messages get through.", "ready", "anybody"),
)  # fmt: skip
