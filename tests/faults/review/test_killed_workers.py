"""Workers that are killed with SIGKILL: nothing is lost, nothing is paid for twice but the calls under way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palaver.review.folder import Folder, create
from palaver.review.published import encode
from palaver.review.records import CONTROLS, Evaluation
from palaver.review.results import publish
from tests.unit.review import made, stubs

KEYS = tuple(f"m{n}" for n in range(10))
EVALUATION = made.evaluation(KEYS, controls=CONTROLS)
CALLS = 10 + 90 + 30
SCRIPT = "".join(
    f'[[model]]\nid = "{key}"\nquality = {4 + n / 2}\nlatency_seconds = 0.03\n' for n, key in enumerate(KEYS)
)


@contextmanager
def _worker(folder: Path, models: Path, in_flight: int) -> Iterator[subprocess.Popen[bytes]]:
    command: list[str | Path] = [sys.executable, "-m", "palaver", "review", "resume", folder, "--models", models]
    with subprocess.Popen([*command, "--in-flight", str(in_flight)], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _models(path: Path, stub: stubs.Stub) -> Path:
    text = f'[[provider]]\nname = "stub"\nbase_url = "{stub.url}"\nin_flight = 20\n'
    text += "".join(f'[[model]]\nkey = "{key}"\nprovider = "stub"\nid = "{key}"\n' for key in KEYS)
    path.write_text(text, "utf-8")
    return path


def _evaluation(root: Path, evaluation: Evaluation = EVALUATION) -> Path:
    folder = create(root, evaluation, "author", lambda: 1_000)
    folder.close()
    return folder.path


def _journal_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "journal").glob("*.log"))


def _wait_for_lines(folder: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while _journal_lines(folder) < lines:
        assert time.monotonic() < deadline, "the workers stopped writing"
        time.sleep(0.002)


def _results(folder: Path) -> str:
    return encode(publish(Folder(folder, "reader", lambda: 1).matrix()))


def _billed(stub: stubs.Stub) -> int:
    return sum(int(account["calls"]) for account in stub.bill().values())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The results of a run that nobody disturbs."""
    root = tmp_path_factory.mktemp("undisturbed")
    with stubs.running(root, SCRIPT) as stub:
        folder = _evaluation(root)
        with _worker(folder, _models(root / "models.toml", stub), 20) as worker:
            assert worker.wait(90) == 0
        assert _billed(stub) == CALLS
    return _results(folder)


@pytest.mark.parametrize("lines", [2, 9, 40, 125])
def test_killed_at_any_moment_resume_pays_only_for_open_calls(tmp_path: Path, undisturbed: str, lines: int) -> None:
    in_flight = 8
    with stubs.running(tmp_path, SCRIPT) as stub:
        folder, models = _evaluation(tmp_path), _models(tmp_path / "models.toml", stub)
        with _worker(folder, models, in_flight) as worker:
            _wait_for_lines(folder, lines)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait(40)
        with _worker(folder, models, in_flight) as worker:
            assert worker.wait(90) == 0

        assert CALLS <= _billed(stub) <= CALLS + in_flight
    assert _results(folder) == undisturbed


def test_three_workers_of_which_one_is_killed_make_every_cell_once(tmp_path: Path, undisturbed: str) -> None:
    in_flight = 5
    with stubs.running(tmp_path, SCRIPT) as stub:
        folder, models = _evaluation(tmp_path), _models(tmp_path / "models.toml", stub)
        with (
            _worker(folder, models, in_flight) as one,
            _worker(folder, models, in_flight) as two,
            _worker(folder, models, in_flight) as three,
        ):
            _wait_for_lines(folder, 30)
            os.kill(two.pid, signal.SIGKILL)
            two.wait(40)
            assert one.wait(90) == three.wait(90) == 0

        assert CALLS <= _billed(stub) <= CALLS + in_flight
    matrix = Folder(folder, "reader", lambda: 1).matrix()
    assert matrix.state == "final"
    assert len(matrix.scored) == 90
    assert _results(folder) == undisturbed
