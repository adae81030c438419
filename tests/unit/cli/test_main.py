"""The command's outermost shell."""

from click.testing import CliRunner

from palaver import __version__
from palaver.cli.main import main


def test_the_command_says_its_version() -> None:
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert __version__ in result.output
