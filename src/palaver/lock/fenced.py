"""Writes that carry a fence: the storage refuses them once a newer holder was seen.

This is what makes a lock safe when its holder is stopped for longer than its lease: the delay between any check and
the write cannot be bounded, so the storage itself must compare (Kleppmann, "How to do distributed locking", 2016).

For each key written there is a guard beside it, in the same slot, which remembers the newest fence for
`guard_seconds` after the last write. Where the lock's own last fence lives in that slot too (always, on a server
that is not a cluster), it is compared as well, so that a stale write is refused before the new holder has written.
"""

from collections.abc import Callable, Mapping

from palaver.lock.client import CLUSTERS, AnyClient, AsyncClient, Reply, SyncClient, arun, run
from palaver.lock.core import Call
from palaver.lock.errors import StaleFenceError
from palaver.lock.keys import LockKeys, beside, hash_tag
from palaver.lock.scripts import Script, fenced, fenced_eval
from palaver.lock.terms import FENCE_SECONDS, milliseconds, whole

Value = str | bytes | int | float
"""What Redis stores."""


class _FencedCalls:
    """Builds the calls and reads the replies; the same for both faces."""

    def __init__(
        self,
        client: SyncClient | AsyncClient,
        fence: int,
        *,
        lock_name: str | None = None,
        guard_seconds: float = FENCE_SECONDS,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._client: AnyClient = client
        self._fence = whole("fence", fence, least=1)
        self._lock_name = lock_name
        self._guard_ms = milliseconds(guard_seconds)
        self._check = check

    def _call(self, script: Script, key: str, *args: Value) -> Call:
        if self._check is not None:
            self._check()
        keys: tuple[str, ...] = (key, beside(key, "guard"))
        if self._lock_name is not None and self._same_slot(key, self._lock_name):
            keys = (*keys, LockKeys.of(self._lock_name).fence)
        # The command's words are passed through as they are; redis-py encodes them.
        return Call(script, keys, (self._fence, self._guard_ms, *args))  # type: ignore[arg-type]  # bytes and float too

    def _same_slot(self, key: str, name: str) -> bool:
        return not isinstance(self._client, CLUSTERS) or (hash_tag(key) or key) == (hash_tag(name) or name)

    def _result(self, reply: Reply, key: str) -> Reply:
        # A Lua nil ends an array, so a body that returned nothing leaves one element.
        applied, result = reply if len(reply) == 2 else (reply[0], None)
        if not applied:
            raise StaleFenceError(self._lock_name or key, self._fence, int(result or 0))
        return result

    def _set(self, key: str, value: Value, ttl: float | None) -> Call:
        return self._call(fenced("set"), key, value, *(() if ttl is None else ("PX", milliseconds(ttl))))

    def _hset(self, key: str, mapping: Mapping[str, Value]) -> Call:
        return self._call(fenced("hset"), key, *(word for pair in mapping.items() for word in pair))

    def _incr(self, key: str, amount: int) -> Call:
        return self._call(fenced("incr"), key, amount)

    def _eval(self, script: str, key: str, args: tuple[Value, ...]) -> Call:
        return self._call(fenced_eval(script), key, *args)


class FencedWriter(_FencedCalls):
    """Fenced writes for threads. `lease.fenced` is one; build your own where only the fence is known.

    Every method raises `StaleFenceError` if a newer fence was seen: then nothing was written. Repeating a `set` or
    `hset` whose reply was lost is harmless; `incr` and `eval` may be applied twice by a client that retries.
    """

    def set(self, key: str, value: Value, *, ttl: float | None = None) -> None:
        """SET, ending by itself after `ttl` seconds if given."""
        self._run(self._set(key, value, ttl), key)

    def hset(self, key: str, mapping: Mapping[str, Value]) -> int:
        """HSET; the number of fields that are new."""
        return int(self._run(self._hset(key, mapping), key))

    def incr(self, key: str, amount: int = 1) -> int:
        """INCRBY; the new value."""
        return int(self._run(self._incr(key, amount), key))

    def eval(self, script: str, key: str, *args: Value) -> Reply:
        """Your own Lua, with KEYS = {key} and ARGV = `args`; its reply as redis-py gives it."""
        return self._run(self._eval(script, key, args), key)

    def _run(self, call: Call, key: str) -> Reply:
        return self._result(run(self._client, call), key)


class AsyncFencedWriter(_FencedCalls):
    """Fenced writes for asyncio; the same methods as `FencedWriter`, awaited."""

    async def set(self, key: str, value: Value, *, ttl: float | None = None) -> None:
        """SET, ending by itself after `ttl` seconds if given."""
        await self._run(self._set(key, value, ttl), key)

    async def hset(self, key: str, mapping: Mapping[str, Value]) -> int:
        """HSET; the number of fields that are new."""
        return int(await self._run(self._hset(key, mapping), key))

    async def incr(self, key: str, amount: int = 1) -> int:
        """INCRBY; the new value."""
        return int(await self._run(self._incr(key, amount), key))

    async def eval(self, script: str, key: str, *args: Value) -> Reply:
        """Your own Lua, with KEYS = {key} and ARGV = `args`; its reply as redis-py gives it."""
        return await self._run(self._eval(script, key, args), key)

    async def _run(self, call: Call, key: str) -> Reply:
        return self._result(await arun(self._client, call), key)
