"""The runner against a stub in a process of its own: real sockets, real files, real breakers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from palaver.breaker import CircuitBreaker, CircuitOpenError
from palaver.review import check, events
from palaver.review.claims import Claims, FileClaims, LocalClaim, LocalClaims
from palaver.review.folder import Folder, create
from palaver.review.matrix import Matrix
from palaver.review.providers import Client, Provider, connect
from palaver.review.published import decode, encode
from palaver.review.records import CONTROLS, Evaluation, Limits
from palaver.review.results import publish
from palaver.review.runner import Pace, Runner
from palaver.review.seats import Price, Seat
from palaver.review.stub import brain, script
from tests.unit.review import made, stubs

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
FAST = Pace(first_backoff_seconds=0.01, poll_seconds=0.01)
KEYS = ("ada", "bob", "cyd", "dee")


def _models(**extra: str) -> str:
    return "".join(f'[[model]]\nid = "{key}"\nquality = {5 + n}\n{extra.get(key, "")}\n' for n, key in enumerate(KEYS))


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    with stubs.running(tmp_path_factory.mktemp("stub"), _models()) as running:
        yield running


@dataclass
class Heard:
    """Everything that a runner told."""

    told: list[events.Event] = field(default_factory=list)

    def of(self, kind: type[events.Event]) -> list[events.Event]:
        return [event for event in self.told if isinstance(event, kind)]


def _seats(client: Client, keys: Sequence[str], price: Price | None = None) -> dict[str, Seat]:
    return {key: Seat("stub", client, key, Price() if price is None else price) for key in keys}


@asynccontextmanager
async def _runner(
    provider: Provider,
    folder: Folder,
    *,
    claims: Claims | None = None,
    pace: Pace = FAST,
    price: Price | None = None,
    heard: Heard | None = None,
    models: Mapping[str, str] | None = None,
) -> AsyncIterator[Runner]:
    keys = [member.key for member in folder.matrix().evaluation.panel]
    async with connect(provider) as client:
        seats = _seats(client, keys, price)
        for key, model in (models or {}).items():
            seats[key] = Seat("stub", client, model, seats[key].price)
        tell = heard.told.append if heard is not None else (lambda _event: None)
        yield Runner(folder, seats, lambda: 1_000, tell, claims or LocalClaims(), pace)


async def _run(provider: Provider, folder: Folder, **options: object) -> Matrix:
    async with _runner(provider, folder, **options) as runner:  # type: ignore[arg-type]  # handed through
        return await runner.run()


def _folder(root: Path, evaluation: Evaluation) -> Folder:
    return create(root, evaluation, "here", lambda: 1_000)


async def test_everybody_judges_everybody_else_and_the_results_check(stub: stubs.Stub, tmp_path: Path) -> None:
    matrix = await _run(stub.provider(), _folder(tmp_path, made.evaluation(KEYS, controls=CONTROLS)))

    assert matrix.state == "final"
    assert len(matrix.scored) == 12
    assert all(matrix.attention(key).score == 1.0 for key in KEYS)
    results = publish(matrix)
    assert check.check(encode(results)) == []
    assert results.winner is not None
    assert results.winner.name == "Dee"


async def test_the_sum_of_the_cells_is_the_stubs_bill(tmp_path: Path) -> None:
    faults = (
        '[[model.faults]]\nkind = "prose"\non = "judgments"\nrate = 0.5\n[[model.faults]]\nkind = "status"\nrate = 0.2'
    )
    with stubs.running(tmp_path, _models(bob=faults)) as stub:
        evaluation = made.evaluation(KEYS, controls=CONTROLS, limits=Limits(answer_tokens=90, attempts=20))
        matrix = await _run(stub.provider(), _folder(tmp_path, evaluation), price=Price(3, 7))
        bill = stub.bill().values()

    assert matrix.nanodollars == sum(3 * each["prompt_tokens"] + 7 * each["completion_tokens"] for each in bill)
    assert matrix.nanodollars > 0


@pytest.mark.parametrize(
    "habit",
    ["", "repeats_characters = 40", "reopens_fence = true", "repeats_characters = 80\nreopens_fence = true"],
    ids=["exact", "repeats", "reopens", "both"],
)
@pytest.mark.parametrize("limit", [60, 97, 140, 200])
async def test_cut_answers_are_continued_without_lost_or_doubled_text(tmp_path: Path, habit: str, limit: int) -> None:
    played = script.parse(_models(ada=f"answer_tokens = 400\n{habit}"))
    evaluation = made.evaluation(KEYS[:2], limits=Limits(answer_tokens=limit, continuations=9))
    with stubs.running(tmp_path, _models(ada=f"answer_tokens = 400\n{habit}")) as stub:
        matrix = await _run(stub.provider(), _folder(tmp_path, evaluation))

    answer = matrix.answers["ada"]
    assert answer.status == "continued"
    assert answer.text == brain.whole_answer(played, played.find("ada"), evaluation.question.text)


async def test_an_answer_that_stays_cut_is_flagged_to_the_judges(stub: stubs.Stub, tmp_path: Path) -> None:
    limits = Limits(answer_tokens=60, continuations=0)

    matrix = await _run(stub.provider(), _folder(tmp_path, made.evaluation(KEYS, limits=limits)))

    assert {answer.status for answer in matrix.answers.values()} == {"cut"}
    assert all(cell.grade is not None and cell.grade.ends_properly is False for cell in matrix.scored)


FAULTS = {
    "prose once": ('kind = "prose"\non = "judgments"\nlast = 2', "scored"),
    "prose for ever": ('kind = "prose"\non = "judgments"', "unparseable"),
    "no choices": ('kind = "no_choices"\non = "judgments"', "failed"),
    "refusal": ('kind = "refusal"\non = "judgments"', "refused"),
    "null content": ('kind = "null_content"\non = "judgments"', "failed"),
    "rate limit": ('kind = "status"\nstatus = 429\nlast = 3', "scored"),
    "cut JSON": ('kind = "cut_json"\non = "judgments"\nlast = 2', "scored"),
    "reset": ('kind = "reset"\nlast = 2', "scored"),
    "unauthorised": ('kind = "status"\nstatus = 401\non = "judgments"', "failed"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_judges_faults_become_reasons_and_never_zeros(tmp_path: Path, name: str) -> None:
    fault, status = FAULTS[name]
    with stubs.running(tmp_path, _models(ada=f"[[model.faults]]\n{fault}")) as stub:
        matrix = await _run(stub.provider(), _folder(tmp_path, made.evaluation(KEYS)))

    of_ada = [cell for cell in matrix.cells.values() if cell.judge == "ada" and cell.subject != "ada"]
    assert {cell.status for cell in of_ada} == {status}
    assert all((cell.score is None) == (status != "scored") for cell in of_ada)
    assert all(cell.reason for cell in of_ada if cell.score is None)
    assert len([cell for cell in matrix.scored if cell.judge != "ada"]) == 9


async def test_the_obedient_judge_is_exposed_and_its_controls_are_not_in_the_matrix(tmp_path: Path) -> None:
    with stubs.running(tmp_path, _models(cyd="obedient = true")) as stub:
        matrix = await _run(stub.provider(), _folder(tmp_path, made.evaluation(KEYS, controls=CONTROLS)))

    assert matrix.attention("cyd").failed_kinds == ("injected",)
    assert all(matrix.attention(key).score == 1.0 for key in KEYS if key != "cyd")
    assert len(matrix.cells) == 16


async def test_a_published_matrix_is_replayed_to_the_published_results(tmp_path: Path) -> None:
    published = EXAMPLES / "EVAL-20260402-133034.json"
    document = decode(published.read_bytes())
    keys = [cell.judge_key for cell in document.judgments]
    evaluation = made.evaluation(list(dict.fromkeys(keys)), limits=Limits(attempts=1))
    with stubs.running(tmp_path, "", "--replay", published) as stub:
        matrix = await _run(stub.provider(in_flight=20), _folder(tmp_path, evaluation))

    results = publish(matrix)
    assert {(c.judge_key, c.respondent_key): c.weighted_score for c in results.judgments} == {
        (c.judge_key, c.respondent_key): c.weighted_score for c in document.judgments
    }
    assert [(key, standing.average_score) for key, standing in results.rankings.items()] == [
        (key, standing.average_score) for key, standing in document.rankings.items()
    ]
    assert {cell.reason for cell in matrix.cells.values() if cell.status == "failed"} == {"malformed"}


async def test_a_provider_that_is_away_opens_its_breaker_and_the_others_go_on(tmp_path: Path) -> None:
    """The first provider drops every connection until the other has finished all that it can do alone."""
    panel = made.evaluation(KEYS)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with stubs.running(tmp_path / "one", _models()) as one, stubs.running(tmp_path / "two", _models()) as two:
        one.away(True)
        breaker = CircuitBreaker("one", failure_threshold=3, open_for=0.05)
        heard, alone = Heard(), asyncio.Event()
        opened: list[object] = []

        def tell(event: events.Event) -> None:
            heard.told.append(event)
            opened.append(breaker.state)
            if len(heard.of(events.Judged)) >= 2 and len(heard.of(events.Waiting)) >= 3:
                alone.set()

        async with (
            connect(one.provider("one"), breaker, CircuitOpenError) as away,
            connect(two.provider("two")) as here,
        ):
            seats = {
                key: Seat("one" if key in ("ada", "bob") else "two", away if key in ("ada", "bob") else here, key)
                for key in KEYS
            }
            runner = Runner(_folder(tmp_path, panel), seats, lambda: 1, tell, pace=Pace(first_backoff_seconds=0.01))
            running = asyncio.create_task(runner.run())
            await asyncio.wait_for(alone.wait(), 30)
            one.away(False)
            matrix = await asyncio.wait_for(running, 30)
        # Counted when nothing is under way any more: before, a connection may be dropped and its call not know it yet.
        dropped, failed = one.dropped(), len(heard.of(events.CallFailed))

    assert any(str(getattr(state, "value", state)) == "open" for state in opened)
    assert dropped <= failed + 2
    assert matrix.state == "final"
    assert len(matrix.scored) == 12


async def test_a_provider_that_stays_away_is_given_up_with_the_reason(tmp_path: Path) -> None:
    heard = Heard()
    folder = _folder(tmp_path, made.evaluation(KEYS))

    nowhere = Provider(name="stub", base_url="http://127.0.0.1:9/v1")
    matrix = await _run(nowhere, folder, pace=Pace(patience_seconds=0.05, first_backoff_seconds=0.01), heard=heard)

    assert matrix.state == "failed"
    assert {answer.reason for answer in matrix.answers.values()} == {"away: unreachable"}


async def test_the_spending_cap_is_never_passed_and_the_rest_stays_open(stub: stubs.Stub, tmp_path: Path) -> None:
    cap = 60_000
    limits = Limits(answer_tokens=400, judgment_tokens=100, spend_nanodollars=cap)
    heard = Heard()

    matrix = await _run(
        stub.provider(), _folder(tmp_path, made.evaluation(KEYS, limits=limits)), price=Price(10, 20), heard=heard
    )

    (done,) = heard.of(events.Done)
    assert isinstance(done, events.Done)
    assert done.stopped == "The spending cap is reached."
    assert 0 < matrix.nanodollars <= cap
    assert matrix.state == "answering" or matrix.state == "judging"


async def test_what_is_told_is_already_in_the_folder(stub: stubs.Stub, tmp_path: Path) -> None:
    folder = _folder(tmp_path, made.evaluation(KEYS))
    missing: list[events.Event] = []

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Judged):
            on_disk = Folder(folder.path, "reader", lambda: 1).matrix()
            if on_disk.cells[event.cell.judge, event.cell.subject].status != event.cell.status:
                missing.append(event)

    async with _runner(stub.provider(), folder) as runner:
        runner.tell = tell
        await runner.run()

    assert missing == []


async def test_nothing_is_told_before_the_disk_has_it(stub: stubs.Stub, tmp_path: Path) -> None:
    folder = _folder(tmp_path, made.evaluation(KEYS))
    durable: Matrix | None = None
    early: list[events.Event] = []
    sync = folder.sync

    async def slow_sync() -> None:
        nonlocal durable
        writing = folder.matrix()
        await asyncio.sleep(0.01)  # a slow disk; other calls start and end meanwhile
        await sync()
        durable = writing

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Judged):
            cell = event.cell
            if durable is None or durable.cells[cell.judge, cell.subject].status != cell.status:
                early.append(event)

    class Distant(LocalClaims):
        """Claims that take their time, as those of a lock across the network do."""

        async def claim(self, task: str) -> LocalClaim | None:
            await asyncio.sleep(0.005)
            return await super().claim(task)

    folder.sync = slow_sync  # type: ignore[method-assign]  # the disk is what this test is about
    async with _runner(stub.provider(), folder, claims=Distant()) as runner:
        runner.tell = tell
        matrix = await runner.run()

    assert early == []
    assert len(matrix.scored) == 12


async def test_events_tell_each_answer_and_each_cell_once(stub: stubs.Stub, tmp_path: Path) -> None:
    heard = Heard()

    await _run(stub.provider(), _folder(tmp_path, made.evaluation(KEYS, controls=CONTROLS)), heard=heard)

    assert len(heard.of(events.Answered)) == 4
    assert len(heard.of(events.Judged)) == 12
    text = "".join(e.text for e in heard.told if isinstance(e, events.TextArrived) and e.member == "ada")
    assert text.startswith("This is a stub answer")
    assert isinstance(heard.told[-1], events.Done)


async def test_cancelling_leaves_no_call_and_no_claim_behind_and_resume_pays_only_the_rest(
    stub: stubs.Stub, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, made.evaluation(KEYS))
    before = sum(account["billed"] for account in stub.bill().values())
    enough = asyncio.Event()
    async with _runner(stub.provider(), folder, claims=folder.claims, pace=Pace(in_flight=2)) as runner:
        judged = 0

        def tell(event: events.Event) -> None:
            nonlocal judged
            judged += isinstance(event, events.Judged)
            if judged >= 4:
                enough.set()

        runner.tell = tell
        running = asyncio.create_task(runner.run())
        await asyncio.wait_for(enough.wait(), 30)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("EVAL")] == []

    again = Folder(folder.path, "again", lambda: 2_000)
    kept = again.matrix().calls
    matrix = await _run(stub.provider(), again, claims=FileClaims(folder.path / "claims"))

    after = sum(account["billed"] for account in stub.bill().values())
    assert matrix.state == "final"
    assert matrix.calls == 16
    assert kept >= 8
    assert after - before <= 16 + 2


async def test_two_workers_on_one_folder_make_each_call_once(stub: stubs.Stub, tmp_path: Path) -> None:
    evaluation = made.evaluation(KEYS, controls=CONTROLS)
    one = _folder(tmp_path, evaluation)
    two = Folder(one.path, "there", lambda: 1_000)
    before = sum(account["billed"] for account in stub.bill().values())

    results = await asyncio.gather(
        *(_run(stub.provider(), folder, claims=FileClaims(one.path / "claims")) for folder in (one, two))
    )

    after = sum(account["billed"] for account in stub.bill().values())
    assert after - before == 4 + 12 + 12
    assert {matrix.state for matrix in results} == {"final"}
    assert len({encode(publish(matrix)) for matrix in results}) == 1
    replicas = {cell.grade.replica for cell in results[0].scored if cell.grade is not None}
    assert replicas == {"here", "there"}
