"""A whole server in this process, as palaver.server.serve makes it, and callers for it."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from palaver.server import clock
from palaver.server.app import Running
from palaver.server.http.services import Services
from palaver.server.keys import operator_key, sign
from palaver.server.serve import open_server, public_url
from palaver.server.settings import load


@dataclass
class Site:
    """A running server and where it is."""

    running: Running
    services: Services
    url: str
    data: Path
    stack: AsyncExitStack

    def token(self, name: str, **claims: object) -> str:
        """A token for somebody, valid for a minute."""
        known: dict[str, object] = {"sub": f"u-{name}", "name": name, "exp": int(clock.wall()) + 60}
        return sign(known | claims, operator_key(self.data)[0])

    async def caller(self, name: str | None = "ada", **claims: object) -> aiohttp.ClientSession:
        """An HTTP client with a token for `name`, or without one."""
        headers = {} if name is None else {"Authorization": f"Bearer {self.token(name, **claims)}"}
        return await self.stack.enter_async_context(aiohttp.ClientSession(self.url, headers=headers))


@contextlib.asynccontextmanager
async def serving(data: Path, **flags: object) -> AsyncIterator[Site]:
    """Serve on a free port, with messages in memory where nothing else is said."""
    named = {name.replace("_", "-"): value for name, value in flags.items()}
    settings = load({"port": "0", "store": "memory", "data": str(data), **named})
    async with AsyncExitStack() as stack:
        running, services = await open_server(settings, stack)
        yield Site(running, services, public_url(settings.listen, running), data, stack)


async def body(response: aiohttp.ClientResponse, status: int) -> Any:
    """The JSON of a response that must have this status."""
    async with response:
        assert response.status == status, await response.text()
        return await response.json()
