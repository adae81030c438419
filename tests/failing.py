"""Faults of our own, put in the place of a method."""

from collections.abc import Callable
from typing import Any


def failing_once(method: Callable[..., Any], at: int = 1) -> Callable[..., Any]:
    """The method, but that its call number `at` fails."""
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise RuntimeError("a fault of ours")
        return method(*arguments)

    return call
