"""The aiohttp application: the routes, the page, and one place where every error gets its form."""

import structlog
from aiohttp import web

from palaver.server.faults import new_trace
from palaver.server.http import documents, evaluation_events, evaluations, health
from palaver.server.http.answers import Refused, error_response, library_response
from palaver.server.http.asyncapi import asyncapi
from palaver.server.http.callers import REQUESTS, THROTTLE
from palaver.server.http.openapi import openapi
from palaver.server.http.page import Page, load_assets
from palaver.server.http.rooms import Handler
from palaver.server.http.routes import ROUTES
from palaver.server.http.services import SERVICES, Services
from palaver.server.http.throttle import Throttle
from palaver.server.metrics import ServerMetrics

journal = structlog.get_logger("palaver.http")


def make_app(services: Services) -> web.Application:
    """The application for everything that is no WebSocket."""
    app = web.Application(middlewares=[_errors], client_max_size=services.settings.chat.frame_bytes)
    app[SERVICES] = services
    limits, clock = services.settings.chat, services.shell.clock
    app[THROTTLE] = Throttle(limits.ip_unauthenticated_frames_per_second, clock)
    app[REQUESTS] = Throttle(limits.frames_per_second, clock, scope="user", burst_seconds=2)
    app[health.METRICS] = ServerMetrics(services)
    app[evaluation_events.OPEN] = set()
    app[evaluations.VOTES] = Throttle(evaluations.VOTES_PER_SECOND, clock, scope="user")
    app[documents.DOCUMENTS] = {"openapi": openapi(ROUTES), "asyncapi": asyncapi()}
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler, name=route.name)
        if route.method == "GET" and route.answer not in ("events", "lines"):  # these are written as they come
            app.router.add_route("HEAD", route.path, route.handler)
    page = Page(load_assets())
    app.router.add_get("/", page.serve)
    app.router.add_get("/{path:(?!api/|ws$|health/|metrics$).+}", page.serve)
    app.on_response_prepare.append(_name_server)
    return app


async def _name_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "Palaver"  # versions are nobody's business


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return error_response(refused.body)
    except web.RequestPayloadError:
        text = "The body cannot be read: it is cut short, or not in the encoding that its headers name."
        return error_response(Refused("invalid_frame", text).body)
    except web.HTTPException as error:
        return library_response(error)
    except Exception as error:  # noqa: BLE001 - a fault of ours must cost its caller one request, with a trace
        trace = new_trace()
        journal.error("fault", trace=trace, method=request.method, route=_route(request), exc_info=error)
        mistake = Refused("internal", "The server made a mistake. Send the same request again.")
        return error_response(mistake.body | {"trace": trace})


def _route(request: web.Request) -> str | None:
    """The route's pattern: a URL may hold what must not be logged."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
