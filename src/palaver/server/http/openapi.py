"""The OpenAPI 3.1 document, made from the table of routes and the structs of the protocol."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from palaver import __version__
from palaver.chat import replies, requests
from palaver.chat.names import ROOM_CHARS
from palaver.server.http.answers import STATUS
from palaver.server.http.evaluation_reports import FORMATS
from palaver.server.http.evaluations import EVALUATION_ID
from palaver.server.http.routes import Access, Route
from palaver.server.http.schemas import Schema, component_schemas, ref, without

_PROTOCOL_FIELDS = ("type", "re")

_PARAMETERS: dict[str, Schema] = {
    "room": {"type": "string", "minLength": 1, "maxLength": ROOM_CHARS, "description": "In Unicode normal form NFKC."},
    "user": msgspec.json.schema(requests.UserId),
    "seq": msgspec.json.schema(requests.MessageSeq),
    "before": msgspec.json.schema(requests.Seq),
    "after": msgspec.json.schema(requests.Seq),
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
}
_SECURITY: dict[Access, list[Schema]] = {
    "anybody": [],
    "reader": [{"token": []}, {}],  # no token is needed where guests may chat
    "token": [{"token": []}],
    "operator": [{"token": []}],
}
_EVALUATION: Schema = {"type": "string", "pattern": f"^{EVALUATION_ID}$"}
_EVALUATIONS: dict[str, Schema] = {
    "evaluation": _EVALUATION,
    "before": _EVALUATION,
    "format": {"type": "string", "enum": list(FORMATS), "default": "md"},
    "table": {"type": "string", "enum": ["marks", "ranking", "judges"], "default": "marks"},
    "part": {"type": "string", "enum": ["data", "datasheet"], "default": "data"},
}
_MEDIA: dict[str, tuple[str, ...]] = {
    "text": ("text/plain",),
    "events": ("text/event-stream",),
    "lines": ("application/jsonl", "text/markdown"),
    "report": ("text/markdown", "text/html", "application/json", "text/csv"),
}
_CREATES = {
    "sendMessage": ("It was stored before.", "Stored."),
    "createEvaluation": ("It was asked before.", "Asked."),
}
_ROOM_LIST: dict[str, Schema] = {
    "after": {"type": "string"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
}


def openapi(routes: Sequence[Route]) -> Schema:
    """The document."""
    bodies = [route.body for route in routes if route.body is not None]
    answers = [route.answer for route in routes if not isinstance(route.answer, str)]
    _, schemas = component_schemas([*bodies, *answers, replies.Error])
    for route in routes:
        if route.body is not None:
            name = route.body.__name__
            schemas[f"{name}Body"] = without(schemas[name], ("type", *route.leave_out))
    for answer in answers:
        schemas[answer.__name__] = without(schemas[answer.__name__], _PROTOCOL_FIELDS)
    schemas["Error"] = without(schemas["Error"], _PROTOCOL_FIELDS)
    schemas["ErrorBody"] = {"type": "object", "properties": {"error": ref("Error")}, "required": ["error"]}
    for body in bodies:
        schemas.pop(body.__name__, None)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Palaver",
            "version": __version__,
            "description": "The same rooms, rights, limits and errors as over the WebSocket.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": _SECURITY[route.access],
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": _needs_body(route.body, route.leave_out),
            "content": {"application/json": {"schema": ref(f"{route.body.__name__}Body")}},
        }
    return operation


def _needs_body(body: type[msgspec.Struct], leave_out: Sequence[str]) -> bool:
    return any(field.required and field.name not in leave_out for field in msgspec.structs.fields(body))


def _parameters(route: Route) -> list[Schema]:
    known = _PARAMETERS | (_ROOM_LIST if route.name == "listRooms" else {})
    if "evaluation" in route.path or route.name == "export":
        known |= _EVALUATIONS
    found = [
        {"name": name, "in": "path", "required": True, "schema": known[name]}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    found += [{"name": name, "in": "query", "required": False, "schema": known[name]} for name in route.query]
    if route.name in _CREATES:
        key: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
        text = "A repetition with the same key stores nothing and gets the first answer."
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "description": text, "schema": key})
    return found


def _responses(route: Route) -> Schema:
    if route.answer == "document":
        good: Schema = {"application/json": {"schema": {"type": "object"}}}
    elif isinstance(route.answer, str):
        good = {media: {"schema": {"type": "string"}} for media in _MEDIA[route.answer]}
    else:
        good = {"application/json": {"schema": ref(route.answer.__name__)}}
    responses: Schema = {"200": {"description": "Done.", "content": good}}
    if route.name in _CREATES:
        responses["200"]["description"], made = _CREATES[route.name]
        responses["201"] = {"description": made, "content": good}
    if route.name == "ready":
        responses["503"] = {"description": "Not ready.", "content": good}
    if route.access != "anybody":
        error = {"application/json": {"schema": ref("ErrorBody")}}
        codes: dict[int, list[str]] = {}
        for code, status in STATUS.items():
            codes.setdefault(status, []).append(code)
        for status in (400, 401, 403, 404, 429, 500, 503):
            responses[str(status)] = {"description": ", ".join(codes[status]), "content": error}
        if route.body is not None:
            responses["413"] = {"description": "The body is larger than a frame may be.", "content": error}
        responses["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
    return responses
