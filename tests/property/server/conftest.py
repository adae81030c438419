"""Tests of the IO shell run on asyncio's own event loop and on uvloop where a module says BOTH_LOOPS = True."""

from tests.unit.server.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
