"""Rooms, messages, members and moderation over HTTP. Each handler turns a request into one of the protocol's."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from palaver.chat import requests
from palaver.chat.names import room_problem
from palaver.chat.records import MAX_SEQ, Sanction, User
from palaver.server.http.answers import Refused, json_response, reply_response
from palaver.server.http.callers import ask, identify, json_object
from palaver.server.http.queries import number, query
from palaver.server.http.services import SERVICES


class ListedRoom(msgspec.Struct, frozen=True, gc=False):
    """A room that somebody is in. `seq` is the place of its newest message."""

    room: str
    member_count: int
    seq: int


class RoomList(msgspec.Struct, frozen=True, gc=False):
    """Rooms by name. `complete`: there are none after these."""

    rooms: list[ListedRoom]
    complete: bool


class MemberList(msgspec.Struct, frozen=True, gc=False):
    """Who is in a room now, by name."""

    room: str
    members: list[User]
    member_count: int


class SanctionList(msgspec.Struct, frozen=True, gc=False):
    """What stands in a room; `until` is in milliseconds since the epoch, null for no end."""

    room: str
    sanctions: list[Sanction]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROOMS_PER_PAGE = 1_000
_NUMBERS = ("before", "after", "limit")


async def list_rooms(request: web.Request) -> web.StreamResponse:
    """The rooms somebody is in and the caller may join, by name, with `after` and `limit` for pages."""
    identity = await identify(request, reading=True)
    known = query(request, ("after", "limit"))
    after, limit = known.get("after", ""), number(known.get("limit", str(ROOMS_PER_PAGE)), "limit", 1, ROOMS_PER_PAGE)
    rooms = request.app[SERVICES].engine.state.rooms
    may = identity.rights.allows
    allowed = [name for name in rooms if name > after and not name.startswith("~") and may("join", name)]
    names = sorted(allowed)[:limit]
    found = [ListedRoom(name, len(rooms[name].members), rooms[name].ring.seq) for name in names]
    return json_response(RoomList(found, complete=len(found) == len(allowed)))


async def read_messages(request: web.Request) -> web.StreamResponse:
    """A page of a room's kept messages: the newest, or those `before` or `after` a `seq`, or between two."""
    known = query(request, _NUMBERS)
    numbers = {name: number(text, name, 0, MAX_SEQ) for name, text in known.items()}
    return reply_response(await ask(request, "history", {"room": _room(request), **numbers}))


async def send_message(request: web.Request) -> web.StreamResponse:
    """Say something in a room. The header Idempotency-Key is the message's `cid`: a repetition stores nothing."""
    body = await json_object(request, reserved=("room",))
    keys = request.headers.getall("Idempotency-Key", [])
    if keys:
        if body.get("cid") is not None or len(keys) > 1:
            raise Refused("invalid_frame", "Give one Idempotency-Key, or `cid` in the body, not both.", field="cid")
        if not keys[0].isprintable():  # bytes that are no UTF-8 arrive as halves of surrogate pairs
            raise Refused("invalid_frame", "The header Idempotency-Key must be printable text in UTF-8.", field="cid")
        if not 1 <= len(keys[0]) <= 64:
            text = f"The header Idempotency-Key must have 1 to 64 characters, not {len(keys[0])}."
            raise Refused("invalid_frame", text, field="cid")
        body["cid"] = keys[0]
    frame = await ask(request, "send", {"room": _room(request), **body})
    response = reply_response(frame, HTTPStatus.CREATED)
    if response.status == HTTPStatus.CREATED and b'"duplicate":true' in frame:
        response.set_status(HTTPStatus.OK)
    return response


async def delete_message(request: web.Request) -> web.StreamResponse:
    """Remove a message's text; its `seq` stays."""
    seq = number(request.match_info["seq"], "seq", 1, MAX_SEQ)
    return reply_response(await ask(request, "delete", {"room": _room(request), "seq": seq}))


async def list_members(request: web.Request) -> web.StreamResponse:
    """Who is in a room now."""
    identity, name = await identify(request, reading=True), _room(request)
    services = request.app[SERVICES]
    if problem := room_problem(name):
        raise Refused("invalid_room", problem, field="room")
    banned = services.engine.moderation.is_banned(name, identity.user.id, services.shell.clock())
    if banned or not identity.rights.allows("join", name) or (name.startswith("~") and not identity.rights.operator):
        raise Refused("forbidden", f"You may not join {name}.")
    room = services.engine.state.rooms.get(name)
    users = [] if room is None else [member.person.user for member in room.members.values()]
    users.sort(key=lambda user: (user.name, user.id))
    return json_response(MemberList(name, users, len(users)))


async def list_sanctions(request: web.Request) -> web.StreamResponse:
    """The bans, mutes and slow mode that stand in a room, for those who moderate it."""
    identity, name = await identify(request), _room(request)
    services = request.app[SERVICES]
    if problem := room_problem(name):
        raise Refused("invalid_room", problem, field="room")
    if not identity.rights.allows("moderate", name):
        raise Refused("forbidden", f"You do not moderate {name}.")
    standing = services.engine.moderation.listed(name, services.shell.clock())
    return json_response(SanctionList(name, sorted(standing, key=lambda one: (one.kind, one.user))))


def moderate(kind: type[requests.Request], by_url: str | None = "user") -> Handler:
    """A handler for one of the moderators' requests; the user is in the URL, the rest in the body."""

    async def handle(request: web.Request) -> web.StreamResponse:
        reserved = ("room",) if by_url is None else ("room", by_url)
        body = await json_object(request, reserved=reserved)
        if by_url is not None:
            body[by_url] = request.match_info[by_url]
        return reply_response(await ask(request, str(kind.__struct_config__.tag), {"room": _room(request), **body}))

    handle.__doc__ = kind.__doc__
    return handle


def _room(request: web.Request) -> str:
    return request.match_info["room"]
