"""The log's figures."""

from collections.abc import Callable

from palaver.server.log import Histogram, Log
from tests.unit.server.log.driving import START_MS, Clock, Driven, MakeLog, append, load


def test_a_histogram_counts_into_inclusive_upper_bounds_and_one_bucket_above() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert (histogram.count, histogram.total) == (6, 105.6)


async def test_messages_that_are_removed_because_they_are_too_many_are_counted(
    make_log: MakeLog, drive: Callable[[Log], Driven]
) -> None:
    log = make_log(history=10)
    driven = drive(log)
    stored = 0
    while log.statistics.removed < 500:  # a store on disk removes many at a time, and late
        await driven.do(*(append() for _ in range(500)))
        stored += 500
    assert log.statistics.removed <= stored - 10


async def test_messages_that_are_removed_because_they_are_too_old_are_counted(
    make_log: MakeLog, clock: Clock, drive: Callable[[Log], Driven]
) -> None:
    log = make_log(history=1_000_000, age_seconds=1.0)
    driven = drive(log)
    await driven.do(*(append(at=START_MS) for _ in range(7)), append(at=START_MS + 1_000_000))
    assert log.statistics.removed == 0
    clock.ms += 1_000_000
    much = [append(at=clock.ms, room="attic") for _ in range(1_000)]  # a store on disk looks for it under load, or idle
    while log.statistics.removed == 0:
        await driven.do(*much, load("lobby"))
    assert log.statistics.removed == 7
