"""How many messages the SQLite log stores durably, beside a bare group commit of the same rows, on one core.

    python benchmarks/log.py [--rounds 3] [--messages 60000] [--senders 200] [--rooms 50] [--in-flight 2]
                             [--work-us 0,30]
    python benchmarks/log.py --rate 50 --messages 500      what a message waits that has a commit of its own

`bare` writes a row for each message to the table of messages and one to a table of sends in the order they came, and
commits, in batches of the size that the log came to, and does nothing else: it looks for no repetition, keeps no index
of sends, removes nothing, answers nobody. It is the plain way; the log appends a batch to a journal as one row.
`log` is SqliteLog on a running loop: each sender has so many messages in flight and sends the next one when one is
acknowledged. `--work-us` lets the loop work so long per message, as the server does that shares its core.

With `--rate`, so many messages come in a second, one at a time: `log` is the same, and `floor` writes one block of a
file and syncs it, which is what no commit can beat on this disk and in this company.

Every round is a process of its own, pinned to one core; the rounds of the variants alternate. Raw results go to
benchmarks/results/.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import msgspec

from palaver.chat.effects import Append, LogResult, Stored
from palaver.chat.records import User
from palaver.server.log import Retention, SqliteLog
from palaver.server.log.opening import open_store

INSERT_MESSAGE = "INSERT INTO messages (room, seq, time, mid, user, name, text, cid) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_SEND = "INSERT INTO arrived (room, user, cid, seq, mid, time) VALUES (?, ?, ?, ?, ?, ?)"
RESULTS = Path(__file__).parent / "results"
TEXT = "A message of usual length, as people write them to each other in a room."
START_MS = 1_790_000_000_000
BLOCK = 4096


class Round(msgspec.Struct, kw_only=True):
    """What to measure, once."""

    variant: str
    messages: int
    senders: int
    rooms: int
    in_flight: int
    work_us: float
    batch: int
    directory: str
    rate: float = 0.0


class Figures(msgspec.Struct, kw_only=True):
    """What one round showed."""

    variant: str
    work_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    mean_batch: float
    cpu_us_per_message: float


def messages(setup: Round) -> Callable[[int], Append]:
    """The n-th message: senders take turns, each stays in its room."""
    users = [User(f"u-{number:016x}", f"name {number}") for number in range(setup.senders)]
    rooms = [f"room-{number}" for number in range(setup.rooms)]

    def message(number: int) -> Append:
        sender = number % setup.senders
        user, room = users[sender], rooms[sender % setup.rooms]
        return Append(sender, "1", room, user, TEXT, f"c-{number}", f"m-{number:016x}", START_MS + number)

    return message


def summed(setup: Round, seconds: float, cpu: float, batches: int, latencies: list[float]) -> Figures:
    """Figures from raw times."""
    latencies.sort()
    return Figures(
        variant=setup.variant,
        work_us=setup.work_us,
        per_second=setup.messages / seconds,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        mean_batch=setup.messages / batches,
        cpu_us_per_message=cpu / setup.messages * 1e6,
    )


def bare(setup: Round) -> Figures:
    """The same rows and commits; no log around them."""
    store = open_store(Path(setup.directory))
    connection, message, seqs = store.connection, messages(setup), [0] * setup.rooms
    connection.execute("PRAGMA wal_autocheckpoint = 1000")  # SQLite's own; the log's writer does it between commits
    connection.execute("CREATE TABLE arrived (room, user, cid, seq, mid, time)")
    rows = []
    for number in range(setup.messages):
        job, room = message(number), number % setup.senders % setup.rooms
        seqs[room] += 1
        rows.append((job, room, seqs[room]))
    began, cpu, latencies = perf_counter(), process_time(), []
    for start in range(0, setup.messages, setup.batch):
        batch, batch_began = rows[start : start + setup.batch], perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT_SEND, [(r, j.user.id, j.cid, s, j.mid, j.time) for j, r, s in batch])
        connection.executemany(
            INSERT_MESSAGE, [(r, s, j.time, j.mid, j.user.id, j.user.name, j.text, j.cid) for j, r, s in batch]
        )
        connection.execute("COMMIT")
        latencies += [perf_counter() - batch_began] * len(batch)
    seconds, cpu = perf_counter() - began, process_time() - cpu
    store.close()
    return summed(setup, seconds, cpu, -(-setup.messages // setup.batch), latencies)


async def log(setup: Round) -> Figures:
    """SqliteLog under senders that wait for their acknowledgements."""
    store = SqliteLog(Path(setup.directory), Retention(100), now_ms=lambda: START_MS)
    message = messages(setup)
    latencies: list[float] = []
    inbox: list[LogResult] = []
    arrived = asyncio.Event()
    sent_at: dict[int, float] = {}

    def deliver(results: Sequence[LogResult]) -> None:
        inbox.extend(results)
        arrived.set()

    def work() -> None:
        until = perf_counter() + setup.work_us * 1e-6
        while perf_counter() < until:
            pass

    store.start(deliver)
    began, cpu = perf_counter(), process_time()
    sent = setup.senders * setup.in_flight
    for number in range(sent):
        sent_at[number] = perf_counter()
        store.submit([message(number)])
    while len(latencies) < setup.messages:
        await arrived.wait()
        arrived.clear()
        results = inbox[:]
        inbox.clear()
        for place, result in enumerate(results):
            assert isinstance(result, Stored), result
            assert not result.duplicate
            work()
            latencies.append(perf_counter() - sent_at.pop(result.job.time - START_MS))
            if sent < setup.messages:
                sent_at[sent] = perf_counter()
                store.submit([message(sent)])
                sent += 1
            if place % 20 == 19:  # a turn of the loop, as when the frames of some connections were read
                await asyncio.sleep(0)
    seconds, cpu = perf_counter() - began, process_time() - cpu
    await store.close()
    return summed(setup, seconds, cpu, store.statistics.batch_jobs.count, latencies)


def floor(setup: Round) -> Figures:
    """One block written and synced for each message, on schedule."""
    file = os.open(Path(setup.directory) / "blocks", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(BLOCK * 1_000), 0)
    os.fsync(file)
    began, cpu, latencies = perf_counter(), process_time(), []
    for number in range(setup.messages):
        sleep(max(0.0, began + number / setup.rate - perf_counter()))
        one = perf_counter()
        os.pwrite(file, number.to_bytes(8, "big") * (BLOCK // 8), number % 1_000 * BLOCK)
        os.fdatasync(file)
        latencies.append(perf_counter() - one)
    return summed(setup, perf_counter() - began, process_time() - cpu, setup.messages, latencies)


async def paced(setup: Round) -> Figures:
    """SqliteLog with one message at a time, on schedule."""
    store = SqliteLog(Path(setup.directory), Retention(100), now_ms=lambda: START_MS)
    message, latencies, arrived = messages(setup), list[float](), asyncio.Event()
    store.start(lambda _: arrived.set())
    began, cpu = perf_counter(), process_time()
    for number in range(setup.messages):
        await asyncio.sleep(max(0.0, began + number / setup.rate - perf_counter()))
        one = perf_counter()
        store.submit([message(number)])
        await arrived.wait()
        arrived.clear()
        latencies.append(perf_counter() - one)
    seconds, cpu = perf_counter() - began, process_time() - cpu
    await store.close()
    return summed(setup, seconds, cpu, store.statistics.batch_jobs.count, latencies)


def measured(setup: Round) -> Figures:
    """One round, in this process."""
    if setup.variant == "log":
        return asyncio.run(paced(setup) if setup.rate else log(setup))
    return floor(setup) if setup.variant == "floor" else bare(setup)


def run(setup: Round) -> Figures:
    """One round in a process of its own."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-log-") as directory:
        setup.directory = directory
        command = [sys.executable, __file__, "--round", msgspec.json.encode(setup).decode()]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return msgspec.json.decode(output, type=Figures)


def medians(rounds: list[Figures]) -> dict[str, float]:
    """The median of each figure, and the spread of the rate."""
    numbers = {name: [getattr(each, name) for each in rounds] for name in Figures.__struct_fields__[2:]}
    return {name: statistics.median(values) for name, values in numbers.items()} | {
        "per_second_min": min(numbers["per_second"]),
        "per_second_max": max(numbers["per_second"]),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 3), ("messages", 60_000), ("senders", 200), ("rooms", 50), ("in-flight", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--work-us", default="0,30", help="comma-separated microseconds")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second, one at a time")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--round", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Alternate the variants, print medians, keep everything."""
    chosen = arguments()
    os.sched_setaffinity(0, {chosen.core})
    if chosen.round:
        setup = msgspec.json.decode(chosen.round, type=Round)
        sys.stdout.write(msgspec.json.encode(measured(setup)).decode())
        return
    works = [0.0] if chosen.rate else [float(work) for work in chosen.work_us.split(",")]
    rounds: dict[str, list[Figures]] = {}
    for _ in range(chosen.rounds):
        batch = 200
        for variant, work_us in [*(("log", work) for work in works), ("floor" if chosen.rate else "bare", 0.0)]:
            setup = Round(
                variant=variant,
                messages=chosen.messages,
                senders=chosen.senders,
                rooms=chosen.rooms,
                in_flight=chosen.in_flight,
                work_us=work_us,
                batch=batch,
                directory="",
                rate=chosen.rate,
            )
            figures = run(setup)
            if (variant, work_us) == ("log", works[0]):
                batch = round(figures.mean_batch)  # what the bare commits are compared at
            rounds.setdefault(f"{variant} +{work_us:g} us", []).append(figures)
    report(chosen, rounds)


def report(chosen: argparse.Namespace, rounds: dict[str, list[Figures]]) -> None:
    """Print and keep."""
    print(f"{'':14}{'messages/s':>12}{'(min..max)':>18}{'p50 ms':>8}{'p99 ms':>8}{'batch':>7}{'CPU us':>8}")
    for name, each in rounds.items():
        m = medians(each)
        spread = f"({m['per_second_min']:.0f}..{m['per_second_max']:.0f})"
        print(
            f"{name:14}{m['per_second']:12.0f}{spread:>18}{m['p50_ms']:8.2f}{m['p99_ms']:8.2f}"
            f"{m['mean_batch']:7.0f}{m['cpu_us_per_message']:8.1f}"
        )
    now = datetime.now(UTC)  # noqa: TID251 - names the file of results
    RESULTS.mkdir(exist_ok=True)
    kept: dict[str, Any] = {
        "date": now.isoformat(timespec="seconds"),
        "arguments": {key: value for key, value in vars(chosen).items() if key != "round"},
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "rounds": {name: [msgspec.to_builtins(each) for each in figures] for name, figures in rounds.items()},
        "medians": {name: medians(figures) for name, figures in rounds.items()},
    }
    path = RESULTS / f"log-{now:%Y%m%dT%H%M%S}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"raw results: {path}")


if __name__ == "__main__":
    main()
