"""`palaver lock demo` prints a schedule for each fault, and none for ours."""

from click.testing import CliRunner

from palaver.cli.main import main
from palaver.lock.testing.demonstration import FAULTS
from tests.valkey import Valkey


def test_the_demonstration_shows_every_fault(valkey: Valkey) -> None:
    result = CliRunner().invoke(main, ["lock", "demo", "--redis", valkey.url])
    assert result.exit_code == 0, result.output
    assert result.output.count("palaver.lock: no violation in all") == len(FAULTS)
    for fault in FAULTS:
        assert fault.scenario.name in result.output
    assert "dies before EXPIRE lock:demo 10" in result.output
    assert "two hold it" in result.output
