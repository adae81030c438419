"""`palaver backup`: a copy of everything a server keeps, also while it runs."""

from pathlib import Path

import click

from palaver.server.log import LogError, back_up


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("palaver-data"),
    show_default=True,
    help="The server's data directory.",
)
@click.argument("file", type=click.Path(path_type=Path))
def backup(data: Path, file: Path) -> None:
    """Copy messages, sends, decisions and the server's secret to the new FILE.

    To restore, put FILE into an empty directory as palaver.db and start the server there.
    """
    try:
        back_up(data, file)
    except LogError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file}: {file.stat().st_size} bytes")
