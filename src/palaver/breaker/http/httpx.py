"""Transports for httpx, sync and async: wrap the transport, and everything above it stays as it was. Needs `httpx`.

    client = httpx.Client(transport=BreakerTransport(httpx.HTTPTransport()))

A request is settled when its body has ended, failed or been closed; a rejection comes before name resolution. The
exceptions are httpx's own, and a rejection is one of them too.
"""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Self, Unpack

import httpx

from palaver.breaker.config import Options
from palaver.breaker.errors import CircuitOpenError
from palaver.breaker.http.policy import HostListener, Hosts, HttpPolicy
from palaver.breaker.permit import Permit
from palaver.breaker.registry import BreakerRegistry

# What the caller did wrong says nothing about the host; a full pool means that the request never left.
_DEFAULTS: Options = {
    "ignore": (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL),
    "unreachable": httpx.PoolTimeout,
}


class HttpxCircuitOpenError(CircuitOpenError, httpx.TransportError):
    """A request was rejected. For code that handles httpx's errors, one more way in which a host cannot be reached."""

    def __init__(self, *args: object) -> None:
        httpx.TransportError.__init__(self, "circuit open")
        self.args = args


class BreakerTransport(httpx.BaseTransport):
    """Guards a sync transport, one breaker for each host.

    Args:
        transport: What makes the requests.
        breakers: The breakers to use, to share them between clients; None makes a registry of its own.
        policy: Which statuses are failures.
        listener: Called with `host:port` and the transition after each change of a breaker.
        **options: The fields of `palaver.breaker.Config` for a registry of its own.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        breakers: BreakerRegistry[str] | None = None,
        policy: HttpPolicy | None = None,
        listener: HostListener | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._transport = transport or httpx.HTTPTransport()
        self._hosts = Hosts(breakers, policy, listener, options, _DEFAULTS)

    @property
    def breakers(self) -> BreakerRegistry[str]:
        """The breakers, by `host:port`."""
        return self._hosts.breakers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, unless the circuit of its host is open.

        Raises:
            HttpxCircuitOpenError: if the request is rejected.
        """
        permit = _acquire(self._hosts, request)
        started = time.monotonic()
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            permit.failure(error)
            raise
        assert isinstance(response.stream, httpx.SyncByteStream), "a sync transport returns sync streams"
        if not self._hosts.settled_by_headers(permit, response.status_code, response.headers.get):
            response.stream = _Body(response.stream, permit, time.monotonic() - started)
        return response

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def close(self) -> None:
        """Close the guarded transport."""
        self._transport.close()


class AsyncBreakerTransport(httpx.AsyncBaseTransport):
    """Guards an async transport, one breaker for each host. Arguments as for `BreakerTransport`."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        breakers: BreakerRegistry[str] | None = None,
        policy: HttpPolicy | None = None,
        listener: HostListener | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport()
        self._hosts = Hosts(breakers, policy, listener, options, _DEFAULTS)

    @property
    def breakers(self) -> BreakerRegistry[str]:
        """The breakers, by `host:port`."""
        return self._hosts.breakers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, unless the circuit of its host is open. Cancellation is neutral.

        Raises:
            HttpxCircuitOpenError: if the request is rejected.
        """
        permit = _acquire(self._hosts, request)
        started = time.monotonic()
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            permit.failure(error)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream), "an async transport returns async streams"
        if not self._hosts.settled_by_headers(permit, response.status_code, response.headers.get):
            response.stream = _AsyncBody(response.stream, permit, time.monotonic() - started)
        return response

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def aclose(self) -> None:
        """Close the guarded transport."""
        await self._transport.aclose()


class _Body(httpx.SyncByteStream):
    """A body that settles its permit. The time that counts is the one to the headers: the rest depends on the
    reader."""

    def __init__(self, stream: httpx.SyncByteStream, permit: Permit, elapsed: float) -> None:
        self._stream, self._permit, self._elapsed = stream, permit, elapsed

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._permit.renew()
                yield chunk
        except GeneratorExit:  # the reader has enough; closing says the rest
            raise
        except BaseException as error:
            self._permit.failure(error)
            raise
        self._permit.success(elapsed=self._elapsed)

    def close(self) -> None:
        self._permit.success(elapsed=self._elapsed)
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    """The same for an async body."""

    def __init__(self, stream: httpx.AsyncByteStream, permit: Permit, elapsed: float) -> None:
        self._stream, self._permit, self._elapsed = stream, permit, elapsed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._permit.renew()
                yield chunk
        except GeneratorExit:  # the reader has enough; closing says the rest
            raise
        except BaseException as error:
            self._permit.failure(error)
            raise
        self._permit.success(elapsed=self._elapsed)

    async def aclose(self) -> None:
        self._permit.success(elapsed=self._elapsed)
        await self._stream.aclose()


def _acquire(hosts: Hosts, request: httpx.Request) -> Permit:
    url = request.url
    try:
        return hosts.breaker(url.scheme, url.raw_host.decode("ascii"), url.port).acquire()
    except CircuitOpenError as error:
        raise HttpxCircuitOpenError(*error.args) from None
