"""Undoes what a cancelled asyncio caller may have left on the server.

Invariant: every tidying task is held here until it is done, and is done at the latest when the lease it undoes would
have ended by itself. It refuses to give up early, and to swallow a cancellation: the caller raises it afterwards.
"""

import asyncio

from palaver.lock.client import UNHEARD, AsyncClient, arun
from palaver.lock.core import Call

TIDY_SECONDS = 1.0
"""How long a cancelled caller is held back at most."""

RETRY_SECONDS = 0.05
"""The pause between two tries while the server does not answer."""


class Tidying:
    """The tidying tasks of one lock."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[bool]] = set()

    async def finish(self, call: Call, *, within: float, patience: float = TIDY_SECONDS) -> bool:
        """Run `call` although the caller is being cancelled; True if it was done when this returns.

        Waits for at most `patience` seconds, through further cancellations too; after that a task goes on trying
        for `within` seconds altogether.
        """
        task = asyncio.create_task(self._until_done(call, max(within, patience)), name="palaver-lock-tidy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while not task.done() and loop.time() < until:
            try:
                await asyncio.wait({task}, timeout=until - loop.time())
            except asyncio.CancelledError:
                # The caller is already being cancelled and raises when we return; what counts now is to leave nothing.
                continue
        return task.done() and not task.cancelled() and task.result()

    async def wait(self) -> None:
        """Return when no tidying task is left. Cancelled, they go on."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _until_done(self, call: Call, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while not await self._tried(call):  # noqa: ASYNC110 - nobody tells when a silent server is back
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            return False  # what was to be undone has ended by itself
        return True

    async def _tried(self, call: Call) -> bool:
        try:
            await arun(self._client, call)
        except UNHEARD:
            return False
        return True
