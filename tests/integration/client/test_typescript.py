"""The TypeScript SDK's own tests, under Node.js, against real servers that they start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_typescript_sdk_passes_its_tests() -> None:
    sdk = ROOT / "clients" / "typescript"
    assert (sdk / "node_modules").is_dir(), "run `make web` first"
    run = subprocess.run(
        ["bash", "-c", f'eval "$({ROOT}/tools/node)" && npm test'],
        cwd=sdk,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^# pass [1-9]", run.stdout, re.MULTILINE)
    assert re.search(r"^# skipped 0", run.stdout, re.MULTILINE)
