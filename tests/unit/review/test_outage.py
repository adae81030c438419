"""A provider that is away for a minute, in virtual time: real runner, clients, breakers; only the wire is made up."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError
from palaver.review import events
from palaver.review.claims import Claim
from palaver.review.ledger import Ledger
from palaver.review.matrix import Matrix
from palaver.review.providers import Client, Provider
from palaver.review.records import Record
from palaver.review.runner import Pace, Runner
from palaver.review.seats import Seat
from palaver.review.stub import brain, script
from tests.unit.review import made, virtual

KEYS = ("ada", "bob", "cyd", "dee", "eve", "fay")
AWAY = ("ada", "bob")
REPLY_SECONDS = 1.5
PLAYED = script.parse("".join(f'[[model]]\nid = "{key}"\n' for key in KEYS))


@dataclass
class InMemory:
    """A ledger that is nowhere but here."""

    ledger: Ledger

    @property
    def replica(self) -> str:
        return self.ledger.replica

    def matrix(self) -> Matrix:
        return self.ledger.matrix()

    async def append(self, record: Record, claim: Claim | None = None) -> None:
        assert claim is None or await claim.held()
        self.ledger.add(record)

    async def sync(self) -> None:
        """Nothing to wait for."""

    async def refresh(self) -> bool:
        return False


@dataclass
class Wire:
    """One provider's end of the wire: when it was called, and from when to when it is away."""

    away_from: float = 0.0
    away_until: float = 0.0
    called: list[float] = field(default_factory=list)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        self.called.append(now)
        if self.away_from <= now < self.away_until:
            raise httpx.ConnectError("[Errno -2] Name or service not known")
        await asyncio.sleep(REPLY_SECONDS)
        asked = httpx.Response(200, content=await request.aread()).json()
        said = brain.speak(PLAYED, PLAYED.find(asked["model"]), asked["messages"], asked["max_tokens"], brain.Marks({}))
        choice = {"message": {"content": said.text}, "finish_reason": said.finish}
        usage = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
        return httpx.Response(200, json={"model": asked["model"], "choices": [choice], "usage": usage})

    def during(self) -> list[float]:
        return [at for at in self.called if self.away_from <= at < self.away_until]


@dataclass
class Course:
    """What happened, with the virtual seconds at which it did."""

    matrix: Matrix
    gone: Wire
    here: Wire
    told: list[tuple[float, events.Event]]
    states: list[tuple[float, str]]
    ended: float


async def _course(away_from: float, away_until: float) -> Course:
    gone, here = Wire(away_from, away_until), Wire()
    loop = asyncio.get_running_loop()
    told: list[tuple[float, events.Event]] = []
    states: list[tuple[float, str]] = []
    breakers = {name: CircuitBreaker(name, clock=loop.time, open_for=5.0) for name in ("gone", "here")}
    breakers["gone"].listen(lambda change: states.append((loop.time(), change.after.value)))
    ledger = Ledger("here", lambda: 1_000)
    ledger.add(made.evaluation(KEYS))
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(gone.answer), base_url="http://gone.invalid/v1/") as one,
        httpx.AsyncClient(transport=httpx.MockTransport(here.answer), base_url="http://here.invalid/v1/") as other,
    ):
        clients = {
            name: Client(
                Provider(name=name, base_url="http://x.invalid", stream=False), http, breakers[name], CircuitOpenError
            )
            for name, http in (("gone", one), ("here", other))
        }
        seats = {
            key: Seat("gone" if key in AWAY else "here", clients["gone" if key in AWAY else "here"], key)
            for key in KEYS
        }
        runner = Runner(
            InMemory(ledger), seats, lambda: 1_000, lambda event: told.append((loop.time(), event)), pace=Pace()
        )
        matrix = await runner.run()
    return Course(matrix, gone, here, told, states, loop.time())


@pytest.fixture(scope="module")
def minute() -> Course:
    """Away for sixty seconds from the start."""
    return virtual.run(_course(0.0, 60.0))


def test_the_evaluation_completes_with_every_cell(minute: Course) -> None:
    assert minute.matrix.state == "final"
    assert len(minute.matrix.scored) == 30
    assert 60 < minute.ended < 90


def test_the_breaker_opens_and_closes_again(minute: Course) -> None:
    states = [state for _, state in minute.states]

    assert states[0] == "open"
    assert states[-1] == "closed"
    assert all(at < 60 or state != "open" for at, state in minute.states)


def test_only_probes_reach_the_provider_while_its_breaker_is_open(minute: Course) -> None:
    opened = minute.states[0][0]
    probes = [at for at, state in minute.states if state == "half_open"]

    after_opening = [at for at in minute.gone.during() if at > opened]
    assert len(after_opening) <= len([at for at in probes if at < 60])
    assert len(minute.gone.during()) <= 20


def test_the_others_go_on_meanwhile(minute: Course) -> None:
    judged = [at for at, event in minute.told if isinstance(event, events.Judged) and event.cell.judge not in AWAY]
    among_themselves = [at for at in judged if at < 30]

    assert len(among_themselves) == 12
    assert len(minute.here.called) == 4 + 20


def test_the_wait_is_told_and_no_cell_is_given_up(minute: Course) -> None:
    assert {e.provider for _, e in minute.told if isinstance(e, events.Waiting)} == {"gone"}
    assert [cell.reason for cell in minute.matrix.cells.values() if cell.status == "failed"] == []


def test_an_outage_in_the_middle_of_judging_costs_no_mark() -> None:
    course = virtual.run(_course(2.0, 62.0))

    assert course.matrix.state == "final"
    assert len(course.matrix.scored) == 30
    assert len(course.gone.called) - len(course.gone.during()) == 2 + 10
