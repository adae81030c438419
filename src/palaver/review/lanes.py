"""A transport with one connection for each call at a time, instead of one pool that looks through all of them.

A pool with n connections looks at all of them whenever a request begins or ends; with twenty calls in flight that was a
third of a run's processor time. Here a request takes the lane that was used last, so that idle connections age out.

Invariant: a lane is used by one request at a time, from its start until its response is closed or failed.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx


class Lanes(httpx.AsyncBaseTransport):
    """`count` lanes to whatever host a request names. More requests than lanes wait their turn."""

    def __init__(self, count: int) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        verify = httpx.create_ssl_context()
        self._free = [httpx.AsyncHTTPTransport(verify=verify, limits=limits) for _ in range(count)]
        self._all = tuple(self._free)
        self._turns = asyncio.Semaphore(count)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through a free lane; the lane is free again when the response is closed."""
        await self._turns.acquire()
        lane = self._free.pop()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            # Also when cancelled: a lane that never comes back would be missing for good.
            self._give_back(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream, self, lane)
        return response

    def _give_back(self, lane: httpx.AsyncHTTPTransport) -> None:
        self._free.append(lane)
        self._turns.release()

    async def aclose(self) -> None:
        """Close every connection."""
        for lane in self._all:
            await lane.aclose()


class _Stream(httpx.AsyncByteStream):
    """A response's body that gives its lane back when it is closed, once."""

    def __init__(self, body: httpx.AsyncByteStream, lanes: Lanes, lane: httpx.AsyncHTTPTransport) -> None:
        self._body = body
        self._lanes = lanes
        self._lane: httpx.AsyncHTTPTransport | None = lane

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            if self._lane is not None:
                self._lanes._give_back(self._lane)  # noqa: SLF001 - the other half of one class
                self._lane = None
