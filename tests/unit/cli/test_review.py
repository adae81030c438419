"""`palaver review` on the command line."""

from pathlib import Path

from click.testing import CliRunner, Result

from palaver.cli.main import main

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
RESULT = EXAMPLES / "EVAL-20260402-133034.json"


def _palaver(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_check_says_that_published_files_recompute() -> None:
    result = _palaver("review", "check", *sorted(EXAMPLES.glob("EVAL-*.json")))

    assert result.exit_code == 0
    assert result.output.count("every figure recomputes") == 2


def test_check_compares_the_report_byte_for_byte(tmp_path: Path) -> None:
    published = EXAMPLES / "EVAL-20260402-133034.md"
    other = tmp_path / "other.md"
    other.write_bytes(published.read_bytes() + b"\n")

    assert "equal, byte for byte" in _palaver("review", "check", RESULT, "--report", published).output
    assert _palaver("review", "check", RESULT, "--report", other).exit_code == 1


def test_check_names_each_figure_that_differs_and_fails(tmp_path: Path) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(RESULT.read_text("utf-8").replace('"avg_score": 7.065', '"avg_score": 7.063'), "utf-8")

    result = _palaver("review", "check", changed)

    assert result.exit_code == 1
    assert "avg_score: published 7.063, computed 7.065" in result.output


def test_check_of_something_else_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", "utf-8")

    result = _palaver("review", "check", other)

    assert result.exit_code == 1
    assert "other.json: Object missing required field" in result.output
