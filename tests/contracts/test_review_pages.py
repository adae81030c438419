"""The review's pages say what is so: their TOML is read by the product, and their commands have these options."""

import re
from pathlib import Path

import click
import pytest

from palaver.cli.main import main
from palaver.review import roster, rubric

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*DOCS.glob("*/review-*.md")])
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^    palaver (.+)$", re.MULTILINE)


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the first words name, and the words after it."""
    found: click.Command = main
    while isinstance(found, click.Group):
        inner = found.get_command(click.Context(found), words[0])
        assert inner is not None, words
        found, words = inner, words[1:]
    return found, words


def test_there_are_pages() -> None:
    assert len(PAGES) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for line in _COMMAND.findall(page.read_text("utf-8")):
        command, words = _command(line.split())
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_the_models_file_of_the_page_is_read() -> None:
    (text,) = _TOML.findall((DOCS / "howto" / "review-add-a-provider.md").read_text("utf-8"))

    found = roster.parse(text)

    assert [provider.name for provider in found.provider] == ["openrouter", "openai", "anthropic", "google", "ollama"]
    assert [(member.key, member.judges) for member in found.panel()] == [("sonnet", True), ("small", False)]


def test_the_rubric_of_the_page_is_read() -> None:
    (text,) = _TOML.findall((DOCS / "howto" / "review-write-a-rubric.md").read_text("utf-8"))

    assert [criterion.weight for criterion in rubric.parse(text).criteria] == [50, 30, 20]
