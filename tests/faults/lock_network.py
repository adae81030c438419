"""A network namespace with one cable to this one, which can be cut. Needs root and iproute2."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.faults.lock_workers import Worker


class Network:
    """A namespace of its own name, so that runs beside each other do not meet. Removed at the end."""

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self._name = f"palaver-{number}"
        self._near, self._far = f"pv{number}a", f"pv{number}b"
        # A link-local /30 of our own.
        base = f"169.254.{number // 64 % 256}.{number % 64 * 4}"
        self._subnet = base.rsplit(".", 1)[0]
        last = int(base.rsplit(".", 1)[1])
        self.outside = f"{self._subnet}.{last + 1}"
        self._inside = f"{self._subnet}.{last + 2}"

    def __enter__(self) -> Self:
        self._ip("netns", "add", self._name)
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        self._ip("addr", "add", f"{self.outside}/30", "dev", self._near)
        self._ip("link", "set", self._near, "up")
        self._ip("-n", self._name, "addr", "add", f"{self._inside}/30", "dev", self._far)
        self._ip("-n", self._name, "link", "set", self._far, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._ip("netns", "del", self._name)

    def worker(self, name: str, port: int, directory: Path, **options: str | float) -> Worker:
        """A worker on the other end of the cable."""
        inside = ("ip", "netns", "exec", self._name)
        return Worker(name, port, directory, launcher=inside, host=self.outside, **options)

    def cut(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._ip("-n", self._name, "link", "set", self._far, "down")

    def heal(self) -> None:
        """The cable is back."""
        self._ip("-n", self._name, "link", "set", self._far, "up")

    def _ip(self, *words: str) -> None:
        ip = shutil.which("ip") or "/sbin/ip"
        subprocess.run([ip, *words], check=True, capture_output=True)
