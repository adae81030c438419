"""Disks that are full, broken or read-only, for real: small file systems of the test's own, in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "tests.faults.log_program"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def on_own_disk(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script where it may mount file systems that nobody else sees."""
    unshare = shutil.which("unshare")
    if unshare is None or run([unshare, "-rm", "true"]).returncode != 0:
        pytest.skip("no mount namespaces here")
    return run([unshare, "-rm", "bash", "-euc", script, "bash", str(directory), *PROGRAM])


@pytest.mark.slow
def test_a_full_disk_refuses_serves_reads_and_recovers_without_a_restart(tmp_path: Path) -> None:
    done = on_own_disk('disk=$1; shift; mount -t tmpfs -o size=2m none "$disk"; "$@" full "$disk"', tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_disk_with_errors_refuses_serves_reads_and_recovers_without_a_restart(tmp_path: Path) -> None:
    done = run([*PROGRAM, "broken", str(tmp_path)])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("exists", [False, True])
def test_a_read_only_disk_is_refused_with_what_to_do(tmp_path: Path, exists: bool) -> None:
    make = '"$@" full "$disk"; ' if exists else ""
    script = f'disk=$1; shift; mount -t tmpfs -o size=2m none "$disk"; {make}mount -o remount,ro "$disk"; '
    done = on_own_disk(script + '"$@" readonly "$disk/store"', tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("StoreUnusableError Cannot keep messages in")
    assert "read-only" in done.stdout.lower()


def test_a_full_disk_is_told_at_the_start(tmp_path: Path) -> None:
    script = (
        'disk=$1; shift; mount -t tmpfs -o size=2m none "$disk"; cat /dev/zero 2>/dev/null > "$disk/ballast" || true; '
    )
    done = on_own_disk(script + '"$@" readonly "$disk/store"', tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("StoreUnusableError Cannot keep messages in")
    assert "No space left" in done.stdout or "full" in done.stdout
