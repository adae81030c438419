"""Every log under test, driven on the test's loop and closed after it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from palaver.server.log import Log, Retention
from palaver.server.log.opening import open_store
from palaver.server.log.writer import Writer
from tests.unit.server.log.driving import Clock, Driven, MakeLog, MakeWriter, Monotonic, maker

KINDS = ("memory", "sqlite")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def make_writer(tmp_path: Path, clock: Clock, monotonic: Monotonic) -> Iterator[MakeWriter]:
    opened: list[Writer] = []

    def make(history: int = 100, age_seconds: float | None = None) -> Writer:
        while opened:
            opened.pop().close()
        opened.append(Writer(open_store(tmp_path), Retention(history, age_seconds), clock, monotonic))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


@pytest.fixture(params=KINDS)
def make_log(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> MakeLog:
    kind: str = request.param
    return maker(kind, tmp_path / "store", clock)


@pytest.fixture
def make_sqlite(tmp_path: Path, clock: Clock) -> MakeLog:
    return maker("sqlite", tmp_path / "store", clock)


@pytest.fixture
async def drive() -> AsyncIterator[Callable[[Log], Driven]]:
    """drive(log): start it, and close it when the test is over."""
    driven: list[Driven] = []

    def start(log: Log) -> Driven:
        driven.append(Driven(log))
        return driven[-1]

    yield start
    closing: list[Awaitable[None]] = [each.log.close() for each in driven]
    for each in closing:
        await each
