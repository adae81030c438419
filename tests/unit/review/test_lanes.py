"""Lanes over real sockets: bounded, used again, and never lost to a request that failed or was cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from palaver.review.lanes import Lanes


@dataclass
class Server:
    """Answers `hold` when it is let go, `break` never, and everything else at once."""

    connections: int = 0
    held: int = 0
    most_held: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/break" in head:
                    break
                if b"/hold" in head:
                    self.held += 1
                    self.most_held = max(self.most_held, self.held)
                    self.arrived.set()
                    await self.go.wait()
                    self.held -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()


@asynccontextmanager
async def _served(lanes: int) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, httpx.AsyncClient(transport=Lanes(lanes), base_url=server.url, timeout=30) as client:
        yield server, client
        server.go.set()


async def test_calls_one_after_another_use_one_connection() -> None:
    async with _served(4) as (server, client):
        for _ in range(5):
            assert (await client.get("/")).text == "ok"

    assert server.connections == 1


async def test_no_more_calls_than_lanes_are_under_way() -> None:
    async with _served(3) as (server, client), asyncio.TaskGroup() as group:
        calls = [group.create_task(client.get("/hold")) for _ in range(9)]
        while server.held < 3:
            await server.arrived.wait()
            server.arrived.clear()
        server.go.set()
        assert {(await call).text for call in calls} == {"ok"}

    assert server.most_held == 3
    assert server.connections <= 3


@pytest.mark.parametrize("times", [1, 5])
async def test_a_cancelled_call_gives_its_lane_back(times: int) -> None:
    async with _served(1) as (server, client):
        for _ in range(times):
            call = asyncio.create_task(client.get("/hold"))
            await server.arrived.wait()
            server.arrived.clear()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await asyncio.wait_for(client.get("/"), 30)).text == "ok"


async def test_a_failed_call_gives_its_lane_back() -> None:
    async with _served(1) as (_, client):
        for _ in range(3):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/break")
        assert (await asyncio.wait_for(client.get("/"), 30)).text == "ok"


async def test_a_body_that_is_left_unread_gives_its_lane_back() -> None:
    async with _served(1) as (_, client):
        for _ in range(3):
            async with client.stream("GET", "/"):
                pass
        assert (await asyncio.wait_for(client.get("/"), 30)).text == "ok"


async def test_a_body_that_is_closed_twice_gives_its_lane_back_once() -> None:
    async with _served(1) as (server, _):
        lanes = Lanes(1)
        response = await lanes.handle_async_request(httpx.Request("GET", server.url))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
        await response.stream.aclose()

        assert len(lanes._free) == 1
        await lanes.aclose()
