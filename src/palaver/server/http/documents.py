"""The machine-readable contracts, served: OpenAPI 3.1 for HTTP, AsyncAPI 3 for the WebSocket."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from palaver.server.http.answers import json_response

DOCUMENTS: web.AppKey[Mapping[str, Mapping[str, Any]]] = web.AppKey("documents", Mapping)


async def openapi(request: web.Request) -> web.StreamResponse:
    """The OpenAPI document."""
    return json_response(request.app[DOCUMENTS]["openapi"])


async def asyncapi(request: web.Request) -> web.StreamResponse:
    """The AsyncAPI document."""
    return json_response(request.app[DOCUMENTS]["asyncapi"])
