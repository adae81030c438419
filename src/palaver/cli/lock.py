"""`palaver lock`: shows what is wrong with the lock everybody writes first, on a real server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import click
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from palaver.lock.testing.demonstration import FAULTS, Fault, show
from palaver.lock.testing.server import NoServerError, running_server


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
    if url is None:
        try:
            with running_server() as server:
                yield server.host, server.port
        except NoServerError as error:
            raise click.ClickException(f"{error} and pass --redis redis://HOST:PORT") from error
        return
    parts = urlsplit(url if "://" in url else f"redis://{url}")
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379
    try:
        with redis.Redis(host=host, port=port, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()
    except redis.ConnectionError as error:
        raise click.ClickException(f"no server answers at {host}:{port}: {error}") from error
    yield host, port
