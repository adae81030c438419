"""Clients of the wire protocol that hide nothing, for servers as palaver.server.serve makes them."""

import asyncio
import contextlib
from itertools import count
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
PATIENCE_SECONDS = 40.0  # for what must come; nothing waits so long unless it fails


class Client:
    """One connection. `pushes` are the frames that came unasked and were not taken yet, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.pushes: list[Frame] = []
        self.me: Frame = {}
        self._ids = count(1)

    async def send(self, data: str | bytes) -> None:
        """Send one frame as it is: text where `data` is text, else binary."""
        await self.socket.send(data)

    async def say(self, kind: str, **fields: object) -> str:
        """Send a request; returns its id."""
        re = f"r{next(self._ids)}"
        await self.socket.send(msgspec.json.encode({"type": kind, "id": re, **fields}).decode())
        return re

    async def hear(self) -> Frame:
        """The next frame."""
        frame: Frame = msgspec.json.decode(await asyncio.wait_for(self.socket.recv(), PATIENCE_SECONDS))
        return frame

    async def answer(self, re: str | None) -> Frame:
        """The answer to a request; pushes on the way are kept."""
        while True:
            frame = await self.hear()
            if frame["type"] in {"ack", "error"} and frame["re"] == re:
                return frame
            self.pushes.append(frame)

    async def ask(self, kind: str, **fields: object) -> Frame:
        """Send a request and wait for its answer."""
        return await self.answer(await self.say(kind, **fields))

    async def done(self, kind: str, **fields: object) -> Frame:
        """Ask for something that must be granted."""
        frame = await self.ask(kind, **fields)
        assert frame["type"] == "ack", frame
        return frame

    async def push(self, kind: str) -> Frame:
        """The next push of this type; others stay kept."""
        for index, frame in enumerate(self.pushes):
            if frame["type"] == kind:
                return self.pushes.pop(index)
        while True:
            frame = await self.hear()
            if frame["type"] == kind and frame.get("re") is None:
                return frame
            self.pushes.append(frame)

    async def end(self) -> tuple[int, Frame]:
        """Read to the end: the close code and the last frame before it."""
        last: Frame = {}
        with contextlib.suppress(ConnectionClosed):
            while True:
                last = await self.hear()
                self.pushes.append(last)
        assert self.socket.close_code is not None
        return self.socket.close_code, last


async def dial(url: str, *, greeted: bool = True, **options: Any) -> Client:
    """Connect to a server at `http://…` and take its `hello`, if one must come."""
    options = {"compression": None, "proxy": None, "ping_interval": None, "close_timeout": 0.5, **options}
    client = Client(await connect(url.replace("http", "ws", 1) + "/ws", **options))
    if greeted:
        hello = await client.hear()
        assert hello["type"] == "hello", hello
    return client


async def guest(url: str, name: str, *rooms: str, session: str | None = None, **options: Any) -> Client:
    """Connect, authenticate as a guest, join rooms."""
    client = await dial(url, **options)
    client.me = await client.done("auth", name=name, **({} if session is None else {"session": session}))
    for room in rooms:
        await client.done("join", room=room)
    return client
