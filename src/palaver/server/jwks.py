"""Keys from a JWKS URL: cached, fetched anew for a key that is not known, never more often than allowed.

Refuses to do: follow redirects, read more than a megabyte, wait longer than its timeout. Invariants: at most one fetch
runs at a time, however many wait for it; between two fetches lie at least `pause_seconds`, whatever tokens come in, so
that unknown keys cannot be turned against the server that has the keys; keys older than `stale_seconds` are not used.

    KeysUnavailableError   there are no keys to verify with, and fetching them has failed or must wait
"""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import structlog

from palaver.server.keys import FILE_BYTES, Key, KeyFileError, parse_jwks

Fetch = Callable[[], Awaitable[bytes]]
Guard = Callable[[Fetch], Awaitable[bytes]]
"""Stands before each fetch; a circuit breaker's `call` has this form."""

journal = structlog.get_logger("palaver.identity")


class KeysUnavailableError(Exception):
    """The keys cannot be had now."""


async def unguarded(fetch: Fetch) -> bytes:
    """The guard that always lets through."""
    return await fetch()


class JwksSource:
    """The keys behind one URL."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], float],
        guard: Guard = unguarded,
        fresh_seconds: float = 300.0,
        stale_seconds: float = 86_400.0,
        pause_seconds: float = 10.0,
    ) -> None:
        """After `fresh_seconds` keys are fetched again at the next token; if that fails they serve on for
        `stale_seconds`. `clock` gives monotonic seconds.
        """
        self._fetch, self._guard, self._clock = fetch, guard, clock
        self._fresh_seconds, self._stale_seconds, self._pause_seconds = fresh_seconds, stale_seconds, pause_seconds
        self._keys: tuple[Key, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._running: asyncio.Task[None] | None = None
        self._last_failed = False
        self.fetches = 0
        self.failures = 0

    def fresh(self, name: object) -> tuple[Key, ...] | None:
        """The keys, if they are fresh and have the one that a token names; otherwise None: await `fetched`."""
        age = self._age()
        return self._keys if age is not None and age < self._fresh_seconds and self._knows(name) else None

    async def fetched(self, name: object) -> tuple[Key, ...]:
        """The keys, after fetching them if that is due and allowed. Raises KeysUnavailableError."""
        if self._running is None and self._may_try():
            self._tried_at = self._clock()
            self._running = asyncio.get_running_loop().create_task(self._refresh())
            self._running.add_done_callback(self._ended)
        if self._running is not None:
            await asyncio.shield(self._running)
        age = self._age()
        if age is None or age >= self._stale_seconds:
            raise KeysUnavailableError
        if self._last_failed and not self._knows(name):
            raise KeysUnavailableError  # the key may be a new one, which only the failed fetch could have told
        return self._keys

    async def close(self) -> None:
        """Stop a fetch that runs. Idempotent."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _knows(self, name: object) -> bool:
        return name is None or any(key.name == name or key.name is None for key in self._keys)

    def _age(self) -> float | None:
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._pause_seconds

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._running = None

    async def _refresh(self) -> None:
        self.fetches += 1
        try:
            self._keys = parse_jwks(await self._guard(self._fetch), public_only=True)
        except Exception as error:  # noqa: BLE001 - whatever the guard or the network raises, the old keys serve on
            self.failures += 1
            self._last_failed = True
            journal.warning("keys_not_fetched", error=type(error).__name__, reason=_reason(error))
        else:
            self._fetched_at = self._clock()
            self._last_failed = False


def _reason(error: Exception) -> str:
    """Why, without the URL, which may hold a secret."""
    if isinstance(error, KeyFileError):
        return str(error)
    return f"status {error.status}" if isinstance(error, aiohttp.ClientResponseError) else ""


def http_fetch(url: str, *, timeout_seconds: float = 5.0) -> Fetch:
    """A function that GETs the URL."""

    async def fetch() -> bytes:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                response.raise_for_status()
                raise KeyFileError(f"the answer has status {response.status}, not 200.")
            data = await response.content.read(FILE_BYTES + 1)
            while len(data) <= FILE_BYTES and (more := await response.content.read(FILE_BYTES)):
                data += more
            if len(data) > FILE_BYTES:
                raise KeyFileError("the answer is larger than a set of keys can be.")
            return data

    return fetch
