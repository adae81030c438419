"""Responses: an ack's fields as JSON, or an error with the status that belongs to its code.

Invariant: every error has the fields of the protocol's `error` frame, whoever raised it, the HTTP library included.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import web

from palaver.chat.errors import ERRORS, Scope

STATUS: Mapping[str, int] = MappingProxyType(
    {
        "invalid_json": 400,
        "invalid_frame": 400,
        "unknown_type": 404,
        "invalid_room": 400,
        "invalid_name": 400,
        "invalid_text": 400,
        "unauthenticated": 401,
        "request_timeout": 408,
        "invalid_token": 401,
        "token_expired": 401,
        "name_taken": 409,
        "forbidden": 403,
        "not_joined": 409,
        "not_found": 404,
        "too_many_rooms": 409,
        "rate_limited": 429,
        "unavailable": 503,
        "internal": 500,
    }
)

# What the HTTP library refuses by itself, in the words of our table.
_LIBRARY: Mapping[int, str] = MappingProxyType({404: "not_found", 405: "unknown_type", 413: "invalid_frame"})


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """Ends a request with an error of the table."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_ms: int | None = None,
        scope: Scope | None = None,
    ) -> None:
        super().__init__(message)
        known = {"field": field, "retry_after_ms": retry_after_ms, "scope": scope}
        self.body: dict[str, Any] = {"code": code, "message": message, "retryable": ERRORS[code].retryable}
        self.body |= {name: value for name, value in known.items() if value is not None}


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response that no cache keeps."""
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def error_response(body: Mapping[str, Any], status: int | None = None) -> web.Response:
    """The response for an error's fields."""
    code = body["code"]
    headers = {}
    after_ms = body.get("retry_after_ms")
    if after_ms is not None:
        headers["Retry-After"] = str(-(-after_ms // 1000))  # whole seconds, never too early
    if STATUS[code] == HTTPStatus.UNAUTHORIZED:
        challenge = "" if code == "unauthenticated" else ' error="invalid_token"'
        headers["WWW-Authenticate"] = f"Bearer{challenge}"  # RFC 6750
    return json_response({"error": body}, status or STATUS[code], headers)


def library_response(error: web.HTTPException) -> web.StreamResponse:
    """What the HTTP library refused, in our form; a redirect stays what it is."""
    if error.status < 400:
        return web.Response(status=error.status, headers=error.headers)
    code = _LIBRARY.get(error.status, "invalid_frame" if error.status < 500 else "internal")
    refused = Refused(code, _library_text(error))
    response = error_response(refused.body, error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _library_text(error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"This address takes {', '.join(sorted(error.allowed_methods))}, not {error.method[:20]}."
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"{str(error.text).rstrip('.')}; a message has at most as many bytes as a frame."
    if isinstance(error, web.HTTPNotFound):
        return "There is nothing at this address. GET /api/openapi.json lists what there is."
    return f"{error.reason}."


def reply_response(frame: bytes, status: int = 200) -> web.Response:
    """The response for the engine's reply: an ack without its protocol fields, or an error."""
    body: dict[str, Any] = msgspec.json.decode(frame)
    kind = body.pop("type")
    body.pop("re", None)
    return error_response(body) if kind == "error" else json_response(body, status)
