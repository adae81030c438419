"""The `palaver` command. Each sub-command lives in a module of its own and is imported only when it is called."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

from palaver import __version__

# Sub-command -> "module:attribute". A module is imported when its command is used, so `palaver serve` never
# pays for numpy and `palaver lock` works without a page having been built.
_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "backup": "palaver.cli.backup:backup",
        "crdt": "palaver.cli.crdt:crdt",
        "models": "palaver.cli.models:models",
        "review": "palaver.cli.review:review",
        "serve": "palaver.cli.serve:command",
        "token": "palaver.cli.token:command",
        "lock": "palaver.cli.lock:lock",
    }
)


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="palaver")
def main() -> None:
    """Palaver: a chat server where people and AI models share rooms."""
