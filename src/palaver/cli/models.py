"""`palaver models`: are the providers of a models file there, and a stub that stands in for them."""

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

import click
from aiohttp import web

from palaver.review import roster
from palaver.review.completions import Reply
from palaver.review.errors import ReviewError
from palaver.review.failures import TRAITS
from palaver.review.providers import Request, connect
from palaver.review.published import decode
from palaver.review.stub import brain
from palaver.review.stub.script import Script, parse
from palaver.review.stub.server import application, marks_of

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def models() -> None:
    """Models and the providers that serve them."""


@models.command()
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Ask each model of the models FILE for one word, and say what came back.

    Exits with 1 if any model did not answer. Costs a few tokens for each model.
    """
    try:
        found = roster.parse(file.read_text("utf-8"))
        failed = asyncio.run(_check_all(found))
    except ReviewError as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.exceptions.Exit(1)


async def _check_all(found: roster.Roster) -> int:
    failed = 0
    for model in found.model:
        async with connect(found.provider_of(model)) as client:
            asked = Request(model.id, [{"role": "user", "content": "Reply with the word ready."}], 64, None)
            result = await client.complete(asked)
        if isinstance(result, Reply):
            served = f", served as {result.model}" if result.model not in ("", model.id) else ""
            click.echo(f"{model.key}: ready{served}")
        else:
            failed += 1
            click.echo(f"{model.key}: {result.kind} ({TRAITS[result.kind].text}) {result.detail}")
    return failed


@models.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8099, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--script", type=_FILE, help="A TOML file that says which models to play, and what goes wrong.")
@click.option("--replay", type=_FILE, help="A published result file whose marks are given again.")
@click.option("--seed", help="Another seed than the script's: other texts, other marks.")
@click.option("--latency", type=float, help="Seconds before each reply, for models that are not in the script.")
def stub(
    host: str, port: int, script: Path | None, replay: Path | None, seed: str | None, latency: float | None
) -> None:
    """Serve chat completions without any model, for tests, demonstrations and benchmarks.

    Every answer says that it comes from a stub. Prints its address when it is ready, and runs until it is interrupted.
    """
    try:
        played = Script() if script is None else parse(script.read_text("utf-8"))
        marks = brain.Marks({}) if replay is None else marks_of(decode(replay.read_bytes(), str(replay)))
    except ReviewError as error:
        raise click.ClickException(str(error)) from error
    played = Script(
        seed=played.seed if seed is None else seed,
        model=played.model,
        latency_seconds=played.latency_seconds if latency is None else latency,
    )
    asyncio.run(_serve(application(played, marks), host, port))


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    with contextlib.closing(socket.create_server((host, port))) as listening:
        address = listening.getsockname()
        await web.SockSite(runner, listening).start()
        click.echo(f"The stub is listening on http://{address[0]}:{address[1]}/v1 (no model is behind it).")
        try:
            await stop.wait()
        finally:
            await runner.cleanup()
