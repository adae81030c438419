"""Tests of the IO shell run on asyncio's own event loop and on uvloop: a module asks for it with BOTH_LOOPS = True."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Say on which event loops an async test runs."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if getattr(getattr(item, "module", None), "BOTH_LOOPS", False):
        factories["uvloop"] = uvloop.new_event_loop
    return factories
