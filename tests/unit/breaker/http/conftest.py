"""A faulty server for every test of an HTTP client."""

from collections.abc import Iterator

import pytest

from tests.unit.breaker.http.faulty import FaultyServer


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running
