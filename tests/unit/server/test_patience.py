"""A log whose answers fail to come: reads are given up, new jobs are refused, and each is answered once."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.effects import Append, Failed, Load, LogJob, LogResult, Page
from palaver.chat.records import User
from palaver.server.patience import HANGS, PatientLog


def append(name: str) -> Append:
    return Append("c", name, "r", User("u", "n"), "text", None, "m", 0)


class SlowLog:
    """Answers so many of its jobs when a test says so; the answer is `Failed`, which every kind of job may have."""

    def __init__(self) -> None:
        self.jobs: list[LogJob] = []

    def start(self, on_results: object) -> None:
        self.deliver = on_results

    def submit(self, jobs: Sequence[LogJob]) -> None:
        self.jobs += jobs

    async def close(self) -> None:
        """Nothing to do."""

    def answer(self, count: int = 1_000) -> None:
        answered, self.jobs = self.jobs[:count], self.jobs[count:]
        self.deliver([Failed(job, "answered") for job in answered])  # type: ignore[operator]  # what `start` was given


class Fixture:
    """A log, its patience of 5 s, and what was told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = SlowLog()
        self.patient = PatientLog(self.log, clock=lambda: self.now, seconds=5.0)
        self.told: list[tuple[LogJob, str]] = []
        self.patient.start(self._tell)

    def _tell(self, results: Sequence[LogResult]) -> None:
        assert results
        for result in results:
            assert isinstance(result, Failed)
            self.told.append((result.job, result.reason))


async def test_what_is_answered_in_time_is_handed_on() -> None:
    at = Fixture()
    jobs: list[LogJob] = [Load("r"), append("1")]
    at.patient.submit(jobs)
    at.patient.check(5.0)
    at.log.answer()
    at.patient.check(100.0)
    assert at.told == [(job, "answered") for job in jobs]


async def test_reads_that_are_overdue_are_given_up_and_writes_are_waited_for() -> None:
    at = Fixture()
    first, write, second = Load("r"), append("1"), Load("s")
    at.patient.submit([first, write])
    at.now = 4.0
    at.patient.submit([second])
    at.patient.check(5.1)
    assert at.told == [(first, HANGS), (second, HANGS)], "the second waits for the first"
    at.patient.check(6.1)
    at.log.answer()
    assert at.told[2:] == [(write, "answered")], "each is answered once"


async def test_what_was_answered_already_is_not_given_up() -> None:
    at = Fixture()
    jobs = [Load("a"), Load("b"), Load("c")]
    at.patient.submit(jobs)
    at.log.answer(2)
    at.patient.check(5.1)
    at.log.answer()
    assert at.told == [(jobs[0], "answered"), (jobs[1], "answered"), (jobs[2], HANGS)]


async def test_while_it_hangs_nothing_is_tried_and_afterwards_everything_is() -> None:
    at = Fixture()
    stuck, late = append("stuck"), append("3")
    refused: list[LogJob] = [append("2"), Load("r")]
    at.patient.submit([stuck])
    at.patient.check(5.1)
    at.patient.submit(refused)
    assert at.told == [], "never before the caller is done"
    await asyncio.sleep(0)
    assert at.told == [(job, HANGS) for job in refused]
    at.log.answer()
    at.patient.submit([late])
    at.log.answer()
    assert at.told[2:] == [(stuck, "answered"), (late, "answered")]


@given(st.lists(st.sampled_from(["read", "write", "both", "answer", "answer all", "check", "wait"]), max_size=40))
def test_each_job_is_answered_exactly_once_and_nothing_is_kept(steps: list[str]) -> None:
    async def run() -> None:
        at, asked = Fixture(), list[LogJob]()
        for number, step in enumerate(steps):
            read, write = Page("c", str(number), "r", None, None, 1), append(str(number))
            kinds: dict[str, list[LogJob]] = {"read": [read], "write": [write], "both": [read, write, append("x")]}
            jobs = kinds.get(step, [])
            if jobs:
                asked += jobs
                at.patient.submit(jobs)
            elif step == "check":
                at.patient.check(at.now)
            elif step == "wait":
                at.now += 3.0
            elif at.log.jobs:
                at.log.answer(1 if step == "answer" else 1_000)
            await asyncio.sleep(0)
        at.log.answer()
        assert sorted(id(job) for job, _ in at.told) == sorted(map(id, asked))
        assert (len(at.patient._asked), at.patient._answered, at.patient._given_up) == (0, 0, set())

    asyncio.run(run())
