"""What the pages show is true: their links, their commands, their settings, their metrics. Programs on them are run."""

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from palaver.cli.main import main
from palaver.server.metrics import METRICS
from palaver.server.settings import load
from tools import links

ROOT = Path(__file__).resolve().parents[2]
PAGES = links.pages(ROOT)


def commands(page: Path) -> Iterator[str]:
    """The lines of a page that call `palaver`, also from another folder or in a unit file."""
    for line in page.read_text().splitlines():
        found = re.match(r"(?:    |ExecStart=|\w+=\$\()?(?:\S*/bin/)?(palaver [a-z][^|)`]*)\)?$", line)
        if found and "…" not in line:
            yield found[1]


def called(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words call, and its arguments."""
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        inner = command.get_command(click.Context(command), words[0])
        if inner is None:
            break
        command, words = inner, words[1:]
    return command, words


SHOWN = [(page, command) for page in PAGES for command in commands(page)]


def test_every_link_leads_somewhere_and_the_index_names_every_page() -> None:
    assert links.broken(ROOT) == []
    assert links.unlinked(ROOT) == []


def test_a_link_that_leads_nowhere_and_a_page_that_nobody_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# I\n[a](a.md) [b](b.md) [c](a.md#no) [d](a.md#the-end-of-it)\n")
    (tmp_path / "docs" / "a.md").write_text("# A\n\n## The end, of it\n")
    (tmp_path / "docs" / "c.md").write_text("`[x](y.md)`\n")
    assert links.broken(tmp_path) == [
        "docs/index.md: b.md leads nowhere",
        "docs/index.md: a.md#no: there is no such heading",
    ]
    assert links.unlinked(tmp_path) == ["docs/c.md is not linked from docs/index.md"]


def test_there_are_commands_to_check() -> None:
    assert len({command for _, command in SHOWN}) >= 10


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[f"{page.name}: {text}" for page, text in SHOWN])
def test_a_command_on_a_page_is_one_that_there_is(page: Path, text: str) -> None:
    command, words = called(shlex.split(text, comments=True)[1:])
    assert not isinstance(command, click.Group) or not words or words[0].startswith("-"), text
    with contextlib.suppress(click.exceptions.Exit):  # --help
        try:
            command.make_context(text, words)
        except click.BadParameter as error:  # a file that the reader is to write first
            if not error.message.endswith("does not exist."):
                raise


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_settings_on_a_page_are_settings_that_there_are(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(
        re.findall(r"^```toml\n(# palaver.toml\n.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ):
        config = tmp_path / f"{number}.toml"
        config.write_text(block)
        load(config=config)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_metrics_on_a_page_are_metrics_that_there_are(page: Path) -> None:
    suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket"}
    known = {f"palaver_{row.name}{suffix[row.kind]}" for row in METRICS}
    known |= {name.removesuffix("_bucket") for name in known}
    assert set(re.findall(r"\bpalaver_[a-z_]+", page.read_text())) <= known
