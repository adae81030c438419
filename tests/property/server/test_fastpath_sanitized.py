"""The fast path under the address and undefined-behaviour sanitizers: it touches nothing that is not its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build
from palaver.server import fastpath

ROOT = Path(hatch_build.__file__).parent
TESTS = ("tests/property/server/test_fastpath.py", "tests/unit/server/test_fastpath.py")


def library(name: str) -> str:
    """Where the compiler has a library of its own; the name alone where it has none."""
    asked = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.skipif(not fastpath.COMPILED or shutil.which("gcc") is None, reason="there is no gcc or no Python.h here")
def test_nothing_undefined_is_done(tmp_path: Path) -> None:
    preloaded = [library("libasan.so"), library("libubsan.so")]
    if not all(Path(one).is_absolute() for one in preloaded):
        pytest.skip("this gcc has no sanitizers")
    shutil.copytree(ROOT / "src", tmp_path / "src")
    extension = hatch_build.FAST_PATH
    target = tmp_path / "src" / extension.folder / extension.name
    sanitizers = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    subprocess.run([*hatch_build.command(extension.sources(), target, "-O1"), *sanitizers], check=True)
    surroundings = {
        "PYTHONPATH": str(tmp_path / "src"),
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps some for good; leaks of ours have a test
        "PYTHONMALLOC": "malloc",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "600", *TESTS],
        cwd=ROOT,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-4_000:]
