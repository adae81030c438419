"""`palaver serve`: reads the settings, starts the server, prints one line when it listens.

Exit codes: 0 after a drain, 1 when the server cannot start, 2 for settings that cannot be used.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from palaver.server.journal import to_stderr
from palaver.server.serve import StartError, serve
from palaver.server.settings import SETTINGS, Setting, SettingsError, build, effective, gather
from palaver.server.settings.kinds import Many, Switch


def _option(setting: Setting) -> click.Option:
    many, switch = isinstance(setting.kind, Many), isinstance(setting.kind, Switch)
    shown = setting.kind.text(setting.default)
    return click.Option(
        [setting.flag],
        metavar=None if switch else setting.kind.placeholder,
        help=setting.help + (f"  [default: {shown}]" if shown and not switch else ""),
        multiple=many,
        is_flag=switch,
        default=None,
    )


def _main(config: str | None, check: bool, **options: Any) -> None:  # noqa: ANN401 - click calls it so
    named = {name.replace("_", "-"): value for name, value in options.items()}
    flags = {name: value for name, value in named.items() if value not in (None, ())}
    try:
        values = gather(flags, os.environ, None if config is None else Path(config))
        settings = build(values)
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    if check:
        click.echo(effective(values), nl=False)
        return
    to_stderr(settings.operation.log_format, settings.operation.log_level)
    try:
        _run(serve(settings, _announce), faster=settings.operation.uvloop)
    except StartError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _announce(url: str) -> None:
    click.echo(f"Palaver is listening on {url}")


def _run(main: Coroutine[Any, Any, None], *, faster: bool) -> None:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if faster:
        try:
            import uvloop
        except ImportError:
            pass  # there is none for this platform; the standard loop does the same, slower
        else:
            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


command = click.Command(
    "serve",
    callback=_main,
    help="Start the chat server.",
    epilog="Every option may also come from the environment (PALAVER_PORT) or a TOML file (port = 8000).",
    params=[
        click.Option(["--config"], metavar="FILE", help="TOML file with settings.", default=None),
        click.Option(["--check"], is_flag=True, help="Print the effective settings and their sources, and exit."),
        *map(_option, SETTINGS.values()),
    ],
)
