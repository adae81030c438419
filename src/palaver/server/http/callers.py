"""Who calls, and one request of theirs put to the engine.

A caller has a token, or is a guest with the session that `auth` gave out, for as long as that guest is present: over
HTTP alone nobody becomes a guest, because there is no connection that could hold a name for longer than one message.
Where guests may chat, anybody may read what any guest could read, within the limit of an address without a name.
"""

import asyncio
import inspect
from typing import Any

import msgspec
from aiohttp import web

from palaver.chat.identity import Identity
from palaver.chat.records import User
from palaver.chat.rights import GUEST, Rights
from palaver.server.caller import CallerRefused
from palaver.server.http.answers import Refused
from palaver.server.http.services import SERVICES, Services
from palaver.server.http.throttle import Throttle
from palaver.server.origins import client_address, is_local_host

THROTTLE = web.AppKey("throttle", Throttle)  # by address, of those without a good token
REQUESTS = web.AppKey("requests", Throttle)  # by user

ASK_SECONDS = 10.0  # beyond this the store hangs, and a caller is better off knowing
BODY_SECONDS = 10.0  # as for a request's head

_RE = "http"
_RETRY_MS = 1_000


_READER = Identity(User("~reader", "~reader"), Rights(send=()), None, None)


async def identify(request: web.Request, *, reading: bool = False) -> Identity:
    """The caller's identity; with `reading`, also of one without a token where guests may chat. Raises Refused."""
    services = request.app[SERVICES]
    throttle, ip = request.app[THROTTLE], address(request, services)
    throttle.check(ip)
    if reading and _may_read_unnamed(request, services):
        throttle.count(ip)  # it counts like a frame before `auth`
        return _READER
    try:
        identity = await _verified(request, services)
    except Refused as refused:
        if refused.body["code"] != "unavailable":
            throttle.count(ip)
        raise
    requests = request.app[REQUESTS]
    requests.check(identity.user.id)
    requests.count(identity.user.id)
    return identity


async def _verified(request: web.Request, services: Services) -> Identity:
    bearer = _bearer(request)
    if bearer.count(".") == 1:  # a guest's session; a token has two dots
        return _guest(services, bearer)
    verdict = services.verify(bearer)
    known = await verdict if inspect.isawaitable(verdict) else verdict
    if isinstance(known, Identity):
        return known
    raise Refused(known.code, known.message, retry_after_ms=_RETRY_MS if known.code == "unavailable" else None)


def _bearer(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", [])
    if not headers:
        raise Refused(
            "unauthenticated",
            "Send `Authorization: Bearer` and a token, which `palaver token` makes, or a guest's session.",
        )
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Refused("invalid_token", "The Authorization header must be one: Bearer <token>.")
    return token.strip()


def _may_read_unnamed(request: web.Request, services: Services) -> bool:
    """Whether a guest could connect from where this request comes from, and it names nobody."""
    if "Authorization" in request.headers or services.settings.chat.auth != "guest":
        return False
    # A page of a stranger that leads a name of its own here would be a page of ours to its browser.
    return not services.shell.bounds.local_hosts_only or is_local_host(request.headers.get("Host"))


def _guest(services: Services, session: str) -> Identity:
    people = services.engine.state.people
    person = people.get(people.guest_of(session) or "")
    if person is None or not person.guest or services.settings.chat.auth != "guest":
        raise Refused("invalid_token", "This guest's session is not known here, or the guest is not connected.")
    return Identity(person.user, GUEST, None, None)


async def identify_operator(request: web.Request) -> Identity:
    """The caller's identity, who must be an operator. Raises Refused."""
    identity = await identify(request)
    if not identity.rights.operator:
        raise Refused("forbidden", "This needs a token with the role operator.")
    return identity


async def ask(request: web.Request, kind: str, fields: dict[str, Any]) -> bytes:
    """Put one request of the protocol to the engine for the caller; returns the reply's frame. Raises Refused."""
    identity = await identify(request, reading=kind == "history")
    services = request.app[SERVICES]
    data = msgspec.json.encode({"type": kind, "id": _RE, **fields})
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await services.shell.ask(address(request, services), identity, data, _RE)
    except TimeoutError:
        text = "There was no answer in time; a message may be stored or not. Repeat it with its Idempotency-Key."
        raise Refused("unavailable", text, retry_after_ms=_RETRY_MS) from None
    except CallerRefused as refused:
        raise Refused("unavailable", f"{refused.reason}.", retry_after_ms=_RETRY_MS) from None


def address(request: web.Request, services: Services) -> str:
    """The caller's address, behind trusted proxies."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    return client_address(
        peer[0] if isinstance(peer, tuple) and peer else None,
        request.headers.getall("X-Forwarded-For", []),
        services.shell.bounds.trusted_proxies,
    )


async def json_object(request: web.Request, *, reserved: tuple[str, ...]) -> dict[str, Any]:
    """The body, a JSON object without the fields that the URL and the protocol fill in. Raises Refused."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await request.read()
    except TimeoutError:
        raise Refused("request_timeout", "The body did not arrive in time.") from None
    try:
        body = msgspec.json.decode(data) if data else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused("invalid_json", f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise Refused("invalid_frame", "The body must be a JSON object.")
    for name in ("type", "id", *reserved):
        if name in body:
            raise Refused("invalid_frame", f"`{name}` does not belong into the body.", field=name)
    return body
