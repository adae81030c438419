"""The model server of tests.property.client_world behind a real socket: the shell is tested without the product."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.ports import free_port
from tests.property.client_world import Server, Wire


class Loopback:
    """Knobs: `mute` reads and answers nothing; `script` may answer a frame in the model's place."""

    def __init__(self) -> None:
        self.model = Server(keep=1000, limit=None)
        self.sockets: dict[int, ServerConnection] = {}
        self.wires: dict[int, Wire] = {}
        self.seen: list[dict[str, Any]] = []
        self.arrived = asyncio.Condition()
        self.mute = False
        self.swallow_acks_of: set[str] = set()
        self.connects = 0
        self._listener: Listener | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._listener = await serve(self._serve, "127.0.0.1", self.port, ping_interval=None, compression=None)

    async def stop(self) -> None:
        """As by kill -9: every transport is gone at once, the port too; the model's data stays."""
        assert self._listener is not None
        for socket in list(self.sockets.values()):
            socket.transport.abort()
        self._listener.close()
        await self._listener.wait_closed()
        self.model.restart(forget=False)

    async def close_all(self, code: int) -> None:
        for socket in list(self.sockets.values()):
            await socket.close(code)

    async def push(self, frame: dict[str, Any]) -> None:
        for socket in list(self.sockets.values()):
            await socket.send(json.dumps(frame))

    async def saw(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until so many frames of this type have arrived; returns the last of them."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len([f for f in self.seen if f["type"] == kind]) >= count)
        return [frame for frame in self.seen if frame["type"] == kind][count - 1]

    async def gone(self) -> None:
        """Wait until no connection is left."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: not self.sockets)

    async def _serve(self, socket: ServerConnection) -> None:
        self.connects += 1
        number = self.connects
        wire = Wire(None, number)  # type: ignore[arg-type]  # the model never looks at the client of a wire
        self.sockets[number], self.wires[number] = socket, wire
        self.model.connect(wire)
        try:
            await self._flush()
            async for data in socket:
                frame = json.loads(data)
                self.seen.append(frame)
                if not self.mute:
                    self.model.receive(wire, frame, asyncio.get_running_loop().time())
                    if frame["type"] in self.swallow_acks_of:
                        wire.down = type(wire.down)(f for f in wire.down if f.get("re") != frame["id"])
                    await self._flush()
                await self._tell()
        except ConnectionClosed:
            pass  # the client's end, or stop()
        finally:
            del self.sockets[number], self.wires[number]
            if wire in self.model.wires:
                self.model.wires.remove(wire)
            await self._tell()

    async def _flush(self) -> None:
        for number, wire in list(self.wires.items()):
            while wire.down:
                try:
                    await self.sockets[number].send(json.dumps(wire.down.popleft()))
                except ConnectionClosed:
                    wire.down.clear()

    async def _tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()


@asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    server = Loopback()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
