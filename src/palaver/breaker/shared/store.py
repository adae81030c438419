"""The shared circuit in Redis: four scripts over one hash and one sorted set for each breaker.

All times are the server's, in milliseconds, so that the clocks of the fleet need not agree. Raises the client's errors.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

import redis

from palaver.breaker.config import OPTIONS, Config

_LIFE_MS: Final = 24 * 3600 * 1000  # a circuit that nobody touches for a day is forgotten


class Shared(NamedTuple):
    """What the fleet says about a circuit."""

    epoch: int
    is_open: bool
    wait: float
    level: int
    why: str
    node: str


class Store:
    """The shared state of one breaker.

    Breakers that differ in what decides when to open and close do not share: a digest of these options is part of the
    key.
    """

    def __init__(self, client: "redis.Redis", prefix: str, name: str, config: Config) -> None:
        key = f"{prefix}{{{name}}}:{digest(config)}"  # braces: both keys on one node of a cluster
        self._keys = [key, f"{key}:probes"]
        self.key = key
        self.channel = f"{prefix}changes"
        self._config = config
        self._open = client.register_script(_source("open"))
        self._claim = client.register_script(_source("claim"))
        self._settle = client.register_script(_source("settle"))
        self._look = client.register_script(_source("look"))

    def open(self, wait: float, level: int, why: str, node: str) -> None:
        """Open the circuit for everybody."""
        told = why.encode(errors="backslashreplace")  # the text of a foreign error may hold what UTF-8 cannot
        self._open(keys=self._keys, args=[_ms(wait), level, told, node, self.channel, _LIFE_MS])

    def claim(self, probe: str) -> int:
        """Ask for one place of the fleet's probe budget: 1 granted, 0 not now, 2 the circuit is closed, 3 unknown."""
        config = self._config
        args: list[str | int] = [probe, _ms(config.probe_timeout), config.probe_budget, config.probe_concurrency]
        return int(self._claim(keys=self._keys, args=args))

    def settle(self, probe: str, *, succeeded: bool) -> bool:
        """Give a place back, and say whether the circuit is closed now."""
        args: list[str | int] = [probe, int(succeeded), self._config.close_after, self.channel]
        return bool(self._settle(keys=self._keys, args=args))

    def look(self) -> Shared | None:
        """Read the circuit; None if the fleet knows nothing of it."""
        answer = self._look(keys=self._keys[:1], args=[])
        if not answer:
            return None
        epoch, state, wait, level, why, node = (_text(part) for part in answer)
        return Shared(int(epoch), state == "open", int(wait) / 1000, int(level or 0), why, node)


def digest(config: Config) -> str:
    """Eight hexadecimal digits that differ when the deciding options do."""
    text = "\n".join(f"{option}={getattr(config, option)!r}" for option in OPTIONS if option in _DECIDING)
    return hashlib.blake2s(f"{text}\n{config.rule}".encode(), digest_size=4).hexdigest()


_DECIDING: Final = frozenset({"close_after", "probe_concurrency", "probe_timeout", "probes", "slow_after"})


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _text(part: bytes | str | int) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def _source(name: str) -> str:
    return (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")
