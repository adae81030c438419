"""Every log under test, driven on the test's loop and closed after it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from palaver.server.log import Log
from tests.unit.server.log.driving import Clock, Driven, MakeLog, maker

KINDS = ("memory", "sqlite")


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
