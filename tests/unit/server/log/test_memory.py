"""The log in memory: what it forgets."""

from collections.abc import Callable

from palaver.server.log import Log, MemoryLog, Retention
from palaver.server.log.retention import SENDS_KEPT_MS
from tests.unit.server.log.driving import Clock, Driven, append


async def test_it_says_that_nothing_survives_the_process(clock: Clock) -> None:
    first, second = (MemoryLog(Retention(1), now_ms=clock) for _ in range(2))
    assert (first.durability, list(first.sanctions())) == ("memory", [])
    assert first.epoch != second.epoch
    assert first.secret != second.secret


async def test_sends_are_forgotten_after_a_day_so_that_memory_is_bounded(
    clock: Clock, drive: Callable[[Log], Driven]
) -> None:
    memory = MemoryLog(Retention(1), now_ms=clock)
    log = drive(memory)
    await log.do(*(append(cid=f"c-{number}", at=clock.ms) for number in range(100)))
    clock.ms += SENDS_KEPT_MS
    await log.do(*(append(cid=f"d-{number}", at=clock.ms) for number in range(50)))
    assert len(memory._sends) == 150
    clock.ms += 1
    await log.do(*(append(cid=f"e-{number}", at=clock.ms) for number in range(50)))
    assert len(memory._sends) == 100
    assert sum(len(room.messages) for room in memory._rooms.values()) == 1
