"""A client middleware for aiohttp. Needs `aiohttp` 3.12 or newer.

    session = aiohttp.ClientSession(middlewares=[BreakerMiddleware()])

A request is settled when its connection is given back: then the body has been read, has failed, or is no longer
wanted. The lease of a probe covers headers and body together, so choose `probe_timeout` for the longest download.
"""

import asyncio
import sys
import time
from typing import Unpack

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from palaver.breaker.config import Options
from palaver.breaker.errors import CircuitOpenError
from palaver.breaker.http.policy import HostListener, Hosts, HttpPolicy
from palaver.breaker.permit import Permit
from palaver.breaker.registry import BreakerRegistry

# What the caller did wrong says nothing about the host.
_DEFAULTS: Options = {"ignore": (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)}


class AiohttpCircuitOpenError(CircuitOpenError, aiohttp.ClientConnectionError):
    """A request was rejected. For code that handles aiohttp's errors, one more way in which a host cannot be
    reached."""


class BreakerMiddleware:
    """Guards the requests of a session, one breaker for each host.

    Args:
        breakers: The breakers to use, to share them between sessions; None makes a registry of its own.
        policy: Which statuses are failures.
        listener: Called with `host:port` and the transition after each change of a breaker.
        **options: The fields of `palaver.breaker.Config` for a registry of its own.
    """

    def __init__(
        self,
        *,
        breakers: BreakerRegistry[str] | None = None,
        policy: HttpPolicy | None = None,
        listener: HostListener | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._hosts = Hosts(breakers, policy, listener, options, _DEFAULTS)

    @property
    def breakers(self) -> BreakerRegistry[str]:
        """The breakers, by `host:port`."""
        return self._hosts.breakers

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send the request, unless the circuit of its host is open. Cancellation is neutral.

        Raises:
            AiohttpCircuitOpenError: if the request is rejected.
        """
        url = request.url
        try:
            permit = self._hosts.breaker(url.scheme, url.raw_host or "", url.port).acquire()
        except CircuitOpenError as error:
            raise AiohttpCircuitOpenError(*error.args) from None
        started = time.monotonic()
        try:
            response = await handler(request)
        except BaseException as error:
            permit.failure(error)
            raise
        if not self._hosts.settled_by_headers(permit, response.status, response.headers.get):
            _settle_at_the_end(response, permit, time.monotonic() - started)
        return response


def _settle_at_the_end(response: ClientResponse, permit: Permit, elapsed: float) -> None:
    """Settle when the connection is given back, or now if the whole body came with the headers."""

    def settle() -> None:
        error = response.content.exception()
        # An end that the reader chose leaves this very class behind; what the network did leaves a subclass.
        if error is not None and type(error) is not aiohttp.ClientConnectionError:
            permit.failure(error)
        elif isinstance(sys.exception(), asyncio.CancelledError):
            permit.release()  # given back because the reader was cancelled
        else:
            permit.success(elapsed=elapsed)

    connection = response.connection
    if connection is None or response.status == 101:
        settle()
    else:
        connection.add_callback(settle)
