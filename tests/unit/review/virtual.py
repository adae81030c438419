"""An event loop whose time is virtual: where nothing is ready it jumps to the next timer instead of waiting.

For coroutines that do no real IO. If nothing is ready and nothing is scheduled, nothing can ever happen: an error.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Jumps over every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is ready and nothing is scheduled")
        # A little more than asked for: adding and subtracting floats must not leave a timer just short of its time.
        self.now += timeout + 1e-9 if timeout > 0 else 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Virtual seconds from 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
