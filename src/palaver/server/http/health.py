"""Whether the process lives, and whether it should get traffic. For load balancers and supervisors; no token needed."""

from aiohttp import web

from palaver.server.http.answers import json_response
from palaver.server.http.services import SERVICES


async def live(_request: web.Request) -> web.StreamResponse:
    """The event loop turns. Never asks the store: restarting would not help a full disk."""
    return json_response({"live": True})


async def ready(request: web.Request) -> web.StreamResponse:
    """A canary message has just gone through door, store and fan-out; not so while shutting down."""
    services = request.app[SERVICES]
    if services.running is None or not services.running.ready:
        return json_response({"ready": False, "reason": "shutting down"}, 503)
    flight = await services.canary.fly()
    body = {"ready": flight.problem is None, "canary_ms": round(flight.seconds * 1000, 3)}
    if flight.problem is None:
        return json_response(body)
    return json_response(body | {"reason": flight.problem}, 503)
