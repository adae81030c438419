"""Reading chat completions: one JSON body, or a stream of server-sent events. No IO.

Every way in which a 2xx reply can fail to be an answer is a named failure. Nothing is guessed: a stream that ends
without a finish reason was cut off on the way and is not an answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from palaver.review.failures import Failure, of_status

_Finish = Literal["stop", "length", "refused"]
_FINISHES: Mapping[str, _Finish] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refused",
    "refusal": "refused",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, and what the provider says about it. A refusal is a failure and never a reply."""

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    model: str = ""
    request: str = ""


class Accumulator:
    """Collects a reply from one body or from the chunks of a stream."""

    def __init__(self, request: str = "") -> None:
        self._request = request
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, object] = {}
        self._model = ""
        self._choices = False
        self._failure: Failure | None = None

    def feed_body(self, body: bytes) -> None:
        """Take a whole JSON body."""
        found = self._decode(body)
        if found is not None:
            self._take(found, "message")

    def feed_event(self, data: bytes) -> str:
        """Take the data of one server-sent event. Returns the text that it adds."""
        before = len(self._text)
        if data.strip() != b"[DONE]":
            found = self._decode(data)
            if found is not None:
                self._take(found, "delta")
        return "".join(self._text[before:])

    def _decode(self, data: bytes) -> Mapping[str, object] | None:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            self._fail(Failure("malformed", f"broken JSON: {error}"[:300], request=self._request))
            return None
        if not isinstance(found, dict):
            self._fail(Failure("malformed", "the reply is no JSON object", request=self._request))
            return None
        return found

    def _take(self, found: Mapping[str, object], part: Literal["message", "delta"]) -> None:
        if found.get("error"):
            self._fail(_embedded(found["error"], self._request))
            return
        model, usage, choices = found.get("model"), found.get("usage"), found.get("choices")
        self._model = model if isinstance(model, str) and model else self._model
        self._usage = usage if isinstance(usage, dict) else self._usage
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        self._choices = True
        finish, content = choices[0].get("finish_reason"), choices[0].get(part)
        self._finish = finish if isinstance(finish, str) else self._finish
        if isinstance(content, dict):
            self._collect(content)

    def _collect(self, content: Mapping[str, object]) -> None:
        text, refusal = content.get("content"), content.get("refusal")
        if isinstance(text, str):
            self._text.append(text)
        if isinstance(refusal, str):
            self._refusal.append(refusal)

    def _fail(self, failure: Failure) -> None:
        self._failure = self._failure or failure

    def result(self) -> Reply | Failure:
        """The reply, or what is wrong with it."""
        if self._failure is not None:
            return self._failure
        if not self._choices:
            return Failure("malformed", "a 2xx reply without choices", request=self._request)
        if self._finish is None:
            return Failure("malformed", "the reply ends without a finish reason", request=self._request)
        finish: _Finish = _FINISHES.get(self._finish, "stop")
        text = _writable("".join(self._text))
        if finish == "refused" or (self._refusal and not text):
            return Failure("refused", _writable("".join(self._refusal))[:300] or self._finish, request=self._request)
        completion = _count(self._usage, "completion_tokens")
        if not text.strip() and completion == 0 and finish == "stop":
            return Failure("empty", "no content and no tokens used", request=self._request)
        return Reply(
            text=text,
            finish=finish,
            prompt_tokens=_count(self._usage, "prompt_tokens"),
            completion_tokens=completion,
            reasoning_tokens=_count(self._usage.get("completion_tokens_details"), "reasoning_tokens"),
            model=self._model,
            request=self._request,
        )


def _writable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can carry them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _embedded(error: object, request: str) -> Failure:
    """The failure inside a 200 reply: gateways put the upstream status into `error.code`."""
    if not isinstance(error, dict):
        return Failure("malformed", f"error: {error}"[:300], request=request)
    code, message = error.get("code"), str(error.get("message", ""))
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    if isinstance(code, int) and 400 <= code <= 599:
        return of_status(code, message, request=request)
    return Failure("malformed", f"error in a 2xx reply: {message}"[:300], request=request)


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
