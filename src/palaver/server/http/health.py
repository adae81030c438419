"""Whether the process lives, whether it should get traffic, and its metrics. For load balancers and supervisors."""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from palaver.server.http.answers import json_response
from palaver.server.http.callers import identify_operator
from palaver.server.http.services import SERVICES
from palaver.server.metrics import CONTENT_TYPE, ServerMetrics

METRICS = web.AppKey("metrics", ServerMetrics)


class Live(msgspec.Struct, frozen=True, gc=False):
    """The process lives."""

    live: bool


class Ready(msgspec.Struct, frozen=True, gc=False):
    """Whether the server should get traffic, and if not, why. `canary_ms` is how long the last canary took."""

    ready: bool
    canary_ms: float | UnsetType = UNSET
    reason: str | UnsetType = UNSET


async def live(_request: web.Request) -> web.StreamResponse:
    """The event loop turns. Never asks the store: restarting would not help a full disk."""
    return json_response(Live(live=True))


async def ready(request: web.Request) -> web.StreamResponse:
    """A canary message has just gone through door, store and fan-out; not so while shutting down."""
    services = request.app[SERVICES]
    if services.running is None or not services.running.ready:
        return json_response(Ready(ready=False, reason="shutting down"), 503)
    flight = await services.canary.fly()
    took_ms = round(flight.seconds * 1000, 3)
    if flight.problem is None:
        return json_response(Ready(ready=True, canary_ms=took_ms))
    return json_response(Ready(ready=False, canary_ms=took_ms, reason=flight.problem), 503)


async def metrics(request: web.Request) -> web.StreamResponse:
    """Everything that is counted, in the text form of Prometheus."""
    if request.app[SERVICES].settings.operation.metrics == "operator":
        await identify_operator(request)
    page = request.app[METRICS].page()
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
