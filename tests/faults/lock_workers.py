"""Processes that use a lock and write down what they saw, to be stopped and killed while they do.

A worker acquires, works for a moment, writes a fenced and a plain count, and releases, again and again. What it saw
it appends to its own file, one JSON line for each hold, so that a killed worker loses at most its last line.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from palaver.lock.testing import Hold

DEADLINE_SECONDS = 40.0


class Worker:
    """One worker process. Ends only its own."""

    def __init__(
        self, name: str, port: int, directory: Path, *, launcher: tuple[str, ...] = (), **options: str | float
    ) -> None:
        self.name = name
        self.file = directory / f"{name}.jsonl"
        command = [sys.executable, "-m", "tests.faults.lock_worker", name, str(port), str(self.file)]
        self._process = subprocess.Popen(
            [*launcher, *command, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )

    def records(self, kind: str | None = None) -> list[Mapping[str, float]]:
        """What it wrote so far."""
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [record for record in found if kind is None or record["kind"] == kind]

    def holds(self) -> list[Hold]:
        """Its holds, for the checkers."""
        return [Hold(self.name, int(r["fence"]), r["asked"], r["acquired"], r["ended"]) for r in self.records("held")]

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, SIGKILL."""
        self._process.send_signal(number)

    def finish(self) -> int:
        """Ask it to end after its round, and wait: its exit code."""
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """End it where it stands."""
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition of the real world, with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to be: {what}"
        time.sleep(0.005)
