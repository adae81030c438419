"""The lock's Lua scripts, read once from the `.lua` files beside this one.

Lua is what makes each step atomic on the server. Every script is idempotent on its token: sent twice, it has the
effect of once, so a client that repeats a command whose reply was lost does no harm.
"""

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType

from palaver.lock.wire import packed


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, the hash that EVALSHA knows it by, and that command's two words as they go over the wire."""

    text: str
    sha: str
    packed: bytes

    @classmethod
    def of(cls, text: str) -> "Script":
        """The script with this text."""
        # SHA-1 is the server's name for a script, not a protection.
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(text, sha, packed(("EVALSHA", sha)))


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def _with_common(name: str) -> Script:
    return Script.of(_read(name).replace("-- include common.lua\n", _read("common")))


ACQUIRE = _with_common("acquire")
RELEASE = _with_common("release")
ABANDON = _with_common("abandon")
EXTEND = _with_common("extend")
RAISE_FENCE = Script.of(_read("raise_fence"))

_FENCED_GUARD = _read("fenced")
_FENCED_WRITES = MappingProxyType(
    {
        "set": "return {1, redis.call('SET', KEYS[1], unpack(ARGV, 3))}",
        "hset": "return {1, redis.call('HSET', KEYS[1], unpack(ARGV, 3))}",
        "incr": "return {1, redis.call('INCRBY', KEYS[1], ARGV[3])}",
    }
)


@cache
def fenced(command: str) -> Script:
    """The script that runs one of `set`, `hset`, `incr` under a fence."""
    return Script.of(f"{_FENCED_GUARD}{_FENCED_WRITES[command]}\n")


@lru_cache(maxsize=256)
def fenced_eval(body: str) -> Script:
    """The script that runs the caller's own Lua under a fence, with KEYS = {key} and ARGV = its arguments."""
    return Script.of(
        f"{_FENCED_GUARD}"
        f"local function write(KEYS, ARGV)\n{body}\nend\n"
        "return {1, write({KEYS[1]}, {unpack(ARGV, 3)})}\n"
    )
