"""What is kept of a room: pure arithmetic, shared by every log so that all of them show the same.

The kept messages of a room are always a suffix of it, so that no hole can appear: the newest `history`, and of those
only the ones after the last that is too old. (After a step of the wall clock, a message with a later time may stand
before one with an earlier time; it goes when the one behind it goes.)
"""

from dataclasses import dataclass

SENDS_KEPT_MS = 24 * 3_600_000
"""How long the fate of a send is remembered, also when its message is gone. Milliseconds."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How many messages of a room are kept (at least 0), and for how long in seconds (None: for ever)."""

    history: int
    age_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.history < 0:
            raise ValueError(f"history is {self.history}; it is a number of messages, at least 0")
        if self.age_seconds is not None and not self.age_seconds > 0:
            raise ValueError(f"age_seconds is {self.age_seconds}; give seconds above 0, or None to keep for ever")

    def floor(self, last_seq: int) -> int:
        """The highest `seq` that is gone by count alone."""
        return max(last_seq - self.history, 0)

    def oldest_time(self, now_ms: int) -> int | None:
        """Messages with a time before this (milliseconds since the Unix epoch) are too old. None: none is."""
        return None if self.age_seconds is None else now_ms - int(self.age_seconds * 1000)
