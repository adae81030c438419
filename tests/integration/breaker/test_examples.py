"""Every example is run as a program, against a real server that fails, hangs, cuts bodies and limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.breaker.http.faulty import FaultyServer

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "breaker"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
# What each client calls a silent server, and a body that breaks off.
TIMEOUT = {
    "httpx_sync.py": "ReadTimeout",
    "httpx_async.py": "ReadTimeout after 0 bytes",
    "aiohttp_client.py": "SocketTimeoutError",
    "requests_session.py": "ReadTimeout",
}
CUT = {
    "httpx_sync.py": "RemoteProtocolError",
    "httpx_async.py": "RemoteProtocolError after 10 bytes",
    "aiohttp_client.py": "ClientPayloadError",
    "requests_session.py": "ChunkedEncodingError",
}


def run(program: str, *urls: str) -> list[str]:
    # A proxy of the machine's would stand between the program and the server of the test.
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / program), *urls], capture_output=True, text=True, timeout=90, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_there_is_an_example_for_every_client() -> None:
    assert set(PROGRAMS) == set(TIMEOUT) == set(CUT)


@pytest.mark.parametrize("program", PROGRAMS)
def test_failures_of_every_kind_open_the_circuit_and_the_host_is_left_alone(program: str, server: FaultyServer) -> None:
    pages = ["ok", "fail", "hang", "cut", "ok"]
    lines = run(program, *[server.url(page) for page in pages])
    assert lines[0] == f"{server.url('ok')}: 1000 bytes"
    assert lines[1] == f"{server.url('fail')}: 503"
    assert lines[2] == f"{server.url('hang')}: {TIMEOUT[program]}"
    assert lines[3] == f"-- {server.host}: closed to open: 3 failures in a row (3 in a row)"
    assert lines[4] == f"{server.url('cut')}: {CUT[program]}"
    assert lines[5].startswith(f"{server.url('ok')}: not asked, retry in ")
    assert lines[6].startswith(f"Circuit {server.host} is open")
    assert server.requests == 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_host_that_limits_is_left_alone_for_as_long_as_it_asks(program: str, server: FaultyServer) -> None:
    lines = run(program, *[server.url("limit")] * 3, server.url("ok"))
    assert lines[:2] == [f"{server.url('limit')}: 429"] * 2
    assert lines[4] == f"{server.url('ok')}: not asked, retry in 120 s"
    assert server.requests == 3


@pytest.mark.parametrize("program", PROGRAMS)
def test_one_host_that_fails_does_not_keep_another_from_being_asked(program: str, server: FaultyServer) -> None:
    with FaultyServer().running() as healthy:
        lines = run(program, *[server.url("fail")] * 3, healthy.url("ok"))
    assert f"{healthy.url('ok')}: 1000 bytes" in lines
