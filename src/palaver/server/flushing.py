"""When the fan-out writes: at the end of a turn of the event loop, or a little later where much more is about to come.

Refuses to do: write, or know what is waiting. Invariants: of any number of `schedule` between two flushes one flush
comes; it waits no longer than was said with the first `expect_more`.
"""

import asyncio
from collections.abc import Callable


class Flushing:
    """Calls `flush` on the running event loop. `scheduled` is set until the flush says `done`."""

    __slots__ = ("_flush", "_loop", "_timer", "scheduled")

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None  # the flush, while it waits for what is expected
        self.scheduled = False

    def schedule(self) -> None:
        """Flush at the end of this turn, or when what is expected is here."""
        if not self.scheduled:
            self.scheduled = True
            self._loop.call_soon(self._flush)

    def expect_more(self, seconds: float) -> None:
        """Much more for the same connections is about to come: wait for it, but no longer than this.

        Changes nothing for what is scheduled already.
        """
        if not self.scheduled:
            self.scheduled = True
            self._timer = self._loop.call_later(seconds, self._flush)

    @property
    def waiting(self) -> bool:
        """Whether the next flush waits for what is expected."""
        return self._timer is not None

    def expect_no_more(self) -> None:
        """What was expected is here, or will not come: flush at the end of this turn. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.call_soon(self._flush)

    def done(self) -> None:
        """The flush is over; from here on `schedule` means the next one."""
        self.scheduled = False
        self._timer = None
