"""Says whether what was observed can be the work of a lock. Pure functions on records; they return what is wrong.

All times are one machine's monotonic clock, so that processes can be compared.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Hold:
    """One worker held the lock, as it believed, from `acquired` to `ended`.

    `asked` is when the request that was granted was sent; `acquired` when acquire returned; `ended` the earlier of
    when release was called and the lease's own deadline.
    """

    worker: str
    fence: int
    asked: float
    acquired: float
    ended: float


def check_intervals(holds: Iterable[Hold]) -> list[str]:
    """No two holds overlap. O(n log n)."""
    wrong = []
    latest: Hold | None = None
    for hold in sorted(holds, key=lambda hold: hold.acquired):
        if latest is not None and hold.acquired < latest.ended:
            overlap_ms = (latest.ended - hold.acquired) * 1000
            wrong.append(f"{latest.worker} and {hold.worker} held it together for {overlap_ms:.3f} ms")
        if latest is None or hold.ended > latest.ended:
            latest = hold
    return wrong


def check_fences(holds: Iterable[Hold]) -> list[str]:
    """No fence is given twice, and one asked for after another was granted is greater."""
    by_fence = sorted(holds, key=lambda hold: hold.fence)
    wrong = [f"fence {low.fence} was given twice" for low, high in pairwise(by_fence) if low.fence == high.fence]
    # From the greatest fence down: nobody below may have asked after somebody above was granted.
    earliest_granted_above = float("inf")
    for hold in reversed(by_fence):
        if hold.asked > earliest_granted_above:
            wrong.append(f"{hold.worker} got fence {hold.fence} after a greater one was granted")
        earliest_granted_above = min(earliest_granted_above, hold.acquired)
    return wrong


def check_applied_fences(fences: Sequence[int]) -> list[str]:
    """A storage that applied one fence never applied an older one later."""
    return [f"fence {later} was applied after {earlier}" for earlier, later in pairwise(fences) if later < earlier]


def check_no_write_lost(acknowledged: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Every acknowledged increment is in what was found, and nothing else is."""
    return [
        f"{key}: {acknowledged.get(key, 0)} writes were acknowledged, {found.get(key, 0)} are there"
        for key in sorted({*acknowledged, *found})
        if acknowledged.get(key, 0) != found.get(key, 0)
    ]


def check_fifo(queued: Sequence[str], granted: Sequence[str], *, dead: Collection[str] = ()) -> list[str]:
    """Those who queued were granted in that order, each once, except for the dead, who may be left out."""
    expected = [worker for worker in queued if worker not in dead]
    served = [worker for worker in granted if worker not in dead]
    if served == expected:
        return []
    return [f"queued as {expected}, granted as {served}"]
