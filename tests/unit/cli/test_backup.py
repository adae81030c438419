"""`palaver backup`."""

from pathlib import Path

from click.testing import CliRunner

from palaver.cli.main import main
from palaver.server.log.opening import open_store


def test_it_writes_the_copy_and_says_how_large_it_is(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    result = CliRunner().invoke(main, ["backup", "--data", str(tmp_path / "store"), str(tmp_path / "copy.db")])
    assert result.exit_code == 0, result.output
    assert f"{(tmp_path / 'copy.db').stat().st_size} bytes" in result.output


def test_it_says_what_is_wrong_and_ends_with_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["backup", "--data", str(tmp_path), str(tmp_path / "copy.db")])
    assert result.exit_code == 1
    assert "no such file" in result.output
