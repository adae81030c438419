"""Programs that the fault tests of the log run in processes of their own.

    python -m tests.faults.log_program flood DIRECTORY FIRST HISTORY   append without end, a line per acknowledgement
    python -m tests.faults.log_program quiet DIRECTORY                 read an empty room; print epoch and secret
    python -m tests.faults.log_program full DIRECTORY                  DIRECTORY is a small disk of its own
    python -m tests.faults.log_program broken DIRECTORY                every write fails for a while
    python -m tests.faults.log_program readonly DIRECTORY              DIRECTORY cannot be written: print why

The programs check as they go and end with 0 when all was as it should be.
"""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from palaver.chat.effects import Append, Failed, Found, Loaded, LogResult, Redacted, Stored
from palaver.chat.records import User
from palaver.server.log import LogError, Retention, SqliteLog
from tests.unit.server.log.driving import ADA, START_MS, Driven, append, fates, fold_early, load, redact

ROOMS = 5
IN_FLIGHT = 300
TEXT = "x" * 500


def opened(directory: Path, history: int = 100) -> SqliteLog:
    return SqliteLog(directory, Retention(history), now_ms=lambda: START_MS)


def job(number: int) -> Append:
    """The n-th message of a flood; every eighth repeats the one before it in the same room."""
    told = number - ROOMS if number % 8 == 7 else number
    return Append(
        "c", "1", f"r{number % ROOMS}", User("u", "n"), f"text {told}", f"c-{told}", f"m-{told}", START_MS + number
    )


async def flood(directory: Path, first: int, history: int) -> None:
    fold_early(pytest.MonkeyPatch(), full=500, stored=50, step=10)  # so that a kill meets a fold
    log = opened(directory, history)
    following = first

    def deliver(results: Sequence[LogResult]) -> None:
        nonlocal following
        lines = []
        for result in results:
            assert isinstance(result, Stored), result
            lines.append(f"{result.job.room} {result.seq} {result.mid} {result.job.cid}\n")
        os.write(1, "".join(lines).encode())
        log.submit([job(following + step) for step in range(len(results))])
        following += len(results)

    log.start(deliver)
    os.write(1, f"epoch {log.epoch}\n".encode())
    log.submit([job(first + step) for step in range(IN_FLIGHT)])
    following += IN_FLIGHT
    await asyncio.Event().wait()


async def quiet(directory: Path) -> None:
    log = Driven(opened(directory))
    assert (await log.ask(load(), Loaded)).seq == 0
    os.write(1, f"{log.log.epoch} {log.log.secret.hex()}\n".encode())
    await asyncio.Event().wait()


async def fails_and_recovers(directory: Path, break_it: Callable[[], None], mend_it: Callable[[], None]) -> str:
    """Nothing that was acknowledged is lost, nothing refused is stored, reads are served, and it goes on by itself."""
    log = Driven(opened(directory, history=100_000))
    acknowledged = len(await log.do(*(append(TEXT, cid=f"before-{number}") for number in range(50))))
    break_it()
    refused: list[Failed] = []
    for number in range(2_000):
        (result,) = await log.do(append(TEXT, cid=f"during-{number}"))
        if isinstance(result, Failed):
            refused.append(result)
        else:
            acknowledged += 1
        if len(refused) == 20:
            break
    assert len(refused) == 20, "writing fails by now"
    loaded = await log.ask(load(), Loaded)
    assert [message.seq for message in loaded.messages] == list(range(1, acknowledged + 1))
    cids = [str(each.job.cid) for each in refused if isinstance(each.job, Append)]
    assert set((await log.ask(fates(*cids), Found)).seqs.values()) == {None}
    assert isinstance((await log.do(redact(1)))[0], Failed)
    mend_it()
    await until_stored(log, acknowledged + 1)
    assert isinstance(await log.ask(redact(1), Redacted), Redacted)
    await log.log.close()
    log = Driven(opened(directory, history=100_000))
    loaded = await log.ask(load(), Loaded)
    assert [message.seq for message in loaded.messages] == list(range(1, acknowledged + 2))
    assert not any(message.cid in cids for message in loaded.messages)
    await log.log.close()
    return refused[0].reason


async def until_stored(log: Driven, seq: int) -> None:
    """What was refused is sent again until it is stored: the next number, without a restart."""
    async with asyncio.timeout(30):
        while True:
            (result,) = await log.do(append(TEXT, cid="after", user=ADA))
            if isinstance(result, Stored):
                assert (result.seq, result.duplicate) == (seq, False)
                return
            await asyncio.sleep(0.05)  # the disk is back; the log looks once a second


async def full(directory: Path) -> None:
    """On a small disk: another file takes what is left of it, and is removed again."""
    ballast = directory / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass  # it is full now, as intended

    reason = await fails_and_recovers(directory / "store", fill, ballast.unlink)
    assert "SQLITE_FULL" in reason, reason


async def broken(directory: Path) -> None:
    """No file of this process may grow or be written for a while: SQLite gets an IO error for each write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reason = await fails_and_recovers(
        directory,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
    )
    assert "SQLITE_IOERR" in reason, reason


def readonly(directory: Path) -> None:
    try:
        opened(directory)
    except LogError as error:
        print(type(error).__name__, error)  # noqa: T201 - what the test reads
    else:
        raise AssertionError("a read-only directory is refused")


def main() -> None:
    name, directory, *numbers = sys.argv[1:]
    if name == "readonly":
        readonly(Path(directory))
    elif name == "flood":
        asyncio.run(flood(Path(directory), *map(int, numbers)))
    else:
        asyncio.run({"full": full, "broken": broken, "quiet": quiet}[name](Path(directory)))


if __name__ == "__main__":
    main()
