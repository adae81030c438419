import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openapi_spec_validator
import pytest
from openapi_schema_validator import OAS31Validator

from palaver.chat import replies, requests
from palaver.chat.errors import CLOSES, ERRORS
from palaver.chat.records import Message, User
from palaver.server.http.asyncapi import PUSHES, REPLIES, asyncapi
from palaver.server.http.openapi import openapi
from palaver.server.http.routes import ROUTES
from palaver.server.http.services import SERVICES
from palaver.server.reviews.live import EvaluationPush
from tests.unit.server.http.site import body, serving


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


async def test_the_served_openapi_document_is_valid_and_has_every_route(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        nobody = await site.caller(None)
        document = await body(await nobody.get("/api/openapi.json"), 200)
        openapi_spec_validator.validate(document)
        app_routes = {
            (route.method, route.resource.canonical)
            for route in site.running._runner.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        assert site.running._runner.app[SERVICES] is site.services
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    page = {("GET", "/"), ("GET", "/{path}"), ("*", "/ws")}
    assert app_routes - page == described


def test_whatever_takes_a_body_may_find_it_too_large() -> None:
    for methods in openapi(ROUTES)["paths"].values():
        for operation in methods.values():
            assert ("413" in operation["responses"]) is ("requestBody" in operation)


def test_no_schema_of_the_openapi_document_is_unused() -> None:
    document = json.loads(msgspec.json.encode(openapi(ROUTES)))
    used = {reference.rpartition("/")[2] for reference in references(document)}
    assert set(document["components"]["schemas"]) == used


@pytest.mark.parametrize(
    ("path", "method", "name", "where"),
    [
        ("/api/rooms/{room}/messages", "get", "before", "?before={}"),
        ("/api/rooms/{room}/messages", "get", "after", "?after={}"),
        ("/api/rooms/{room}/messages", "get", "limit", "?limit={}"),
        ("/api/rooms/{room}/messages/{seq}", "delete", "seq", "/{}"),
    ],
)
async def test_what_is_beyond_the_documents_bounds_and_only_that_is_refused(
    tmp_path: Path, path: str, method: str, name: str, where: str
) -> None:
    document = json.loads(msgspec.json.encode(openapi(ROUTES)))
    (schema,) = [one["schema"] for one in document["paths"][path][method]["parameters"] if one["name"] == name]
    least, most = schema["minimum"], schema["maximum"]
    async with serving(tmp_path) as site:
        ada = await site.caller(roles=["moderator"])
        for number in (least, most):
            answer = await ada.request(method, "/api/rooms/lobby/messages" + where.format(number))
            assert answer.status in {200, 404}, await answer.text()  # there is no message to delete
        for number in (least - 1, most + 1):
            answer = await ada.request(method, "/api/rooms/lobby/messages" + where.format(number))
            assert (await body(answer, 400))["error"]["field"] == name


async def test_a_user_id_may_be_as_long_as_the_document_says_and_no_longer(tmp_path: Path) -> None:
    document = json.loads(msgspec.json.encode(openapi(ROUTES)))
    parameters = document["paths"]["/api/rooms/{room}/bans/{user}"]["put"]["parameters"]
    (most,) = [one["schema"]["maxLength"] for one in parameters if one["name"] == "user"]
    async with serving(tmp_path) as site:
        ada = await site.caller(roles=["operator"])
        await body(await ada.put(f"/api/rooms/lobby/bans/{'u' * most}"), 200)
        error = (await body(await ada.put(f"/api/rooms/lobby/bans/{'u' * (most + 1)}"), 400))["error"]
        assert error["field"] == "user"


async def test_what_is_answered_is_what_the_document_says(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        ada = await site.caller(roles=["operator"])
        document = await body(await ada.get("/api/openapi.json"), 200)

        def check(path: str, method: str, status: int, found: Any) -> None:
            answer = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
            OAS31Validator({**answer, "components": document["components"]}).validate(found)

        room = "/api/rooms/{room}"
        sent = await body(await ada.post("/api/rooms/lobby/messages", json={"text": "hi", "cid": "c"}), 201)
        check(f"{room}/messages", "post", 201, sent)
        check(f"{room}/messages", "get", 200, await body(await ada.get("/api/rooms/lobby/messages"), 200))
        check(f"{room}/members", "get", 200, await body(await ada.get("/api/rooms/lobby/members"), 200))
        check("/api/rooms", "get", 200, await body(await ada.get("/api/rooms"), 200))
        check(f"{room}/bans/{{user}}", "put", 200, await body(await ada.put("/api/rooms/lobby/bans/u-x"), 200))
        check(f"{room}/messages", "post", 400, await body(await ada.post("/api/rooms/lobby/messages", data=b"{"), 400))
        check("/health/ready", "get", 200, await body(await ada.get("/health/ready"), 200))
        check("/health/live", "get", 200, await body(await ada.get("/health/live"), 200))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads(msgspec.json.encode(asyncapi()))
    found = list(references(document))
    assert found
    for reference in found:
        assert resolve(document, reference)


def test_the_asyncapi_document_has_every_request_reply_push_error_and_close_code() -> None:
    document = asyncapi()
    assert set(document["operations"]) == {*requests.TYPES, "push"}
    assert set(requests.TYPES) - set(REPLIES) == {"pong"}
    described = {*REPLIES.values(), *PUSHES, replies.Error, replies.Ack}
    sent = {kind for kind in vars(replies).values() if isinstance(kind, type) and issubclass(kind, replies.Reply)}
    assert sent - described == {replies.Reply}
    assert set(document["x-errors"]) == set(ERRORS)
    assert set(document["x-close-codes"]) == {str(code) for code in CLOSES}


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        ("request.send", {"type": "send", "id": "1", "room": "lobby", "text": "hi"}),
        ("request.join", {"type": "join", "id": "1", "room": "l", "since": {"epoch": "e", "seq": 1}, "sent": ["c"]}),
        ("request.typing", {"type": "typing", "id": "1", "room": "lobby"}),
        ("push.Typing", replies.Typing("lobby", User("u", "ada"))),
        ("push.Ping", replies.Ping()),
        ("push.Message", Message("lobby", 1, "e", "m", 1, User("u", "ada"), "hi")),
        ("push.EvaluationPush", EvaluationPush("lobby", "EVAL-20260101-000000", 1, "cell", judge="A", score=7.5)),
        ("push.Notice", replies.Notice("shutdown", after_ms=5)),
        ("error", replies.Error("1", "rate_limited", "Slower.", True, retry_after_ms=5, scope="user")),
    ],
)
def test_frames_fit_their_schemas(message: str, frame: object) -> None:
    document = json.loads(msgspec.json.encode(asyncapi()))
    payload = document["components"]["messages"][message]["payload"]
    validator = OAS31Validator({**payload, "components": document["components"]})
    found = json.loads(msgspec.json.encode(frame))
    validator.validate(found)
    assert not validator.is_valid(found | {"type": "nonsense"})
