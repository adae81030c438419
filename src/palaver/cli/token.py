"""`palaver token`: makes a token and prints it, and nothing else, on stdout."""

import sys
from pathlib import Path

import click

from palaver.chat.names import name_problem
from palaver.chat.rights import ACTIONS, ROLES
from palaver.server import clock
from palaver.server.keys import Key, KeyFileError, operator_key, read_key_file, sign, signing_key
from palaver.server.settings import SETTINGS


@click.command("token")
@click.option("--name", required=True, help="The name that others read.")
@click.option("--user", default=None, help="The user's id, stable for life.  [default: the name]")
@click.option("--room", "rooms", multiple=True, metavar="GLOB[=ACTIONS]", help="Allow join, send and ask in "
              "such rooms, or exactly these of join,send,ask,moderate; may be repeated.  "
              "[default: every room]")  # fmt: skip
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="Moderate everywhere; an operator also "
              "administers over HTTP.")  # fmt: skip
@click.option("--valid", default=86_400, type=click.IntRange(1, 10 * 365 * 86_400), metavar="SECONDS",
              help="How long the token is valid.  [default: 86400]")  # fmt: skip
@click.option("--issuer", default=None, metavar="ISS", help="The claim `iss`.")
@click.option("--audience", default=None, metavar="AUD", help="The claim `aud`.")
@click.option("--data", default=None, envvar="PALAVER_DATA", type=click.Path(path_type=Path), metavar="DIR",
              help="The server's data directory; its own key makes the token.  [default: palaver-data]")  # fmt: skip
@click.option("--token-key", default=None, envvar="PALAVER_TOKEN_KEY", type=click.Path(path_type=Path), metavar="FILE",
              help="Make the token with this private key or secret instead.")  # fmt: skip
def command(
    name: str,
    user: str | None,
    rooms: tuple[str, ...],
    roles: tuple[str, ...],
    valid: int,
    issuer: str | None,
    audience: str | None,
    data: Path | None,
    token_key: Path | None,
) -> None:
    """Make a token for a user, bot or operator."""
    if problem := name_problem(name):
        raise click.BadParameter(problem, param_hint="--name")
    claims: dict[str, object] = {"sub": user or name, "name": name, "exp": int(clock.wall()) + valid}
    if rooms:
        claims["rooms"] = dict(map(_room, rooms))
    optional = {"roles": list(roles), "iss": issuer, "aud": audience}
    claims |= {claim: value for claim, value in optional.items() if value}
    try:
        key = _key(data, token_key)
    except KeyFileError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    click.echo(sign(claims, key))


def _room(text: str) -> tuple[str, list[str]]:
    glob, given, actions = text.partition("=")
    named = [action for action in actions.split(",") if action] if given else ["join", "send", "ask"]
    if not glob or not set(named) <= set(ACTIONS):
        raise click.BadParameter(f"{text!r} is not GLOB or GLOB={','.join(ACTIONS)}", param_hint="--room")
    return glob, named


def _key(data: Path | None, token_key: Path | None) -> Key:
    if token_key is not None:
        return signing_key(read_key_file(token_key))
    default = SETTINGS["data"].default
    assert isinstance(default, Path)
    return signing_key(operator_key(data or default))
