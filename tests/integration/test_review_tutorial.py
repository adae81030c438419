"""The tutorial of the review, run from its own text: every command, and every line that it promises."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "review-without-keys.md").read_text("utf-8")
_COMMAND = re.compile(r"^    palaver (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PORT = "8099"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _said(line: str, output: str) -> bool:
    """Whether a promised line is in an output; an ellipsis stands for anything."""
    parts = (re.escape(part.strip()) for part in _plain(line).split("…"))
    return re.search(r"\s*.*?".join(parts), _plain(output)) is not None


@pytest.mark.slow
@pytest.mark.timeout(240)  # thirteen processes, one after another
def test_every_command_of_the_tutorial_runs_and_says_what_the_page_promises(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    port = str(free_port())
    models = tmp_path / "examples" / "review" / "models.toml"
    models.write_text(models.read_text("utf-8").replace(_PORT, port), "utf-8")
    commands = _COMMAND.findall(PAGE)
    assert len(commands) == 13
    stub, *rest = commands
    palaver = [sys.executable, "-m", "palaver"]
    outputs = []
    with subprocess.Popen(
        [*palaver, *stub.split(), "--port", port], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            outputs.append(process.stdout.readline().replace(port, _PORT))
            for command in rest:
                done = subprocess.run(
                    [*palaver, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
                )
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                outputs.append(done.stdout)
        finally:
            process.terminate()

    together = "\n".join(outputs)
    promised = [
        line
        for block in re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(promised) >= 12
    assert [line for line in promised if not _said(line, together)] == []
    board = (tmp_path / "board.html").read_text("utf-8")
    assert "Careful One" in board
    continued = (tmp_path / "dataset" / "dataset.jsonl").read_text("utf-8")
    assert '"member":"long","status":"continued"' in continued
