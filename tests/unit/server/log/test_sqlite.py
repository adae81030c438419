"""The log on disk: what a restart keeps, and how batches are made of what is queued."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from palaver.chat.effects import Failed, Found, Loaded, LogResult, Stored
from palaver.chat.records import Sanction
from palaver.server.log import OVERLOADED, Log, SqliteLog
from palaver.server.log.opening import DATABASE
from tests.unit.server.log.driving import START_MS, Driven, MakeLog, append, fates, fold_early, load, redact, save

Drive = Callable[[Log], Driven]
MUTE = Sanction("mute", "lobby", "u-bob", True, START_MS + 60_000, 0.0, "u-ada", "noise", 5)


async def restarted(log: Driven, make: MakeLog) -> Driven:
    await log.log.close()
    return Driven(make())


async def test_a_restart_keeps_messages_numbers_sends_and_identity(make_sqlite: MakeLog) -> None:
    log = Driven(make_sqlite())
    await log.do(append("one", cid="c-1"), append("two"), append("three"), redact(2))
    before = await log.ask(load(), Loaded)
    identity = (log.log.epoch, log.log.secret)
    log = await restarted(log, make_sqlite)
    assert (log.log.epoch, log.log.secret) == identity
    assert await log.ask(load(), Loaded) == before
    assert (await log.ask(fates("c-1"), Found)).seqs == {"c-1": 1}
    assert (await log.ask(append(cid="c-1"), Stored)).duplicate
    assert (await log.ask(append(), Stored)).seq == 4
    await log.log.close()


@pytest.mark.parametrize(
    ("later", "kept"),
    [
        (msgspec.structs.replace(MUTE, active=False, at=6), "later"),
        (msgspec.structs.replace(MUTE, active=False, at=5), "later"),
        (msgspec.structs.replace(MUTE, active=False, at=4), "first"),
    ],
)
async def test_of_decisions_about_the_same_the_newest_survives_a_restart(
    make_sqlite: MakeLog, later: Sanction, kept: str
) -> None:
    slow = Sanction("slow", "lobby", "", True, None, 2.5, "u-ada", "", 1)
    log = Driven(make_sqlite())
    await log.do(save(MUTE), save(slow), save(later))
    log = await restarted(log, make_sqlite)
    assert list(log.log.sanctions()) == [slow, later if kept == "later" else MUTE]
    await log.log.close()


async def test_what_is_queued_together_is_one_commit_and_one_delivery(make_sqlite: MakeLog, drive: Drive) -> None:
    log = drive(make_sqlite())
    for number in range(500):
        log.log.submit([append(str(number))])
    await log.until(500)
    assert len(log.batches) <= 20
    assert log.log.statistics.batch_jobs.count == len(log.batches)


async def test_a_transaction_is_bounded(tmp_path: Path, make_sqlite: MakeLog, drive: Drive) -> None:
    log = make_sqlite()
    assert isinstance(log, SqliteLog)
    log._batch_jobs = 10
    driven = drive(log)
    for number in range(200):
        log.submit([append(str(number)), append(str(number))])
    await driven.until(400)
    assert max(len(batch) for batch in driven.batches) <= 11


@pytest.mark.parametrize(("full", "attempts"), [(1_000, 1), (10, 2)])
async def test_many_repetitions_of_new_sends_cost_nothing_more_and_of_old_ones_one_more_attempt(
    make_sqlite: MakeLog, drive: Drive, monkeypatch: pytest.MonkeyPatch, full: int, attempts: int
) -> None:
    fold_early(monkeypatch, full=full, stored=1, step=25)
    log = make_sqlite()
    assert isinstance(log, SqliteLog)
    driven = drive(log)
    for some in (range(50), ()):
        await driven.do(*(append(cid=f"c-{number}") for number in some), load())
    statements: list[str] = []
    log._store.connection.set_trace_callback(statements.append)
    results = await driven.do(*(append(cid=f"c-{number % 60}") for number in range(120)))
    assert sum(result.duplicate for result in results if isinstance(result, Stored)) == 110
    counts = [statements.count(word) for word in ("PRAGMA synchronous = FULL", "ROLLBACK")]
    assert counts == [attempts, attempts - 1]


async def test_reading_alone_takes_no_lock_for_writing(make_sqlite: MakeLog, drive: Drive, tmp_path: Path) -> None:
    log = drive(make_sqlite())
    await log.do(append())
    other = sqlite3.connect(tmp_path / "store" / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (await log.ask(load(), Loaded)).seq == 1
    other.close()


async def test_refused_jobs_wait_for_the_accepted_ones_and_the_queue_opens_again(
    make_sqlite: MakeLog, drive: Drive
) -> None:
    log = drive(make_sqlite(queue_jobs=5))
    results: list[LogResult] = []
    for turn in range(10):
        results = await log.do(*(append(f"{turn} {number}") for number in range(8)))
        assert [type(result) for result in results] == [Stored] * 5 + [Failed] * 3
        assert {result.reason for result in results if isinstance(result, Failed)} == {OVERLOADED}
    assert (await log.ask(load(), Loaded)).seq == 50


async def test_a_delivery_that_raises_does_not_stop_the_log(make_sqlite: MakeLog) -> None:
    log = make_sqlite()
    complained, delivered = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: complained.set())

    def deliver(_: object) -> None:
        if not complained.is_set():
            raise RuntimeError("the shell has a fault")
        delivered.set()

    log.start(deliver)
    async with asyncio.timeout(30):
        for seen in (complained, delivered):
            log.submit([append()])
            await seen.wait()
    await log.close()
    assert log.statistics.queued_jobs == 0


async def test_a_loop_that_ends_without_closing_leaves_everything_committed(make_sqlite: MakeLog) -> None:
    log = make_sqlite()
    assert isinstance(log, SqliteLog)

    async def careless() -> None:
        log.start(lambda _: None)
        log.submit([append()] * 100)

    await asyncio.to_thread(lambda: asyncio.run(careless()))
    log._queue.put(None)
    assert log._thread is not None
    await asyncio.to_thread(log._thread.join)
    again = Driven(make_sqlite())
    assert (await again.ask(load(), Loaded)).seq == 100
    await again.log.close()
