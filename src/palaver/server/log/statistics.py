"""What a log can tell about itself, for the metrics page. Written and read on the event loop only."""

from bisect import bisect_left
from dataclasses import dataclass, field


class Histogram:
    """Counts of observed values per bucket: `bounds` are inclusive upper ends, ascending; one more bucket is above."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


def _commit_seconds() -> Histogram:
    return Histogram((0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5))


def _batch_jobs() -> Histogram:
    return Histogram((1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500))


@dataclass(slots=True)
class LogStatistics:
    """Counters since the log was opened, and the present depth of its queue."""

    commit_seconds: Histogram = field(default_factory=_commit_seconds)  # from taking a batch to its last result
    batch_jobs: Histogram = field(default_factory=_batch_jobs)
    queued_jobs: int = 0  # submitted, not answered yet; refused ones do not count
    stored: int = 0
    duplicates: int = 0
    failed: int = 0  # jobs answered with Failed, the refused ones included
    refused: int = 0  # jobs beyond the queue's bound
    removed: int = 0  # messages that are not kept any more, of those that the store still had
    tending_failed: int = 0  # times that folding, sweeping or a checkpoint failed, to be tried again
    reopened: int = 0  # times that the database had to be opened anew after an error
    wal_bytes: int = 0  # size of the write-ahead log's file; 0 where there is none
