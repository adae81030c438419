"""A server whose rooms may ask the models of a stub, and somebody in a room who writes down what comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from tests.unit.review import stubs
from tests.unit.server.http.site import Site, serving

Frame = dict[str, Any]
KEYS = ("ada", "bob", "cyd")
ROOM = "lobby"


def script(latency_seconds: float = 0.0, keys: Sequence[str] = KEYS, extra: str = "") -> str:
    """A stub's script: each model a little better than the one before."""
    return "".join(
        f'[[model]]\nid = "{key}"\nquality = {5 + number}\nlatency_seconds = {latency_seconds}\n{extra}'
        for number, key in enumerate(keys)
    )


def models_file(directory: Path, stub: stubs.Stub, keys: Sequence[str] = KEYS, price: float = 0.0) -> Path:
    """A models file for the stub's models."""
    text = f'[[provider]]\nname = "stub"\nbase_url = "{stub.url}"\nin_flight = 20\n'
    for key in keys:
        text += f'[[model]]\nkey = "{key}"\nname = "{key.title()} One"\nprovider = "stub"\nid = "{key}"\n'
        text += f"price = {{ prompt = {price}, completion = {price} }}\n"
    path = directory / "models.toml"
    path.write_text(text, "utf-8")
    return path


@dataclass
class Guest:
    """Somebody in the room. `frames` is everything that came, in order."""

    connection: ClientConnection
    name: str
    user: str = ""
    session: str = ""
    frames: list[Frame] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when each came
    _count: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, kind: str, **fields: object) -> Frame:
        """Send a request and wait for its answer."""
        self._count += 1
        re = str(self._count)
        await self.connection.send(msgspec.json.encode({"type": kind, "id": re, **fields}).decode())
        return await self.until(lambda frame: frame.get("re") == re)

    async def say(self, text: str) -> Frame:
        """Say something in the room."""
        return await self.ask("send", room=ROOM, text=text)

    async def until(self, wanted: Callable[[Frame], bool], seconds: float = 40.0) -> Frame:
        """The first frame that is wanted, also if it has come already."""
        async with asyncio.timeout(seconds):
            seen = 0
            while True:
                for frame in self.frames[seen:]:
                    seen += 1
                    if wanted(frame):
                        return frame
                self._came.clear()
                await self._came.wait()

    async def listen(self) -> None:
        """Write down what comes, until the connection ends."""
        async for data in self.connection:
            self.frames.append(msgspec.json.decode(data))
            self.times.append(asyncio.get_running_loop().time())
            self._came.set()

    @property
    def messages(self) -> list[Frame]:
        """The messages so far."""
        return [frame for frame in self.frames if frame["type"] == "message"]

    def events(self, event: str) -> list[Frame]:
        """Pushes about evaluations, of one kind."""
        return [frame for frame in self.frames if frame["type"] == "evaluation" and frame["event"] == event]

    async def ranking(self) -> Frame:
        """The message that says who is who."""
        return await self.until(lambda frame: frame["type"] == "message" and ":ranking-" in (frame["cid"] or ""))


@contextlib.asynccontextmanager
async def guest(url: str, name: str = "Ada", session: str | None = None) -> AsyncIterator[Guest]:
    """Enter the room."""
    address = url.replace("http", "ws", 1) + "/ws"
    async with connect(address, proxy=None) as connection:
        someone = Guest(connection, name)
        listening = asyncio.create_task(someone.listen())
        try:
            fields = {} if session is None else {"session": session}
            ack = await someone.ask("auth", name=name, **fields)
            someone.user, someone.session = ack["user"]["id"], ack["session"]
            await someone.ask("join", room=ROOM)
            yield someone
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@contextlib.asynccontextmanager
async def site(directory: Path, stub: stubs.Stub, **flags: object) -> AsyncIterator[Site]:
    """A server in this process whose rooms may ask the stub's models."""
    models = models_file(directory, stub) if "models" not in flags else flags.pop("models")
    async with serving(directory / "data", models=str(models), **flags) as running:
        yield running
