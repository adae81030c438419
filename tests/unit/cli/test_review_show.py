"""`palaver review status, report, stats, judges`: one evaluation or many, ours or imported."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palaver.cli.main import main
from tests.unit.review import folders

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
SEED, SPARSE = EXAMPLES / "EVAL-20260402-133034.json", EXAMPLES / "EVAL-20260402-132144.json"


def _palaver(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["review", *map(str, arguments)])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluations")
    for number in range(4):
        folders.kept(root, number, "code" if number % 2 else "writing")
    return root


def test_status_has_a_line_for_each_evaluation(many: Path) -> None:
    result = _palaver("status", many)

    assert result.exit_code == 0
    assert result.output.count("final, 12 of 12 cells") == 4


def test_the_published_report_of_a_published_file_comes_out_byte_for_byte(tmp_path: Path) -> None:
    out = tmp_path / "report.md"

    assert _palaver("report", SEED, "--format", "published", "--out", out).exit_code == 0
    assert out.read_bytes() == SEED.with_suffix(".md").read_bytes()


@pytest.mark.parametrize("form", ["published", "md", "html", "json", "csv"])
def test_each_form_of_report_is_written_for_our_own_evaluations(many: Path, form: str) -> None:
    result = _palaver("report", many / folders.drawn_up(1).id, "--format", form, "--resamples", "50")

    assert result.exit_code == 0, result.output
    assert "Dee" in result.output or "dee" in result.output


def test_csv_tables(many: Path) -> None:
    result = _palaver(
        "report", many / folders.drawn_up(0).id, "--format", "csv", "--table", "ranking", "--resamples", "9"
    )

    assert next(row["key"] for row in csv.DictReader(io.StringIO(result.output))) == "dee"


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_the_report_of_several_evaluations_is_a_board(many: Path, form: str) -> None:
    result = _palaver("report", many, "--format", form)

    assert result.exit_code == 0
    for category in ("all", "code", "writing"):
        assert category in result.output


def test_a_board_has_no_csv(many: Path) -> None:
    assert "for one evaluation" in _palaver("report", many, "--format", "csv").output


def test_stats_say_who_is_first_and_from_whom_it_cannot_be_told() -> None:
    result = _palaver("stats", SEED)

    assert result.exit_code == 0
    assert "Gemini 3 Flash Preview is first after correction" in result.output
    assert "8.08 to 9.20" in result.output
    assert "22 of 45" in result.output
    assert "0.369" in result.output
    assert "changes the corrected first place in 0 of 10 cases." in result.output
    assert "first place in 3 of 7 cases: without" in _palaver("stats", SPARSE).output


def test_stats_as_json_hold_every_figure() -> None:
    found = json.loads(_palaver("stats", SPARSE, "--json", "--resamples", "100").output)

    assert found["leader"] == "deepseek_v4"
    assert found["panel"]["alpha_raw"] == pytest.approx(0.472, abs=1e-3)


def test_stats_of_several_evaluations_are_boards_with_places_that_cannot_be_told_apart(many: Path) -> None:
    text = _palaver("stats", many).output
    found = json.loads(_palaver("stats", many, "--json").output)

    assert "all (4 questions)" in text
    assert "Severity: " in text
    assert [board["category"] for board in found] == ["all", "code", "writing"]
    assert all(standing["low"] <= standing["score"] <= standing["high"] for standing in found[0]["standings"])


def test_stats_of_one_category_only(many: Path) -> None:
    assert "all (2 questions)" in _palaver("stats", many, "--category", "code").output
    assert "No evaluation of category 'none'" in _palaver("stats", many, "--category", "none").output


def test_judges_have_their_sheets(many: Path) -> None:
    result = _palaver("judges", SEED)

    assert "DeepSeek V4" in result.output
    assert "Severity: points given above an average judge" in result.output
    assert len(json.loads(_palaver("judges", many / folders.drawn_up(0).id, "--json").output)) == 4


def test_judges_over_several_evaluations(many: Path) -> None:
    found = json.loads(_palaver("judges", many, "--json").output)

    assert [(each["judge"], each["evaluations"], each["marks"]) for each in found] == [(k, 4, 12) for k in folders.KEYS]
    assert sum(each["severity"] for each in found) == pytest.approx(0, abs=1e-9)
    assert "12" in _palaver("judges", many).output


def test_a_folder_without_evaluations_is_said_to_be_one(tmp_path: Path) -> None:
    for command in ("report", "stats", "judges"):
        result = _palaver(command, tmp_path)
        assert result.exit_code == 1
        assert "There is no evaluation in" in result.output
