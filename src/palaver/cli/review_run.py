"""`palaver review run` and `resume`: read files, compose a runner, show its progress."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import click

from palaver import __version__
from palaver.cli.progress import Progress
from palaver.crdt.clock import wall_milliseconds
from palaver.review import bank, roster, rubric
from palaver.review.errors import ReviewError
from palaver.review.folder import Folder, create, find, new_replica
from palaver.review.matrix import Matrix
from palaver.review.published import encode
from palaver.review.records import Limits, Reopen
from palaver.review.results import publish
from palaver.review.runner import Pace, Runner
from palaver.server.reviews import seating
from palaver.server.reviews.leases import LEASE_SECONDS, claims_at

T = TypeVar("T")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Work:
    """What to run, and how."""

    roster: roster.Roster
    pace: Pace
    lock: str | None = None
    lease_seconds: float = LEASE_SECONDS
    members: tuple[str, ...] = ()


class _RunOptions(TypedDict):
    """The options of `run`, as click hands them over."""

    questions: Path
    models_file: Path
    out: Path
    members: tuple[str, ...]
    ids: tuple[str, ...]
    categories: tuple[str, ...]
    head_to_head: tuple[str, str] | None
    rubric_file: Path | None
    seed: str | None
    answer_tokens: int
    judgment_tokens: int
    continuations: int
    attempts: int
    spend: float | None
    in_flight: int
    patience: float


def refusing(read: Callable[[], T]) -> T:
    """Call, and turn what the review refuses into a message and exit status 1."""
    try:
        return read()
    except ReviewError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.argument("questions", type=_FILE)
@click.option("--models", "models_file", type=_FILE, required=True, help="The models file (TOML).")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("evaluations"), show_default=True)
@click.option("--member", "members", multiple=True, help="A model of the panel, by key; all of the file without it.")
@click.option("--question", "ids", multiple=True, help="Only this question of the bank.")
@click.option("--category", "categories", multiple=True, help="Only questions of this category.")
@click.option("--head-to-head", nargs=2, metavar="A B", help="Only A and B answer; the rest of the panel judges.")
@click.option("--rubric", "rubric_file", type=_FILE, help="A rubric (TOML) instead of the standard one.")
@click.option("--seed", help="Secret that labels, fences and orders are made from; drawn anew without it.")
@click.option("--answer-tokens", type=click.IntRange(1), default=Limits().answer_tokens, show_default=True)
@click.option("--judgment-tokens", type=click.IntRange(1), default=Limits().judgment_tokens, show_default=True)
@click.option("--continuations", type=click.IntRange(0), default=Limits().continuations, show_default=True)
@click.option("--attempts", type=click.IntRange(1), default=Limits().attempts, show_default=True)
@click.option("--spend", type=click.FloatRange(0), help="Most dollars to spend on each evaluation; no cap without it.")
@click.option(
    "--in-flight", type=click.IntRange(1), default=Pace().in_flight, show_default=True, help="Calls at a time."
)
@click.option(
    "--patience",
    type=float,
    default=Pace().patience_seconds,
    show_default=True,
    help="Seconds to wait for a provider that is away.",
)
def run(**options: Unpack[_RunOptions]) -> None:
    """Put QUESTIONS (a question bank, TOML) to the models, and let them judge each other's answers.

    Each question becomes an evaluation with a folder of its own. Interrupt at any time: `palaver review resume` goes on
    where it stopped and pays only for the calls that are still open.
    """
    found = refusing(lambda: roster.parse(options["models_file"].read_text("utf-8")))
    folders = refusing(lambda: _draw_up(found, options))
    if not folders:
        raise click.ClickException("No question of the bank was picked.")
    _run_all(folders, _Work(found, Pace(options["in_flight"], options["patience"])))


def _draw_up(found: roster.Roster, options: _RunOptions) -> list[Folder]:
    spend, own_rubric = options["spend"], options["rubric_file"]
    limits = Limits(
        answer_tokens=options["answer_tokens"],
        judgment_tokens=options["judgment_tokens"],
        continuations=options["continuations"],
        attempts=options["attempts"],
        spend_nanodollars=None if spend is None else round(spend * 1_000_000_000),
    )
    picked = bank.parse(options["questions"].read_text("utf-8")).pick(options["ids"], options["categories"])
    judged_by = rubric.STANDARD if own_rubric is None else rubric.parse(own_rubric.read_text("utf-8"))
    replica, panel, start = new_replica(), found.panel(options["members"]), _wall_clock()
    folders = []
    for number, question in enumerate(picked):
        drawn_up = bank.evaluation(
            question,
            panel,
            judged_by,
            created=_iso(start + timedelta(seconds=number)),
            seed=options["seed"] or secrets.token_hex(16),
            version=__version__,
            limits=limits,
            head_to_head=options["head_to_head"],
        )
        folders.append(create(options["out"], drawn_up, replica, wall_milliseconds))
    return folders


@click.command()
@click.argument("folders", nargs=-1, required=True, type=_FOLDER)
@click.option("--models", "models_file", type=_FILE, required=True, help="The models file (TOML).")
@click.option(
    "--member", "members", multiple=True, help="Make only the calls of this model, by key; the rest stay open."
)
@click.option("--again", is_flag=True, help="Give calls that failed for good another round of attempts.")
@click.option(
    "--in-flight", type=click.IntRange(1), default=Pace().in_flight, show_default=True, help="Calls at a time."
)
@click.option(
    "--patience",
    type=float,
    default=Pace().patience_seconds,
    show_default=True,
    help="Seconds to wait for a provider that is away.",
)
@click.option(
    "--lock",
    metavar="URL",
    envvar="PALAVER_EVALUATIONS_LOCK",
    help="Share the work through leases of the lock at this Redis or Valkey: for workers on several machines.",
)
@click.option("--lease", type=click.FloatRange(0.1), default=LEASE_SECONDS, show_default=True, help="Seconds.")
def resume(
    folders: tuple[Path, ...],
    models_file: Path,
    members: tuple[str, ...],
    again: bool,
    in_flight: int,
    patience: float,
    lock: str | None,
    lease: float,
) -> None:
    """Go on with evaluations in FOLDERS: only calls that are still open are made.

    Several processes may resume the same folder at once and share the work. With --member, machines that serve
    different models each do their part on a copy; `palaver review merge` brings the copies together.
    """
    found = refusing(lambda: roster.parse(models_file.read_text("utf-8")))
    work = _Work(found, Pace(in_flight, patience), lock, lease, members)
    replica = new_replica()
    paths = refusing(lambda: [path for folder in folders for path in find(folder)])
    opened = [refusing(lambda path=path: Folder(path, replica, wall_milliseconds)) for path in paths]  # type: ignore[misc]  # a default binds the loop's variable
    for folder in opened:
        if again:
            folder.write(folder.ledger.add(Reopen(replica=replica, stamp=wall_milliseconds())))
    _run_all(opened, work)


def _run_all(folders: list[Folder], work: _Work) -> None:
    try:
        refusing(lambda: asyncio.run(_run_each(folders, work)))
    except KeyboardInterrupt:
        places = " ".join(str(folder.path) for folder in folders)
        raise click.ClickException(f"Interrupted. Go on with: palaver review resume {places}") from None


async def _run_each(folders: list[Folder], work: _Work) -> None:
    panels = [folder.matrix().evaluation.panel for folder in folders]
    wanted = {each.provider for panel in panels for each in panel if not work.members or each.key in work.members}
    async with (
        seating.clients(work.roster, wanted) as connected,
        claims_at(work.lock, work.lease_seconds) as claims,
    ):
        for folder in folders:
            seats = seating.seats(work.roster, folder.matrix().evaluation, connected, work.members)
            with Progress(folder.matrix, time.monotonic) as progress:
                runner = Runner(
                    folder, seats, wall_milliseconds, tell=progress.hear, claims=claims(folder), pace=work.pace
                )
                matrix = await runner.run()
            results = folder.publish(encode(publish(matrix)))
            folder.close()
            click.echo(f"{folder.path}: {summary(matrix)} ({results.name})")


def summary(matrix: Matrix) -> str:
    """One line about where an evaluation stands."""
    document = publish(matrix)
    possible = sum(cell.status != "excluded" for cell in matrix.cells.values())
    winner = f"{document.winner.name} won with {document.winner.score:.2f}" if document.winner else "nobody won"
    cost = matrix.nanodollars / 1_000_000_000
    return f"{matrix.state}, {len(matrix.scored)} of {possible} cells, {winner}, {matrix.calls} calls, ${cost:.4f}"


def _wall_clock() -> datetime:
    return datetime.fromtimestamp(wall_milliseconds() / 1000, UTC)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
