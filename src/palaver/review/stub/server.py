"""The stub's HTTP server: chat completions with streaming, faults by script, and a bill.

It is a stand-in for tests, benchmarks and demonstrations without keys, and says so in every answer and in a header. It
listens where it is told to and talks to nobody.

    POST /v1/chat/completions   as a provider does
    GET  /stub/bill             calls and tokens of each model, as this server counted them
    POST /stub/away             {"away": true}: drop every connection until {"away": false}
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from palaver.review import blind
from palaver.review.prompts import Message
from palaver.review.published import Published
from palaver.review.stub import brain
from palaver.review.stub.script import Fault, Script, StubModel

_HEADERS = {"x-palaver-stub": "no model behind this"}
_CHUNK_CHARACTERS = 120
_EVENTS_TOGETHER = 8


@dataclass(slots=True)
class _Account:
    """What one model was asked and what it would bill."""

    calls: int = 0
    billed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answers: int = 0
    judgments: int = 0


@dataclass(slots=True)
class _Counters:
    """The server's only state."""

    accounts: dict[str, _Account] = field(default_factory=dict)
    away: bool = False
    dropped: int = 0


def marks_of(document: Published) -> brain.Marks:
    """The marks of a published file, to be given again."""
    given = {(cell.judge_key, cell.respondent_key): cell.weighted_score for cell in document.judgments}
    keys = dict.fromkeys(key for pair in given for key in pair)
    return brain.Marks(given, tuple(keys))


def application(script: Script, marks: brain.Marks | None = None) -> web.Application:
    """The stub as an aiohttp application."""
    stub = _Stub(script, brain.Marks({}) if marks is None else marks, _Counters())
    app = web.Application(client_max_size=16_000_000)
    app.router.add_post("/v1/chat/completions", stub.complete)
    app.router.add_get("/v1/models", stub.models)
    app.router.add_get("/stub/bill", stub.bill)
    app.router.add_post("/stub/away", stub.set_away)
    return app


@dataclass(frozen=True, slots=True)
class _Stub:
    script: Script
    marks: brain.Marks
    counters: _Counters

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": model.id} for model in self.script.model]}, headers=_HEADERS)

    async def bill(self, _request: web.Request) -> web.Response:
        accounts = {
            model: {name: getattr(account, name) for name in _Account.__slots__}
            for model, account in self.counters.accounts.items()
        }
        return web.json_response({"models": accounts, "dropped": self.counters.dropped}, headers=_HEADERS)

    async def set_away(self, request: web.Request) -> web.Response:
        self.counters.away = bool((await request.json())["away"])
        return web.json_response({"away": self.counters.away}, headers=_HEADERS)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        if self._is_away():
            return _drop(request)
        asked = await request.json()
        messages: list[Message] = asked["messages"]
        model = self.script.find(asked["model"])
        account = self.counters.accounts.setdefault(model.id, _Account())
        account.calls += 1
        await asyncio.sleep(model.latency_seconds)
        if self._is_away():
            return _drop(request)
        fault = self._fault(model, account.calls, messages)
        limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or 1_000_000
        said = brain.speak(self.script, model, messages, limit, self.marks)
        if fault is not None:
            return await _misbehave(request, fault, said, account)
        return await _deliver(request, model.id, said, account, stream=bool(asked.get("stream")))

    def _is_away(self) -> bool:
        self.counters.dropped += self.counters.away
        return self.counters.away

    def _fault(self, model: StubModel, call: int, messages: list[Message]) -> Fault | None:
        judging = brain.is_judgment(messages)
        for fault in model.faults:
            applies = fault.on == "all" or (fault.on == "judgments") == judging
            drawn = blind.number(self.script.seed, 1_000_000, "fault", model.id, str(call)) < fault.rate * 1_000_000
            if applies and drawn and fault.first <= call <= fault.last:
                return fault
        return self._unpublished(model, messages) if self.marks.given else None

    def _unpublished(self, model: StubModel, messages: list[Message]) -> Fault | None:
        """In a replay, a cell that was not published is what it was then: a 2xx reply without choices."""
        text = "\n".join(message["content"] for message in messages)
        if not brain.is_judgment(messages):
            return None
        whose = brain.respondent(self.script, text, self.marks.models)
        if whose is None or (model.id, whose) in self.marks.given:
            return None
        return Fault(kind="no_choices")


def _bill(account: _Account, said: brain.Said) -> Mapping[str, int]:
    account.billed += 1
    account.prompt_tokens += said.prompt_tokens
    account.completion_tokens += said.completion_tokens
    account.judgments += said.judgment
    account.answers += not said.judgment
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }


async def _deliver(
    request: web.Request, model: str, said: brain.Said, account: _Account, *, stream: bool
) -> web.StreamResponse:
    usage = _bill(account, said)
    number = f"stub-{model}-{account.calls}"
    headers = {**_HEADERS, "x-request-id": number}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": said.text}, "finish_reason": said.finish}
        return web.json_response({"id": number, "model": model, "choices": [choice], "usage": usage}, headers=headers)
    response = web.StreamResponse(headers={**headers, "content-type": "text/event-stream"})
    await response.prepare(request)
    pieces = [said.text[at : at + _CHUNK_CHARACTERS] for at in range(0, len(said.text), _CHUNK_CHARACTERS)]
    events = [
        _event(number, model, [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]) for piece in pieces
    ]
    events.append(_event(number, model, [{"index": 0, "delta": {}, "finish_reason": said.finish}]))
    events += [_event(number, model, [], usage), b"data: [DONE]\n\n"]
    # What is ready together travels together, as it does from a real provider.
    for at in range(0, len(events), _EVENTS_TOGETHER):
        await response.write(b"".join(events[at : at + _EVENTS_TOGETHER]))
    await response.write_eof()
    return response


def _event(number: str, model: str, choices: list[dict[str, object]], usage: Mapping[str, int] | None = None) -> bytes:
    body: dict[str, object] = {"id": number, "model": model, "choices": choices}
    if usage is not None:
        body["usage"] = usage
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


async def _misbehave(request: web.Request, fault: Fault, said: brain.Said, account: _Account) -> web.StreamResponse:
    """Do what the fault says instead of delivering the reply."""
    match fault.kind:
        case "status":
            wait = fault.retry_after_seconds
            headers = _HEADERS if wait is None else {**_HEADERS, "retry-after": f"{wait:g}"}
            return web.json_response(
                {"error": {"message": "the stub was told to"}}, status=fault.status, headers=headers
            )
        case "error_in_200":
            return web.json_response({"error": {"code": fault.status, "message": "upstream failed"}}, headers=_HEADERS)
        case "no_choices":
            return web.json_response({"id": "stub", "object": "chat.completion"}, headers=_HEADERS)
        case "null_content" | "empty_with_tokens" | "refusal" | "prose":
            return _odd_message(fault, said, account)
        case "cut_json":
            return web.Response(body=b'{"choices": [{"message": {"content": "cut', content_type="application/json")
        case "hang":
            await asyncio.sleep(fault.seconds)
            return _drop(request)
        case "reset" | "drip" | "floods":
            return await _broken_stream(request, fault, said)


def _odd_message(fault: Fault, said: brain.Said, account: _Account) -> web.Response:
    message: dict[str, object] = {"role": "assistant", "content": None}
    finish, usage = "stop", {"prompt_tokens": 0, "completion_tokens": 0}
    if fault.kind == "refusal":
        message["refusal"] = "I cannot help with that."
    if fault.kind == "empty_with_tokens":
        finish, message["content"] = "length", ""
        usage = dict(_bill(account, said))
    if fault.kind == "prose":
        message["content"] = "I would give this answer an 8 for correctness, and the rest is fine as well."
        usage = dict(_bill(account, said))
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return web.json_response({"model": "stub", "choices": [choice], "usage": usage}, headers=_HEADERS)


async def _broken_stream(request: web.Request, fault: Fault, said: brain.Said) -> web.StreamResponse:
    response = web.StreamResponse(headers={**_HEADERS, "content-type": "text/event-stream"})
    await response.prepare(request)
    if fault.kind == "floods":
        piece = [{"index": 0, "delta": {"content": "x" * 10_000}, "finish_reason": None}]
        for _ in range(10_000):
            if request.transport is None or request.transport.is_closing():
                break
            await response.write(_event("stub", "stub", list(piece)))
        return response
    for character in said.text[:200]:
        piece = [{"index": 0, "delta": {"content": character}, "finish_reason": None}]
        await response.write(_event("stub", "stub", list(piece)))
        if fault.kind == "drip":
            await asyncio.sleep(fault.seconds)
        elif len(said.text) > 0 and character == " ":
            break
    if request.transport is not None:
        request.transport.abort()
    return response
