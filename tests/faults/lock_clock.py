"""A server whose clock the test can set, forward and back, while it runs.

With libfaketime (Debian's `faketime`) the server's own wall clock is moved; its monotonic clock is not, as when an
operator or NTP sets the time. Everywhere the same can be simulated through what depends on that clock: how long keys
have left, and how far ahead of it the last fence is. Neither touches the time of the machine.
"""

from pathlib import Path
from typing import Protocol

import redis

from tests.faults.lock_workers import until
from tests.valkey import Valkey

LIBRARY = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
"""What is loaded into the server; None where it is not installed."""


class ServerClock(Protocol):
    """How a test sets a server's clock."""

    def move(self, seconds: int) -> None:
        """Set it forward, or back if negative, and return once the server shows it."""


class RealClock:
    """The wall clock of one server process, read by libfaketime from a file each time."""

    def __init__(self, folder: Path) -> None:
        assert LIBRARY is not None
        self._file = folder / "offset"
        self._seconds = 0
        self._write()
        variables = {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.server = Valkey(launcher=("env", *(f"{name}={value}" for name, value in variables.items())))

    def move(self, seconds: int) -> None:
        with self.server.client() as client:
            aim = client.time()[0] + seconds
            self._seconds += seconds
            self._write()
            until(lambda: abs(client.time()[0] - aim) < 5, "the server's clock was set")

    def _write(self) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(f"{self._seconds:+d}\n", encoding="ascii")
        written.replace(self._file)


class SimulatedClock:
    """The same, seen from the keys."""

    def __init__(self, _folder: Path) -> None:
        self.server = Valkey()

    def move(self, seconds: int) -> None:
        with self.server.client() as client:
            for key in client.scan_iter():
                self._shift(client, key, seconds)

    def _shift(self, client: redis.Redis, key: bytes, seconds: int) -> None:
        left_ms = client.pttl(key)
        if key.endswith(b":fence"):
            client.incrby(key, -seconds * 1_000_000)  # the clock goes one way, so the fence is the other way off
        if left_ms >= 0:
            client.pexpire(key, left_ms - seconds * 1000)  # at zero or below, the key is gone


CLOCKS = (SimulatedClock,) if LIBRARY is None else (SimulatedClock, RealClock)
"""What a test of the clock runs on."""
