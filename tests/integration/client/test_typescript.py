"""The TypeScript SDK's own tests, under Node.js, against real servers that they start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.serve.process import serving

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "typescript-client.md"
SDK = ROOT / "clients" / "typescript"


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


def test_the_page_about_it_names_everything_that_is_public() -> None:
    exported = re.findall(r"\b(\w+)(?=,| \})", re.sub(r"\btype |//.*", "", (SDK / "src" / "index.ts").read_text()))
    assert len(exported) > 10
    text = PAGE.read_text()
    assert [name for name in exported if not re.search(rf"\b{name}\b", text)] == []
    for file, interface in (("chat.ts", "Options extends LinkOptions"), ("types.ts", "LinkOptions")):
        _, _, fields = (SDK / "src" / file).read_text().partition(f"export interface {interface} {{")
        names = re.findall(r"^  (\w+)\??:", fields.partition("\n}")[0], re.MULTILINE)
        assert names
        assert [name for name in names if f"`{name}`" not in text] == []


def test_the_program_on_the_page_about_it_prints_what_it_says(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```ts\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with serving("--store", "memory", cwd=tmp_path) as server:
        program = program.replace("palaver-client", f"{SDK}/dist/src/index.js")
        program = program.replace("http://127.0.0.1:8000", server.url)
        (tmp_path / "hello.mjs").write_text(f"{program}chat.close();\n")
        run = subprocess.run(
            ["bash", "-c", f'eval "$({ROOT}/tools/node)" && node --experimental-websocket hello.mjs'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.stdout.splitlines() == ["ada: Hello from TypeScript.", "stored as 1"], run.stderr
