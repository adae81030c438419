"""The stub as a real server in a process of its own, for tests."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaver.review.providers import Provider


@dataclass(frozen=True)
class Stub:
    """A stub that runs. `url` ends in /v1."""

    url: str

    def bill(self) -> Mapping[str, Any]:
        """What the stub counted for each model."""
        return self._ask("bill", None)["models"]  # type: ignore[no-any-return]  # JSON

    def dropped(self) -> int:
        """Connections that were dropped while the stub was away."""
        return int(self._ask("bill", None)["dropped"])

    def away(self, away: bool) -> None:
        """Let the stub drop every connection, or no longer."""
        self._ask("away", json.dumps({"away": away}).encode())

    def provider(self, name: str = "stub", **changes: Any) -> Provider:
        """The stub as a provider."""
        return Provider(name=name, base_url=self.url, **changes)

    def _ask(self, path: str, body: bytes | None) -> Any:
        address = self.url.removesuffix("/v1") + "/stub/" + path
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=30) as response:
            return json.load(response)


@contextmanager
def running(directory: Path, script: str = "", *arguments: str | Path) -> Iterator[Stub]:
    """Start a stub with this script, and stop it afterwards."""
    file = directory / "stub.toml"
    file.write_text(script, "utf-8")
    command = [sys.executable, "-m", "palaver", "models", "stub", "--port", "0", "--script", file, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "listening on" in line, line
            yield Stub(line.split("listening on ")[1].split(" ")[0])
        finally:
            process.terminate()
