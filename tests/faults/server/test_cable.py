"""The cable is pulled: no FIN, no RST, nothing, for real between two networks of the test's own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_peer_whose_cable_is_pulled_is_gone_in_time_and_one_that_only_reads_stays() -> None:
    if None in map(shutil.which, ("unshare", "nsenter", "ip")):
        pytest.skip("there is no iproute2 or util-linux here")
    networks = ["unshare", "-rn"]
    if subprocess.run([*networks, "unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no network of one's own can be made here")
    command = [*networks, sys.executable, "-m", "tests.faults.server.cable_program"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
