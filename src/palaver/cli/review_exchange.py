"""`palaver review merge`, `import` and `export`: evaluations between machines, and out into the world."""

import sys
from pathlib import Path
from typing import Literal, get_args

import click

from palaver.cli.review_run import refusing, summary
from palaver.crdt.clock import wall_milliseconds
from palaver.review import dataset, shelf
from palaver.review.check import check
from palaver.review.errors import LedgerError
from palaver.review.folder import Folder, new_replica, restore
from palaver.review.ledger import Ledger
from palaver.review.published import encode
from palaver.review.results import publish

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)
Form = Literal["dataset", "results", "ledger"]


@click.command()
@click.argument("into", type=_FOLDER)
@click.argument("others", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def merge(into: Path, others: tuple[Path, ...]) -> None:
    """Take everything that OTHERS know of an evaluation over INTO its folder here.

    OTHERS are folders of the same evaluation from other machines, or ledgers that `export --as ledger` wrote. Any order
    and any repetition gives the same results. OTHERS are not changed.
    """
    folder = refusing(lambda: _open(into))
    for other in others:
        new = refusing(lambda other=other: folder.take_over(_ledger(other)))  # type: ignore[misc]  # a default binds the loop's variable
        click.echo(f"{other}: {new} writes were new")
    _publish(folder)


def _open(path: Path) -> Folder:
    if not (path / "journal").is_dir():
        raise LedgerError(f"{path} is no evaluation of ours; merge needs a folder with journals.")
    return Folder(path, new_replica(), wall_milliseconds)


def _ledger(path: Path) -> Ledger:
    if path.is_dir():
        return _open(path).ledger
    return Ledger.decode(path.read_bytes(), new_replica(), wall_milliseconds, str(path))


def _publish(folder: Folder) -> None:
    matrix = folder.matrix()
    results = folder.publish(encode(publish(matrix)))
    folder.close()
    click.echo(f"{folder.path}: {summary(matrix)} ({results.name})")


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--out", type=_OUT, default=Path("evaluations"), show_default=True, help="Where evaluations are kept.")
def import_(files: tuple[Path, ...], out: Path) -> None:
    """Keep published result FILES, or ledgers, as evaluations beside those that ran here.

    A published file stays as it is, byte for byte; what does not recompute in it is named. A ledger becomes a folder,
    or is merged into the one that is there.
    """
    for file in files:
        data = file.read_bytes()
        if data.lstrip()[:1] == b"{" and b'"judgments"' in data:
            path = refusing(lambda data=data, file=file: shelf.take_in(out, data, str(file)))  # type: ignore[misc]  # a default binds the loop's variable
            differences = refusing(lambda data=data, file=file: check(data.decode(), str(file)))  # type: ignore[misc]  # as above
            click.echo(f"{path}: {len(differences)} differences" if differences else f"{path}: every figure recomputes")
            for difference in differences:
                click.echo(f"  {difference}")
        else:
            folder, new = refusing(lambda file=file: restore(out, _ledger(file), new_replica(), wall_milliseconds))  # type: ignore[misc]  # as above
            click.echo(f"{file}: {new} writes were new")
            _publish(folder)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--as", "form", type=click.Choice(get_args(Form)), default="dataset", show_default=True,
    help="JSON lines with a datasheet, the published form, or the ledger with every record.",
)  # fmt: skip
@click.option("--out", type=_OUT, required=True, help="The folder to write to.")
def export(paths: tuple[Path, ...], form: Form, out: Path) -> None:
    """Write evaluations for others: as a data set, in the published form, or as ledgers to merge elsewhere.

    A ledger holds the evaluation's secret seed: share it only with machines that work on it, or when it has ended.
    """
    entries = refusing(lambda: shelf.read_all(paths))
    if not entries:
        raise click.ClickException("There is no evaluation to export.")
    out.mkdir(parents=True, exist_ok=True)
    if form == "dataset":
        content = "".join(dataset.lines(entries))
        _write(out / "dataset.jsonl", content.encode())
        _write(out / "DATASHEET.md", dataset.datasheet(entries, content).encode())
        return
    for entry in entries:
        if form == "results":
            source = entry.path / shelf.PUBLISHED if entry.path.is_dir() else entry.path
            _write(out / f"{entry.id}.json", encode(entry.published).encode() if entry.matrix else source.read_bytes())
        elif entry.matrix is None:
            click.echo(f"{entry.path}: was imported and has no ledger; it is left out", file=sys.stderr)
        else:
            folder = Folder(entry.path, "reader", wall_milliseconds)
            _write(out / f"{entry.id}.ledger", folder.ledger.encode())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    click.echo(f"{path}: {len(data)} bytes")
