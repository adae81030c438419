"""`palaver review report`, `stats` and `judges`: print what is computed in `palaver.review`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import click
import msgspec
from rich.console import Console
from rich.table import Table

from palaver.cli.review_run import refusing
from palaver.review import pooled, profile, shelf
from palaver.review.profile import Dossier
from palaver.review.reports import board, compatible, csv, html, json, markdown, wording
from palaver.review.shelf import Entry
from palaver.review.statistics.board import Board
from palaver.review.statistics.bootstrap import RESAMPLES

_PATH = click.Path(exists=True, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
Format = Literal["published", "md", "html", "json", "csv"]
_WRITE: "MappingProxyType[Format, Callable[[Dossier], str]]" = MappingProxyType(
    {
        "published": lambda dossier: compatible.render(dossier.published),
        "md": markdown.render,
        "html": html.render,
        "json": lambda dossier: json.render(dossier).decode(),
    }
)


def _dossier(entry: Entry, seed: int, resamples: int) -> Dossier:
    if entry.matrix is not None:
        return profile.of_matrix(entry.matrix, seed=seed, resamples=resamples)
    return profile.of_published(entry.published, seed=seed, resamples=resamples)


def _entries(paths: Sequence[Path]) -> list[Entry]:
    found = refusing(lambda: shelf.read_all(paths))
    if not found:
        raise click.ClickException(f"There is no evaluation in {', '.join(map(str, paths))}.")
    return found


def _resampling(command: Callable[..., None]) -> Callable[..., None]:
    resamples = click.option(
        "--resamples", type=click.IntRange(1), default=RESAMPLES, show_default=True, help="Resamples of the judges."
    )
    return resamples(click.option("--seed", type=int, default=0, show_default=True, help="For the resamples.")(command))


def write(text: str, out: Path | None) -> None:
    """Write to a file, or to standard output as it is."""
    if out is None:
        sys.stdout.write(text)
        return
    out.write_text(text, "utf-8", newline="")
    click.echo(str(out), err=True)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option(
    "--format", "form", type=click.Choice(get_args(Format)), default="md", show_default=True,
    help="`published` is the compatible Markdown report; the others hold the measured profile.",
)  # fmt: skip
@click.option("--table", type=click.Choice(get_args(csv.Table)), default="marks", show_default=True, help="For csv.")
@click.option("--out", type=_OUT, help="A file instead of standard output.")
@_resampling
def report(
    paths: tuple[Path, ...], form: Format, table: csv.Table, out: Path | None, seed: int, resamples: int
) -> None:
    """Write the report of an evaluation, or the board over several.

    PATHS are evaluation folders, folders of them, or published result files.
    """
    entries = _entries(paths)
    if len(entries) > 1:
        write(_board(entries, form, seed), out)
        return
    dossier = _dossier(entries[0], seed, resamples)
    write(csv.render(dossier, table) if form == "csv" else _WRITE[form](dossier), out)


def _board(entries: Sequence[Entry], form: Format, seed: int) -> str:
    boards, names = pooled.boards_of(entries, seed), pooled.names_of(entries)
    if form == "md":
        return board.markdown(boards, names)
    if form == "html":
        return board.render(boards, names)
    if form == "json":
        return _json(boards)
    raise click.UsageError(f"--format {form} is for one evaluation; a board comes as md, html or json.")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("--category", help="Of several evaluations only those of this category.")
@click.option("--json", "as_json", is_flag=True, help="JSON with every figure instead of tables.")
@_resampling
def stats(paths: tuple[Path, ...], category: str | None, as_json: bool, seed: int, resamples: int) -> None:
    """Print the corrected ranking of an evaluation with its intervals, or the board over several.

    PATHS are evaluation folders, folders of them, or published result files.
    """
    entries = [each for each in _entries(paths) if category in (None, each.category)]
    if not entries:
        raise click.ClickException(f"No evaluation of category {category!r} is there.")
    if len(entries) == 1:
        measured = _dossier(entries[0], seed, resamples)
        if as_json:
            write(json.statistics(measured.measured).decode(), None)
        else:
            _print_one(measured)
        return
    boards = pooled.boards_of(entries, seed)
    if as_json:
        write(_json(boards), None)
    else:
        _print_boards(boards, pooled.names_of(entries))


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _print_one(dossier: Dossier) -> None:
    measured = dossier.measured
    click.echo(f"{dossier.grid.evaluation}  {dossier.grid.question_id}  {dossier.grid.state}\n")
    click.echo(wording.winner(dossier))
    click.echo(measured.verdict)
    for reason in (
        *measured.reasons,
        *wording.cut_answers(dossier),
        *wording.served(dossier),
        *wording.missing(dossier),
    ):
        click.echo(f"* {reason}")
    _print(wording.RANKING_HEADING, [wording.ranking_row(line) for line in wording.in_order(measured)], 1)
    for name, value in wording.panel(measured):
        click.echo(f"{name}: {value}")
    for sentence in wording.stability(measured):
        click.echo(f"* {sentence}")
    if dossier.people is not None:
        click.echo(wording.people(dossier.people))


def _print_boards(boards: Sequence[Board], names: dict[str, str]) -> None:
    for each in boards:
        click.echo(board.heading_of(each))
        for reason in each.reasons:
            click.echo(f"* {reason}")
        if each.standings:
            _print(board.HEADING, [board.standing_row(each, standing) for standing in each.standings], 1)
            click.echo(board.severities(each, names) + "\n")


def _print(heading: Sequence[str], rows: Sequence[Sequence[str]], left: int = 0) -> None:
    """A table on standard output; as wide as it needs where that is no terminal."""
    table = Table()
    for index, name in enumerate(heading):
        table.add_column(name, justify="left" if index == left else "right", no_wrap=index != len(heading) - 1)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console = console if console.is_terminal else Console(highlight=False, markup=False, width=200)
    console.print(table)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def judges(paths: tuple[Path, ...], as_json: bool) -> None:
    """Print each judge's sheet: severity, consistency, attention; over several evaluations what adds up.

    PATHS are evaluation folders, folders of them, or published result files.
    """
    entries = _entries(paths)
    if len(entries) > 1:
        _judges_of_many(entries, as_json=as_json)
        return
    measured = _dossier(entries[0], 0, 1).measured
    if as_json:
        write(_json(measured.judges), None)
    elif not measured.judges:
        click.echo("\n".join(measured.reasons))
    else:
        _print(wording.SHEET_HEADING, [wording.sheet_row(sheet) for sheet in measured.judges])
        click.echo(wording.SHEET_NOTE)


def _judges_of_many(entries: Sequence[Entry], *, as_json: bool) -> None:
    records = pooled.records_of(entries)
    if as_json:
        write(_json(records), None)
        return
    rows = [
        [
            each.name, str(each.evaluations), str(each.marks), wording.figure(each.severity),
            f"{each.cuts_seen} of {each.cuts_shown}", f"{each.controls_passed} of {each.controls_shown}",
        ]
        for each in records
    ]  # fmt: skip
    _print(("Judge", "Evaluations", "Marks", "Severity", "Cuts seen", "Controls passed"), rows)
