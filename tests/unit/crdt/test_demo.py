"""`palaver crdt demo` tells its story, and fails if it does not come out as told."""

import pytest
from click.testing import CliRunner

from palaver.cli import crdt
from palaver.cli.main import main


def test_the_story_is_told_to_its_end_and_all_replicas_agree() -> None:
    result = CliRunner().invoke(main, ["crdt", "demo"])

    assert result.exit_code == 0, result.output
    for number, (title, _) in enumerate(crdt.SCENES, start=1):
        assert f"{number}. {title}\n" in result.output
    assert result.output.count("byte for byte") == 8
    for claim in (
        "agree on ada, byte for byte: at equal stamps the add wins",
        "agree on nobody, byte for byte: at equal stamps the remove wins",
        "all 18 give the same 22 bytes: ada, cy",
        "waiting in quarantine: ada",
    ):
        assert claim in result.output


def test_a_scene_that_comes_out_otherwise_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def scene() -> crdt.Lines:
        east, west = crdt.replica("east"), crdt.replica("west")
        yield crdt.write(east, "add", "ada", 1)
        yield crdt.agree({"ada"}, east, west)

    monkeypatch.setattr(crdt, "SCENES", (("No merge", scene), *crdt.SCENES))
    result = CliRunner().invoke(main, ["crdt", "demo"])

    assert result.exit_code == 1
    assert "THIS DOES NOT HOLD: east shows ada; west shows nobody" in result.output
    assert "2." not in result.output
