"""Which connections are behind, and which of them have to go: those for which too much waits, or who take too little.

One that takes `write_high_bytes` in `slow_seconds` may stay, so that a large answer can come over a slow line; one that
takes nothing is gone after `slow_seconds`. What waits for one is bounded all the while, so its stay is, too.

Refuses to do: IO, and closing: the fan-out is told. Invariant: `lagging_since` is not None exactly while the reader is
here.
"""

from collections.abc import Callable

from palaver.server.bounds import Bounds
from palaver.server.fanout_room import Reader
from palaver.server.stats import Stats

Told = Callable[[Reader], None]


class Laggards:
    """The connections that are behind, and how much was in the buffer of each when it last had taken a part of it."""

    def __init__(
        self, bounds: Bounds, stats: Stats, *, clock: Callable[[], float], too_slow: Told, catching_up: Told
    ) -> None:
        """`catching_up` is called for one that has taken another part of what waits, or all of it."""
        self._bounds = bounds
        self._stats = stats
        self._clock = clock
        self._too_slow = too_slow
        self._catching_up = catching_up
        self._buffered: dict[Reader, int] = {}

    def __contains__(self, reader: Reader) -> bool:
        return reader in self._buffered

    def __len__(self) -> int:
        return len(self._buffered)

    def add(self, reader: Reader) -> None:
        """From here on it is behind."""
        self._buffered[reader] = reader.buffered
        self._stats.lagging += 1
        self._stats.lagging_total += 1
        reader.lagging_since = self._clock()

    def remove(self, reader: Reader) -> None:
        """It is behind no more, or gone. Idempotent."""
        if self._buffered.pop(reader, None) is not None:
            self._stats.lagging -= 1
        reader.lagging_since = None

    def caught_up(self, reader: Reader) -> None:
        """It has taken all of it."""
        self.remove(reader)
        self._catching_up(reader)

    def check(self, now: float) -> None:
        """Give up on those that have to go. To be called about once a second."""
        for reader, before in list(self._buffered.items()):
            buffered = reader.buffered
            if before - buffered >= self._bounds.write_high_bytes:
                reader.lagging_since = now
                self._buffered[reader] = buffered
                self._catching_up(reader)
            elif buffered > before:
                self._buffered[reader] = buffered  # more was said to it
            since = reader.lagging_since
            late = since is not None and now - since > self._bounds.slow_seconds
            beyond = max(0, buffered - self._bounds.answer_bytes)
            if late or beyond + _missed_bytes(reader) > self._bounds.waiting_bytes:
                self._too_slow(reader)

    @property
    def waiting_bytes(self) -> list[int]:
        """What waits for each of them, for the metrics."""
        return [reader.buffered + _missed_bytes(reader) for reader in self._buffered]


def _missed_bytes(reader: Reader) -> int:
    return sum(room.backlog.waiting_bytes(reader) for room in reader.rooms if room.backlog is not None)
