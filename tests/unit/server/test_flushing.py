"""When the fan-out writes."""

import asyncio

from palaver.chat.effects import Append, Broadcast, LogJob, Stored, Urgency
from palaver.chat.records import User
from palaver.server.bounds import Bounds
from palaver.server.fanout import Fanout
from palaver.server.flushing import Flushing
from palaver.server.shell import CROWD_JOBS, Shell
from palaver.server.stats import Stats
from tests.unit.server.fake_engine import FakeEngine, FakeLog
from tests.unit.server.readers import FakeReader, unframe
from tests.unit.server.serving import refuse_all, until

BOTH_LOOPS = True
LONG = 3_600.0


async def _turns() -> None:
    """More turns than anything takes that does not wait for time."""
    for _ in range(5):
        await asyncio.sleep(0)


class Flushes:
    """Counts, and says when each is over."""

    def __init__(self) -> None:
        self.count = 0
        self.flushing = Flushing(self._flush)

    def _flush(self) -> None:
        self.count += 1
        self.flushing.done()


async def test_what_is_scheduled_in_one_turn_is_one_flush_at_its_end() -> None:
    flushes = Flushes()
    flushes.flushing.schedule()
    flushes.flushing.schedule()
    assert flushes.count == 0
    await _turns()
    assert flushes.count == 1
    flushes.flushing.schedule()
    await _turns()
    assert flushes.count == 2


async def test_where_more_is_expected_the_flush_waits_for_it() -> None:
    flushes = Flushes()
    flushes.flushing.expect_more(LONG)
    flushes.flushing.schedule()
    flushes.flushing.expect_more(LONG)
    await _turns()
    assert (flushes.count, flushes.flushing.waiting) == (0, True)
    flushes.flushing.expect_no_more()
    flushes.flushing.expect_no_more()
    assert not flushes.flushing.waiting
    await _turns()
    assert flushes.count == 1


async def test_what_is_expected_and_does_not_come_is_not_waited_for_longer_than_was_said() -> None:
    flushes = Flushes()
    flushes.flushing.expect_more(0.001)
    flushes.flushing.expect_more(LONG)
    await until(lambda: flushes.count == 1)
    flushes.flushing.expect_no_more()
    await _turns()
    assert flushes.count == 1


async def test_what_is_scheduled_already_does_not_wait() -> None:
    flushes = Flushes()
    flushes.flushing.schedule()
    flushes.flushing.expect_more(LONG)
    await _turns()
    assert flushes.count == 1


async def test_a_large_room_on_its_way_is_not_held_up() -> None:
    fanout = Fanout(
        Bounds(slice_members=1),
        Stats(),
        clock=lambda: 0.0,
        too_slow=lambda reader: None,
        catching_up=lambda reader: None,
    )
    readers = [FakeReader(str(number)) for number in range(3)]
    for reader in readers:
        fanout.subscribe(reader, "r")
    fanout.broadcast(Broadcast("r", b"one", Urgency.MESSAGE, 1))
    await asyncio.sleep(0)
    assert sum(len(reader.writes) for reader in readers) == 1
    fanout.flushing.expect_more(LONG)
    await _turns()
    assert [reader.got for reader in readers] == [[b"one"]] * 3


class SlowLog(FakeLog):
    """Answers when the test wants it to."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[LogJob] = []

    def submit(self, jobs: object) -> None:
        assert isinstance(jobs, list)
        self.jobs += jobs

    def answer(self, count: int) -> None:
        answered, self.jobs = self.jobs[:count], self.jobs[count:]
        for job in answered:
            assert isinstance(job, Append)
            self.seq += 1
        self._on_results([Stored(job, self.seq, "m", 0, False) for job in answered if isinstance(job, Append)])


def _append(text: str) -> Append:
    return Append(object(), text, "r", User("u", "u"), text, None, "m", 0)


async def _shell(jobs: int) -> tuple[Shell, SlowLog, FakeReader]:
    log, reader = SlowLog(), FakeReader()
    shell = Shell(FakeEngine(), log, bounds=Bounds(), verify=refuse_all, clock=lambda: 1.0, wall_clock=lambda: 0.0)
    shell.start()
    shell.fanout.subscribe(reader, "r")
    shell.perform([_append(str(number)) for number in range(jobs)])
    await _turns()
    assert len(log.jobs) == jobs
    return shell, log, reader


async def test_while_the_log_has_a_crowd_of_jobs_an_answer_is_written_with_the_next_one() -> None:
    shell, log, reader = await _shell(7 + CROWD_JOBS)
    for count, written in ((2, []), (5, [7]), (CROWD_JOBS - 1, [7, CROWD_JOBS - 1]), (1, [7, CROWD_JOBS - 1, 1])):
        log.answer(count)
        await _turns()
        assert [len(unframe(write)) for write in reader.writes] == written
    await shell.stop()


async def test_an_answer_does_not_wait_for_a_third_one() -> None:
    shell, log, reader = await _shell(4 * CROWD_JOBS)
    for written in ([], [2], [2], [2, 2]):
        log.answer(1)
        await _turns()
        assert [len(unframe(write)) for write in reader.writes] == written
    await shell.stop()


async def test_while_the_log_has_a_crowd_of_jobs_and_does_not_answer_nobody_waits_for_it() -> None:
    shell, log, reader = await _shell(2 + CROWD_JOBS)
    log.answer(2)
    await until(lambda: len(reader.got) == 2)
    await shell.stop()


async def test_where_the_log_has_few_jobs_its_answer_is_written_at_once() -> None:
    shell, log, reader = await _shell(1 + CROWD_JOBS)
    log.answer(2)
    await _turns()
    assert len(reader.got) == 2
    await shell.stop()
