"""`palaver review`: parsing and printing; what is printed is computed in `palaver.review`."""

from pathlib import Path

import click

from palaver.cli.review_exchange import export, import_, merge
from palaver.cli.review_run import refusing, resume, run, summary
from palaver.cli.review_show import judges, report, stats
from palaver.review import shelf
from palaver.review.check import check as check_text
from palaver.review.errors import ReviewError
from palaver.review.published import decode
from palaver.review.reports.compatible import render

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def review() -> None:
    """Blind peer review: models answer, each grades all the others without knowing whose answer it is."""


for _command in (run, resume, report, stats, judges, merge, import_, export):
    review.add_command(_command)


@review.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("evaluations"))
def status(path: Path) -> None:
    """Say how far the evaluations in PATH are: one line for each."""
    for entry in refusing(lambda: shelf.read_all([path])):
        about = f"{entry.path.name}  {entry.published.question_id}: "
        click.echo(about + (summary(entry.matrix) if entry.matrix is not None else _imported(entry)))


def _imported(entry: shelf.Entry) -> str:
    winner = entry.published.winner
    won = f"{winner.name} won with {winner.score:.2f}" if winner else "nobody won"
    return f"imported, {entry.published.matrix_size} cells, {won}"


@review.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--report", type=_FILE, help="A Markdown report that must come out of the (single) file byte for byte.")
def check(files: tuple[Path, ...], report: Path | None) -> None:
    """Recompute published result FILES and name each figure that differs.

    Exits with 1 if anything differs.
    """
    if report is not None and len(files) != 1:
        raise click.UsageError("--report compares with one result file; give exactly one.")
    differing = [path for path in files if _differs(path)]
    if report is not None and not differing:
        same = render(decode(_read(files[0]))).encode() == report.read_bytes()
        click.echo(f"{report}: {'equal, byte for byte' if same else 'the report differs'}")
        differing += [] if same else [report]
    if differing:
        raise click.exceptions.Exit(1)


def _differs(path: Path) -> bool:
    try:
        differences = check_text(_read(path), str(path))
    except ReviewError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path}: {len(differences)} differences" if differences else f"{path}: every figure recomputes")
    for difference in differences:
        click.echo(f"  {difference}")
    return bool(differences)


def _read(path: Path) -> str:
    # Without newline translation: the comparison is byte for byte.
    return path.read_bytes().decode("utf-8")
