"""Which timers an event loop is asked for."""

import asyncio
from typing import Any

import pytest


def noted(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times of the timers set from here on; the list grows with each."""
    timers: list[float] = []
    call_at = loop.call_at

    def noting(when: float, *rest: Any, **context: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *rest, **context)

    monkeypatch.setattr(loop, "call_at", noting)
    return timers
