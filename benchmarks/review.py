"""How long a review takes beside what its models take, and how fast its figures are. Each against its bar.

    python benchmarks/review.py [--rounds 5] [--evaluations 300]

`run` puts one question to ten models of the stub, which wait 50 ms before each reply, with 20 calls in flight; the stub
is a process of its own, the records are synced to disk. The ideal is what the waits alone take: one round of answers,
then judgments 20 at a time. `run with controls` has 30 hidden items more.
`bootstrap` resamples the judges of the published 10 x 10 evaluation 10,000 times.
`shelf` reads 300 evaluations of 10 x 10 from disk as they are after a run (130 calls each), lists them, pools them into
boards and draws the boards as one page.

There is no peer to run beside: none of the systems compared shares a matrix or reports these figures. Raw results go to
benchmarks/results/review.json.
"""

import argparse
import asyncio
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

import msgspec

from palaver.breaker import CircuitBreaker, CircuitOpenError
from palaver.review import pooled, rubric, shelf
from palaver.review.folder import create
from palaver.review.providers import Provider, connect
from palaver.review.published import decode
from palaver.review.ranking import Mark
from palaver.review.records import (
    CONTROLS,
    ControlKind,
    Evaluation,
    Grade,
    Member,
    Part,
    Question,
    Spent,
    digest,
)
from palaver.review.reports import board
from palaver.review.runner import Pace, Runner
from palaver.review.seats import Seat
from palaver.review.statistics.bootstrap import bootstrap
from palaver.review.statistics.severity import fit
from palaver.review.statistics.table import comparable, tabulate

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "review.json"
SEED = ROOT / "examples" / "review" / "EVAL-20260402-133034.json"
KEYS = tuple(f"model-{number}" for number in range(10))
LATENCY_SECONDS, IN_FLIGHT = 0.05, 20


class Measurement(msgspec.Struct, kw_only=True):
    """One figure: every round, their median, and the bar that it has to stay under."""

    name: str
    unit: str
    bar: float
    rounds: list[float]
    median: float
    within: bool
    cpu_seconds: list[float]


def measure(name: str, unit: str, bar: float, rounds: int, one: Callable[[], tuple[float, float]]) -> Measurement:
    """Run once to warm up, then `rounds` times."""
    one()
    taken = [one() for _ in range(rounds)]
    values = [value for value, _ in taken]
    median = statistics.median(values)
    return Measurement(
        name=name, unit=unit, bar=bar, rounds=values, median=median, within=median <= bar,
        cpu_seconds=[cpu for _, cpu in taken],
    )  # fmt: skip


def evaluation(number: int, controls: tuple[ControlKind, ...]) -> Evaluation:
    """Ten models of the stub on one question."""
    return Evaluation(
        id=f"EVAL-20260101-{number:06d}",
        question=Question(id=f"Q-{number}", text="What is a lease, and what is it not?", category=f"c{number % 4}"),
        panel=tuple(Member(key=key, name=key, provider="stub", vendor="none", model=key) for key in KEYS),
        rubric=rubric.STANDARD, seed=f"seed {number}", created="2026-01-01T00:00:00.000Z", version="benchmark",
        controls=controls,
    )  # fmt: skip


# --- a run -----------------------------------------------------------------------------------------------------------


@contextmanager
def stub() -> Iterator[str]:
    """The stub in a process of its own; gives its address."""
    command = [sys.executable, "-m", "palaver", "models", "stub", "--port", "0", "--latency", str(LATENCY_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split("listening on ")[1].split(" ")[0]
        finally:
            process.terminate()


async def run(url: str, controls: tuple[ControlKind, ...]) -> tuple[float, float]:
    """One evaluation; returns the ratio to the ideal, and the client's CPU seconds."""
    provider = Provider(name="stub", base_url=url, in_flight=IN_FLIGHT)
    with tempfile.TemporaryDirectory() as root:
        folder = create(Path(root), evaluation(0, controls), "here", lambda: 1_000)
        async with connect(provider, CircuitBreaker("stub"), CircuitOpenError) as client:
            seats = {key: Seat("stub", client, key, in_flight=IN_FLIGHT) for key in KEYS}
            runner = Runner(folder, seats, lambda: 1_000, claims=folder.claims, pace=Pace(in_flight=IN_FLIGHT))
            started, cpu = perf_counter(), process_time()
            matrix = await runner.run()
            taken, cpu = perf_counter() - started, process_time() - cpu
        folder.close()
    assert (matrix.state, len(matrix.scored)) == ("final", 90), matrix.state
    judgments = matrix.calls - len(KEYS)
    ideal = LATENCY_SECONDS * (math.ceil(len(KEYS) / IN_FLIGHT) + math.ceil(judgments / IN_FLIGHT))
    return taken / ideal, cpu


# --- figures ---------------------------------------------------------------------------------------------------------


def resample() -> tuple[float, float]:
    """10,000 resamples of the published evaluation."""
    judgments = decode(SEED.read_bytes()).judgments
    table = comparable(
        tabulate([Mark(each.judge_key, each.respondent_key, each.weighted_score) for each in judgments])
    ).table
    assert table is not None
    fitted = fit(table)
    started, cpu = perf_counter(), process_time()
    assert bootstrap(fitted, seed=1, resamples=10_000).used == 10_000
    return perf_counter() - started, process_time() - cpu


def fill(root: Path, number: int) -> None:
    """One finished evaluation on disk: 10 answers of about 4 KB, 90 judgments, 30 controls, with their raw replies."""
    drawn_up = evaluation(number, CONTROLS)
    folder = create(root, drawn_up, "here", lambda: 1_000)
    texts = {key: f"{key} on {number}\n" + "A line of an answer, as long as lines are.\n" * 100 for key in KEYS}

    def add(record: Part | Grade) -> None:
        folder.write(folder.ledger.add(record))

    def judged(judge: str, subject: str, text: str) -> Grade:
        drawn = int.from_bytes(digest(f"{number} {judge} {subject}").encode()[:6], "big")
        scores = tuple(
            4 + (drawn >> shift) % 5 + (KEYS.index(subject) if subject in KEYS else 0) % 2 for shift in range(5)
        )
        return Grade(
            judge=judge, subject=subject, answer=digest(text), prompt="p", label="L", outcome="scored", scores=scores,
            ends_properly=True, justification="Two sentences. " * 20, raw="{} " * 200,
            spent=Spent(prompt_tokens=1_500, completion_tokens=150, nanodollars=900), replica="here", stamp=1,
        )  # fmt: skip

    for key, text in texts.items():
        add(
            Part(
                member=key,
                index=0,
                text=text,
                finish="stop",
                spent=Spent(completion_tokens=1_000),
                replica="here",
                stamp=1,
            )
        )
    for judge in KEYS:
        for key in KEYS:
            if judge != key:
                add(judged(judge, key, texts[key]))
    for (judge, subject), (control, _) in folder.matrix().controls.items():
        add(judged(judge, subject, control.text))
    assert folder.matrix().state == "final"
    folder.close()


def read_shelf(root: Path, count: int) -> tuple[float, float]:
    """List, pool and draw."""
    started, cpu = perf_counter(), process_time()
    entries = shelf.read_all([root])
    listed = [(entry.id, entry.published.winner, entry.matrix.state if entry.matrix else "") for entry in entries]
    page = board.render(pooled.boards_of(entries), pooled.names_of(entries))
    taken = perf_counter() - started
    assert (len(listed), page.count("<svg")) == (count, 50)
    return taken, process_time() - cpu


def main() -> None:
    """Measure everything, print it, keep it."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--evaluations", type=int, default=300)
    given = options.parse_args()
    found = []
    with stub() as url:
        for name, controls in (("run", ()), ("run with controls", CONTROLS)):
            taken: Callable[[], tuple[float, float]] = lambda controls=controls: asyncio.run(run(url, controls))  # type: ignore[misc]  # noqa: E731 - binds the loop's variable
            found.append(measure(name, "times the ideal", 1.5, given.rounds, taken))
    found.append(measure("bootstrap of 10,000", "seconds", 2.0, given.rounds, resample))
    with tempfile.TemporaryDirectory() as root:
        for number in range(given.evaluations):
            fill(Path(root), number)
        found.append(measure("shelf", "seconds", 3.0, given.rounds, lambda: read_shelf(Path(root), given.evaluations)))
    for each in found:
        verdict = "within" if each.within else "OVER"
        spread = f"{min(each.rounds):.3f} to {max(each.rounds):.3f}"
        print(f"{each.name:20} {each.median:7.3f} {each.unit}  ({spread}; {verdict} the bar of {each.bar:g})")
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    RESULTS.write_text(json.dumps({"machine": machine, "measurements": msgspec.to_builtins(found)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
