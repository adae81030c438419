"""What every log promises (palaver.server.log.port), shown for each of them."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from palaver.chat.effects import Failed, Found, Loaded, LogJob, LogResult, Paged, Redacted, Saved, Stored
from palaver.chat.records import Sanction
from palaver.server.log import OVERLOADED, Log, LogClosedError
from palaver.server.log.retention import SENDS_KEPT_MS
from tests.unit.server.log.driving import (
    ADA,
    BOB,
    HOUR_MS,
    START_MS,
    Clock,
    Driven,
    MakeLog,
    append,
    fates,
    load,
    page,
    redact,
    save,
)

Drive = Callable[[Log], Driven]
BAN = Sanction("ban", "lobby", "u-bob", True, None, 0.0, "u-ada", "spam", START_MS)


def texts(result: Loaded | Paged) -> list[str]:
    return [message.text for message in result.messages]


def seqs(result: Loaded | Paged) -> list[int]:
    return [message.seq for message in result.messages]


async def test_messages_are_numbered_from_one_without_holes_in_each_room(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    results = await log.do(append(room="a"), append(room="b"), append(room="a"), append(room="a"))
    assert [result.seq for result in results if isinstance(result, Stored)] == [1, 1, 2, 3]


async def test_a_stored_message_is_loaded_as_it_was_sent(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    stored = await log.ask(append("h\u00e9llo \U0001f30d\n", cid="c-1", mid="m-7", at=START_MS + 5), Stored)
    assert (stored.seq, stored.mid, stored.time, stored.duplicate) == (1, "m-7", START_MS + 5, False)
    loaded = await log.ask(load(), Loaded)
    (message,) = loaded.messages
    assert (message.room, message.seq, message.epoch, message.mid) == ("lobby", 1, log.log.epoch, "m-7")
    assert (message.time, message.user, message.text, message.cid) == (
        START_MS + 5,
        ADA,
        "h\u00e9llo \U0001f30d\n",
        "c-1",
    )
    assert loaded.seq == 1


async def test_a_room_that_never_had_a_message_is_empty_at_zero(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    assert await log.ask(load("nowhere"), Loaded) == Loaded(load("nowhere"), [], 0)
    assert await log.ask(page(room="nowhere"), Paged) == Paged(page(room="nowhere"), [], True)
    assert (await log.ask(fates("c-1", room="nowhere"), Found)).seqs == {"c-1": None}
    assert (await log.ask(redact(1, room="nowhere"), Redacted)).message is None


async def test_a_job_sees_what_was_submitted_before_it(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    first, one, _, two = await log.do(append("1"), load(), append("2"), load())
    assert isinstance(first, Stored)
    assert isinstance(one, Loaded)
    assert texts(one) == ["1"]
    assert one.seq == 1
    assert isinstance(two, Loaded)
    assert texts(two) == ["1", "2"]


async def test_results_come_in_the_order_of_submission_each_exactly_once(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    jobs: list[LogJob] = []
    for turn in range(200):
        some: Sequence[LogJob] = (
            append(room=f"r{turn % 7}", cid=f"c-{turn}"),
            load(f"r{turn % 3}"),
            fates(f"c-{turn}"),
        )
        jobs.extend(some)
        log.log.submit(some)
        if turn % 20 == 0:
            await asyncio.sleep(0)
    results = await log.until(len(jobs))
    assert [id(result.job) for result in results] == [id(job) for job in jobs]


async def test_submitting_never_answers_from_inside_the_call(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    log.log.submit([append()])
    assert log.results == []
    await log.until(1)


async def test_a_repeated_send_gets_the_place_of_the_first_and_stores_nothing(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    await log.ask(append("first", cid="c-1", mid="m-1"), Stored)
    again = await log.ask(append("again", cid="c-1", mid="m-2", at=START_MS + 9), Stored)
    assert (again.seq, again.mid, again.time, again.duplicate) == (1, "m-1", START_MS, True)
    assert texts(await log.ask(load(), Loaded)) == ["first"]


async def test_repetitions_within_one_batch_are_found_and_leave_no_hole(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    results = await log.do(
        append("a", cid="c-1", mid="m-1"),
        append("b", cid="c-1", mid="m-2"),
        append("c", cid="c-2", mid="m-3"),
        append("d", cid="c-1", mid="m-4"),
        append("e", mid="m-5"),
    )
    places = [(r.seq, r.mid, r.duplicate) for r in results if isinstance(r, Stored)]
    assert places == [(1, "m-1", False), (1, "m-1", True), (2, "m-3", False), (1, "m-1", True), (3, "m-5", False)]
    assert texts(await log.ask(load(), Loaded)) == ["a", "c", "e"]


async def test_a_cid_belongs_to_its_user_and_its_room(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    results = await log.do(
        append(cid="c"), append(cid="c", user=BOB), append(cid="c", room="other"), append(), append()
    )
    assert not any(result.duplicate for result in results if isinstance(result, Stored))


async def test_a_repetition_after_a_day_is_still_known(make_log: MakeLog, drive: Drive, clock: Clock) -> None:
    log = drive(make_log(history=1))
    await log.do(append(cid="c-1"), append(cid="c-2"))
    clock.ms += SENDS_KEPT_MS
    await log.do(*(append(cid=f"d-{number}", at=clock.ms) for number in range(5)))
    again = await log.ask(append(cid="c-1", at=clock.ms), Stored)
    assert (again.seq, again.duplicate) == (1, True)


async def test_fates_tell_where_each_send_was_stored(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    await log.do(append(cid="c-1"), append(user=BOB, cid="c-2"), append(cid="c-3"))
    assert (await log.ask(fates("c-1", "c-2", "c-3", "c-4"), Found)).seqs == {
        "c-1": 1,
        "c-2": None,
        "c-3": 3,
        "c-4": None,
    }


async def test_only_the_newest_messages_are_kept_and_numbers_go_on(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log(history=3))
    await log.do(*(append(str(number)) for number in range(1, 6)))
    loaded = await log.ask(load(), Loaded)
    assert (texts(loaded), loaded.seq) == (["3", "4", "5"], 5)
    assert (await log.ask(append(), Stored)).seq == 6


async def test_with_a_history_of_zero_messages_are_numbered_and_not_kept(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log(history=0))
    await log.do(append(cid="c"), append())
    assert await log.ask(load(), Loaded) == Loaded(load(), [], 2)
    assert (await log.ask(append(cid="c"), Stored)).duplicate


async def test_messages_that_are_too_old_are_not_shown(make_log: MakeLog, drive: Drive, clock: Clock) -> None:
    log = drive(make_log(age_seconds=3600))
    await log.do(append("old", at=START_MS), append("young", at=START_MS + 1))
    clock.ms = START_MS + HOUR_MS
    assert texts(await log.ask(load(), Loaded)) == ["old", "young"]
    clock.ms += 1
    assert texts(await log.ask(load(), Loaded)) == ["young"]
    assert seqs(await log.ask(page(before=2), Paged)) == []
    assert (await log.ask(redact(1), Redacted)).message is None
    clock.ms += 1
    assert await log.ask(load(), Loaded) == Loaded(load(), [], 2)
    assert (await log.ask(append(at=clock.ms), Stored)).seq == 3


async def test_what_is_kept_has_no_hole_after_the_clock_stepped_back(
    make_log: MakeLog, drive: Drive, clock: Clock
) -> None:
    log = drive(make_log(age_seconds=3600))
    await log.do(append("ahead", at=START_MS + HOUR_MS), append("behind", at=START_MS), append("now", at=START_MS + 5))
    clock.ms = START_MS + HOUR_MS + 1
    assert texts(await log.ask(load(), Loaded)) == ["now"]


@pytest.mark.parametrize(
    ("asked", "expected", "complete"),
    [
        (page(limit=3), [8, 9, 10], False),
        (page(limit=10), [3, 4, 5, 6, 7, 8, 9, 10], True),
        (page(limit=8), [3, 4, 5, 6, 7, 8, 9, 10], True),
        (page(before=6, limit=2), [4, 5], False),
        (page(before=5, limit=2), [3, 4], True),
        (page(before=3, limit=2), [], True),
        (page(before=0, limit=2), [], True),
        (page(before=2**80, limit=1), [10], False),
        (page(after=4, limit=2), [5, 6], False),
        (page(after=8, limit=2), [9, 10], True),
        (page(after=0, limit=2), [3, 4], False),
        (page(after=10, limit=2), [], True),
        (page(after=2**80, limit=2), [], True),
        (page(after=3, before=7, limit=2), [4, 5], False),
        (page(after=3, before=6, limit=2), [4, 5], True),
    ],
)
async def test_a_page_is_ascending_and_says_whether_more_is_kept(
    make_log: MakeLog, drive: Drive, asked: LogJob, expected: list[int], complete: bool
) -> None:
    log = drive(make_log(history=8))
    await log.do(*(append(str(number)) for number in range(10)))
    paged = await log.ask(asked, Paged)
    assert (seqs(paged), paged.complete) == (expected, complete)


async def test_a_redacted_message_keeps_its_place_and_loses_its_text(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    await log.do(append("secret", cid="c-1"), append("fine"))
    tombstone = (await log.ask(redact(1), Redacted)).message
    assert tombstone is not None
    assert (tombstone.seq, tombstone.text, tombstone.deleted, tombstone.cid) == (1, "", True, "c-1")
    loaded = await log.ask(load(), Loaded)
    assert loaded.messages[0] == tombstone
    assert texts(loaded) == ["", "fine"]
    assert (await log.ask(redact(1), Redacted)).message == tombstone
    assert (await log.ask(redact(3), Redacted)).message is None
    assert (await log.ask(redact(0), Redacted)).message is None
    assert (await log.ask(redact(2**80), Redacted)).message is None


async def test_a_message_that_is_not_kept_cannot_be_redacted(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log(history=1))
    await log.do(append("gone"), append("kept"))
    assert (await log.ask(redact(1), Redacted)).message is None


async def test_a_decision_is_saved(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    assert await log.ask(save(BAN), Saved) == Saved(save(BAN))


async def test_jobs_beyond_the_bound_fail_in_their_turn_and_nothing_of_them_is_done(
    make_log: MakeLog, drive: Drive
) -> None:
    log = drive(make_log(queue_jobs=3))
    jobs = [append(str(number), cid=f"c-{number}") for number in range(5)]
    fullness = []
    for some in (jobs[:2], jobs[2:]):
        log.log.submit(some)
        fullness.append(log.log.full)
    assert fullness == [False, True]
    results = await log.until(5)
    assert [result.job for result in results] == jobs
    assert [result.reason for result in results if isinstance(result, Failed)] == [OVERLOADED] * 2
    assert not log.log.full
    assert (await log.ask(load(), Loaded)).seq == 3
    assert (log.log.statistics.refused, log.log.statistics.failed) == (2, 2)


async def test_the_statistics_count_what_happened(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    await log.do(append(cid="c"), append(), append(cid="c"))
    statistics = log.log.statistics
    assert (statistics.stored, statistics.duplicates, statistics.failed, statistics.queued_jobs) == (2, 1, 0, 0)
    assert statistics.commit_seconds.count == statistics.batch_jobs.count >= 1
    assert statistics.batch_jobs.total == 3


async def test_closing_finishes_everything_that_was_submitted(make_log: MakeLog) -> None:
    log = Driven(make_log())
    for number in range(100):
        log.log.submit([append(str(number))])
    await log.log.close()
    assert len(log.results) == 100
    await log.log.close()


async def test_a_log_takes_jobs_only_between_start_and_close(make_log: MakeLog) -> None:
    log = make_log()
    with pytest.raises(LogClosedError):
        log.submit([append()])
    driven = Driven(log)
    await log.close()
    with pytest.raises(LogClosedError):
        driven.log.submit([append()])


async def test_jobs_can_be_submitted_while_results_are_delivered_but_not_while_closing(make_log: MakeLog) -> None:
    log, delivered, refused = make_log(), asyncio.Event(), asyncio.Event()

    def deliver(_: Sequence[LogResult]) -> None:
        delivered.set()
        try:
            log.submit([append()])
        except LogClosedError:
            refused.set()

    log.start(deliver)
    log.submit([append()])
    async with asyncio.timeout(30):
        await delivered.wait()
        await log.close()
    assert refused.is_set()
    assert log.statistics.queued_jobs == 0


async def test_a_log_that_was_never_started_can_be_closed(make_log: MakeLog) -> None:
    await make_log().close()


async def test_cancelling_the_wait_for_closing_does_not_stop_it(make_log: MakeLog) -> None:
    log = Driven(make_log())
    log.log.submit([append()] * 50)
    closing = asyncio.ensure_future(log.log.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await log.log.close()
    assert len(log.results) == 50


async def test_an_empty_submission_is_nothing(make_log: MakeLog, drive: Drive) -> None:
    log = drive(make_log())
    log.log.submit([])
    assert isinstance((await log.do(append()))[0], Stored)
    assert [len(batch) for batch in log.batches] == [1]


async def test_epoch_and_secret_are_made_for_each_store(make_log: MakeLog) -> None:
    log = make_log()
    await log.close()
    assert len(log.secret) == 32
    assert log.epoch
    assert list(log.sanctions()) == []
