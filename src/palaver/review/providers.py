"""One provider of models: an OpenAI-compatible endpoint behind a guard.

A call ends within its deadline, reads at most its byte cap, and returns a `Reply` or a `Failure`; it raises only for
cancellation and for bugs. Keys come from the environment by name, travel in one header, and are in no text, log or
error. It makes no second attempt: when to try again is the runner's business.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import httpx
import msgspec

from palaver.review.completions import Accumulator, Reply
from palaver.review.errors import ConfigurationError
from palaver.review.failures import Failure, GuardOpenError, UnhealthyError, of_status
from palaver.review.lanes import Lanes
from palaver.review.prompts import Messages

T = TypeVar("T")
_CONNECT_SECONDS = 10.0
_LONGEST_RETRY_AFTER_SECONDS = 3_600.0


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where models are served.

    `key` names the environment variable with the key (`None`: no key is sent). `in_flight` is the most calls at a time,
    `deadline_seconds` the most that one call takes in all, `max_bytes` the most that is read of one reply.
    """

    name: str
    base_url: str
    key: str | None = None
    in_flight: int = 8
    deadline_seconds: float = 300.0
    max_bytes: int = 8_000_000
    stream: bool = True
    tokens_field: str = "max_tokens"


@dataclass(frozen=True, slots=True)
class Request:
    """One call: which model is told what, and how much it may say."""

    model: str
    messages: Messages
    max_tokens: int
    temperature: float | None


class Guard(Protocol):
    """Stands before every call to one provider: a circuit breaker, or nothing.

    `acall` awaits the operation and returns its result. It counts an `UnhealthyError` against the provider and lets it
    through; while it admits no calls it raises its own error without starting the operation. `CircuitBreaker` of
    `palaver.breaker` is one, with its `CircuitOpenError` as `refusal`.
    """

    async def acall(self, function: Callable[[], Awaitable[T]]) -> T:
        """Make the call, or raise the guard's refusal."""
        ...


class Unguarded:
    """The guard that lets everything through."""

    async def acall(self, function: Callable[[], Awaitable[T]]) -> T:
        """Make the call."""
        return await function()


class Client:
    """Calls one provider. Use it through `connect`."""

    def __init__(
        self, provider: Provider, http: httpx.AsyncClient, guard: Guard, refusal: type[Exception] = GuardOpenError
    ) -> None:
        self.provider = provider
        self._http = http
        self._guard = guard
        self._refusal = refusal

    async def complete(self, request: Request, hear: Callable[[str], None] | None = None) -> Reply | Failure:
        """Ask once. `hear` gets each piece of text as it arrives, where the provider streams."""

        async def attempt() -> Reply | Failure:
            result = await self._attempt(request, hear)
            if isinstance(result, Failure) and result.trait.unhealthy:
                raise UnhealthyError(result)
            return result

        try:
            return await self._guard.acall(attempt)
        except UnhealthyError as error:
            return error.failure
        except self._refusal as refused:
            return Failure("waiting", retry_after_seconds=getattr(refused, "retry_after", None))

    async def _attempt(self, request: Request, hear: Callable[[str], None] | None) -> Reply | Failure:
        deadline = self.provider.deadline_seconds
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request, hear)
        except (TimeoutError, httpx.TimeoutException):
            return Failure("timeout", f"no complete reply within {deadline:g} s")
        except httpx.TransportError as error:
            return Failure("unreachable", f"{type(error).__name__}: {error}"[:300])
        except httpx.DecodingError as error:
            return Failure("malformed", f"the body cannot be decompressed: {error}"[:300])

    async def _exchange(self, request: Request, hear: Callable[[str], None] | None) -> Reply | Failure:
        async with self._http.stream("POST", "chat/completions", json=self._body(request)) as response:
            label = response.headers.get("x-request-id", "")
            if response.status_code >= 300:
                detail = (await _capped(response, 4_096)).decode("utf-8", "replace")
                return of_status(response.status_code, detail, _retry_after(response.headers), label)
            collected = Accumulator(label)
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                if not await self._read_events(response, collected, hear):
                    return Failure("too_large", f"more than {self.provider.max_bytes} bytes", request=label)
                return collected.result()
            body = await _capped(response, self.provider.max_bytes + 1)
            if len(body) > self.provider.max_bytes:
                return Failure("too_large", f"more than {self.provider.max_bytes} bytes", request=label)
            collected.feed_body(body)
            return collected.result()

    def _body(self, request: Request) -> Mapping[str, object]:
        body: dict[str, object] = {"model": request.model, "messages": request.messages}
        body[self.provider.tokens_field] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if self.provider.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    async def _read_events(
        self, response: httpx.Response, collected: Accumulator, hear: Callable[[str], None] | None
    ) -> bool:
        """Feed the events of a stream; False if it passes the byte cap."""
        pending, seen = b"", 0
        async for chunk in response.aiter_bytes():
            seen += len(chunk)
            if seen > self.provider.max_bytes:
                return False
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    added = collected.feed_event(line[5:].strip())
                    if added and hear is not None:
                        hear(added)
        return True


async def _capped(response: httpx.Response, cap: int) -> bytes:
    """At most about `cap` bytes of the body; the rest is left unread."""
    read = b""
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= cap:
            break
    return read[:cap]


def _retry_after(headers: httpx.Headers) -> float | None:
    """The delay form of `Retry-After` (RFC 9110, 10.2.3), in seconds. The date form is ignored."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        return None
    return min(seconds, _LONGEST_RETRY_AFTER_SECONDS) if seconds >= 0 else None


def authorisation(provider: Provider, environment: Mapping[str, str]) -> dict[str, str]:
    """The header with the key. Raises `ConfigurationError` naming the variable, never its content."""
    if provider.key is None:
        return {}
    key = environment.get(provider.key, "").strip()
    if not key:
        raise ConfigurationError(
            f"Provider {provider.name!r} needs its key in the environment variable {provider.key}."
        )
    return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def connect(
    provider: Provider,
    guard: Guard | None = None,
    refusal: type[Exception] = GuardOpenError,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """A client with a connection pool of its own.

    `refusal` is what the guard raises while it admits no calls; its `retry_after`, if it has one, says for how many
    seconds. Raises `ConfigurationError` if the provider's key is not set.
    """
    headers = authorisation(provider, os.environ if environment is None else environment)
    timeout = httpx.Timeout(provider.deadline_seconds, connect=min(_CONNECT_SECONDS, provider.deadline_seconds))
    base = provider.base_url.rstrip("/") + "/"
    lanes = Lanes(provider.in_flight)
    async with httpx.AsyncClient(base_url=base, headers=headers, transport=lanes, timeout=timeout) as http:
        yield Client(provider, http, Unguarded() if guard is None else guard, refusal)
