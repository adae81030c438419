"""Every way in which a provider fails is classified, over a real socket, and none becomes a mark."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import httpx
import pytest

from palaver.review.completions import Reply
from palaver.review.errors import ConfigurationError
from palaver.review.failures import TRAITS, Failure, FailureKind, GuardOpenError, UnhealthyError, of_status
from palaver.review.providers import Client, Provider, Request, Unguarded, authorisation, connect
from tests.unit.review import stubs

T = TypeVar("T")
FAULTS: list[tuple[str, str, FailureKind]] = [
    ("s429", 'kind = "status"\nstatus = 429\nretry_after_seconds = 1.5', "rate_limited"),
    ("s500", 'kind = "status"\nstatus = 500', "overloaded"),
    ("s401", 'kind = "status"\nstatus = 401', "unauthorised"),
    ("s404", 'kind = "status"\nstatus = 404', "rejected"),
    ("e503", 'kind = "error_in_200"\nstatus = 503', "overloaded"),
    ("e429", 'kind = "error_in_200"\nstatus = 429', "rate_limited"),
    ("nochoices", 'kind = "no_choices"', "malformed"),
    ("nullcontent", 'kind = "null_content"', "empty"),
    ("cutjson", 'kind = "cut_json"', "malformed"),
    ("reset", 'kind = "reset"', "unreachable"),
    ("refusal", 'kind = "refusal"', "refused"),
    ("hang", 'kind = "hang"\nseconds = 30', "timeout"),
    ("drip", 'kind = "drip"\nseconds = 0.05', "timeout"),
    ("floods", 'kind = "floods"', "too_large"),
]
SCRIPT = "".join(f'[[model]]\nid = "{name}"\n[[model.faults]]\n{fault}\n' for name, fault, _ in FAULTS)
SCRIPT += '[[model]]\nid = "thinker"\n[[model.faults]]\nkind = "empty_with_tokens"\n'


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path_factory.mktemp("stub"), SCRIPT) as running:
        yield running


def _request(model: str, max_tokens: int = 500) -> Request:
    return Request(model, [{"role": "user", "content": "What is a lease?"}], max_tokens, 0.0)


async def _ask(provider: Provider, model: str) -> Reply | Failure:
    async with connect(provider) as client:
        return await client.complete(_request(model))


@pytest.mark.parametrize(("model", "fault", "kind"), FAULTS, ids=[name for name, _, _ in FAULTS])
async def test_each_fault_is_classified(stub: stubs.Stub, model: str, fault: str, kind: FailureKind) -> None:
    result = await _ask(stub.provider(deadline_seconds=1.0, max_bytes=200_000), model)

    assert isinstance(result, Failure), fault
    assert result.kind == kind


async def test_retry_after_is_handed_on(stub: stubs.Stub) -> None:
    result = await _ask(stub.provider(), "s429")

    assert isinstance(result, Failure)
    assert result.retry_after_seconds == 1.5


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_comes_with_its_finish_reason_and_bill(stub: stubs.Stub, stream: bool) -> None:
    heard: list[str] = []
    async with connect(stub.provider(stream=stream)) as client:
        result = await client.complete(_request("plain"), heard.append)

    assert isinstance(result, Reply)
    assert (result.finish, result.model) == ("stop", "plain")
    assert result.completion_tokens == -(-len(result.text) // 4)
    assert result.request.startswith("stub-plain-")
    assert "".join(heard) == (result.text if stream else "")


async def test_a_reply_cut_at_its_limit_says_so(stub: stubs.Stub) -> None:
    async with connect(stub.provider()) as client:
        result = await client.complete(_request("plain", max_tokens=40))

    assert isinstance(result, Reply)
    assert (result.finish, result.completion_tokens) == ("length", 40)


async def test_an_empty_reply_with_tokens_used_is_a_cut_reply_and_no_failure(stub: stubs.Stub) -> None:
    result = await _ask(stub.provider(), "thinker")

    assert isinstance(result, Reply)
    assert (result.text, result.finish) == ("", "length")
    assert result.completion_tokens > 0


async def test_the_deadline_holds_although_bytes_keep_coming(stub: stubs.Stub) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()

    result = await _ask(stub.provider(deadline_seconds=0.3), "drip")

    assert isinstance(result, Failure)
    assert result.kind == "timeout"
    assert loop.time() - started < 3.0


async def test_nobody_listening_is_unreachable() -> None:
    result = await _ask(Provider(name="none", base_url="http://127.0.0.1:9/v1"), "any")

    assert isinstance(result, Failure)
    assert result.kind == "unreachable"


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    def no_address(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno -2] Name or service not known")

    http = httpx.AsyncClient(transport=httpx.MockTransport(no_address), base_url="http://models.invalid/v1/")
    async with http:
        result = await Client(Provider(name="none", base_url="http://models.invalid"), http, _Counting()).complete(
            _request("any")
        )

    assert isinstance(result, Failure)
    assert (result.kind, "Name or service not known" in result.detail) == ("unreachable", True)


class _Counting:
    """A guard that counts what it is told."""

    def __init__(self) -> None:
        self.unhealthy = 0
        self.healthy = 0

    async def acall(self, function: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await function()
        except UnhealthyError:
            self.unhealthy += 1
            raise
        self.healthy += 1
        return result


@pytest.mark.parametrize(("model", "fault", "kind"), FAULTS[:11], ids=[name for name, _, _ in FAULTS[:11]])
async def test_the_guard_counts_what_speaks_against_the_providers_health(
    stub: stubs.Stub, model: str, fault: str, kind: FailureKind
) -> None:
    guard = _Counting()
    async with connect(stub.provider(), guard) as client:
        await client.complete(_request(model))

    assert guard.unhealthy == TRAITS[kind].unhealthy, fault
    assert guard.healthy == (not TRAITS[kind].unhealthy), fault


async def test_an_open_guard_makes_no_call_and_says_how_long_to_wait(stub: stubs.Stub) -> None:
    class Open:
        async def acall(self, function: Callable[[], Awaitable[T]]) -> T:
            raise GuardOpenError(12.5)

    before = stub.bill().get("guarded")
    async with connect(stub.provider(), Open()) as client:
        result = await client.complete(_request("guarded"))

    assert result == Failure("waiting", retry_after_seconds=12.5)
    assert stub.bill().get("guarded") is before is None


async def test_cancelling_a_call_ends_it(stub: stubs.Stub) -> None:
    async with connect(stub.provider()) as client:
        call = asyncio.create_task(client.complete(_request("hang")))
        async with asyncio.timeout(30):
            while "hang" not in await asyncio.to_thread(stub.bill):
                pass  # asking the stub is the wait
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_a_missing_key_is_named_by_its_variable() -> None:
    provider = Provider(name="paid", base_url="http://127.0.0.1", key="PAID_KEY")

    with pytest.raises(ConfigurationError, match="PAID_KEY"):
        authorisation(provider, {})
    assert authorisation(provider, {"PAID_KEY": " secret\n"}) == {"authorization": "Bearer secret"}


async def test_a_key_is_in_no_failure(stub: stubs.Stub) -> None:
    async with connect(stub.provider(key="PAID_KEY"), environment={"PAID_KEY": "sk-hidden"}) as client:
        results = [await client.complete(_request(name)) for name in ("s401", "s500", "cutjson")]

    assert "sk-hidden" not in repr(results)
    assert "sk-hidden" not in repr(client)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate_limited"),
        (408, "overloaded"),
        (500, "overloaded"),
        (529, "overloaded"),
        (403, "unauthorised"),
        (422, "rejected"),
    ],
)
def test_statuses_are_classified_by_one_table(status: int, kind: str) -> None:
    assert of_status(status, "").kind == kind


async def test_a_key_is_in_no_log_of_any_library_at_any_level(
    stub: stubs.Stub, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["s429", "s500", "s401", "cutjson", "reset", "plain"]
    with caplog.at_level(logging.DEBUG):
        async with connect(stub.provider(key="PAID_KEY"), environment={"PAID_KEY": "sk-hidden"}) as client:
            for name in names:
                await client.complete(_request(name))

    assert "send_request_headers" in caplog.text, "the libraries did log what they sent"
    logged = [(record.getMessage(), record.__dict__) for record in caplog.records]
    assert "sk-hidden" not in repr(logged)
    assert "Bearer" not in caplog.text


async def test_a_key_is_sent_to_its_own_provider_only(stub: stubs.Stub) -> None:
    seen: list[str | None] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(307, headers={"location": "http://elsewhere.invalid/"})

    headers = authorisation(Provider(name="paid", base_url="http://x.invalid", key="K"), {"K": "sk-hidden"})
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(note), base_url="http://x.invalid", headers=headers
    ) as http:
        result = await Client(Provider(name="paid", base_url="http://x.invalid"), http, Unguarded()).complete(
            _request("any")
        )

    assert seen == ["Bearer sk-hidden"], "a redirect is not followed: it could lead the key elsewhere"
    assert isinstance(result, Failure)
    assert result.kind == "rejected"
