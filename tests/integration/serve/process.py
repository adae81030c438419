"""A real `palaver serve` in a process of its own, and what it says."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DEADLINE_SECONDS = 40.0
LISTENING = re.compile(r"Palaver is listening on (\S+)\n")
PROGRAM = (sys.executable, "-m", "palaver")


def palaver(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `palaver` to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=_environ(environ),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


class Server(NamedTuple):
    """A server that listens."""

    process: subprocess.Popen[str]
    url: str
    cwd: Path

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.cwd / "stderr").read_text()


@contextlib.contextmanager
def serving(*arguments: str, cwd: Path, program: tuple[str, ...] = PROGRAM, **environ: str) -> Iterator[Server]:
    """Serve on a free port, and kill what is left at the end."""
    with (cwd / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [*program, "serve", "--port", "0", *arguments],
            cwd=cwd,
            env=_environ(environ),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            yield Server(process, _address(process, cwd), cwd)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _environ(extra: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PALAVER_")}
    return ours | {"PYTHONUNBUFFERED": ""} | extra


def _address(process: subprocess.Popen[str], cwd: Path) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + DEADLINE_SECONDS
    ready, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
    line = process.stdout.readline() if ready else ""
    found = LISTENING.fullmatch(line)
    assert found, f"it said {line!r} and {(cwd / 'stderr').read_text()!r}"
    return found[1]
