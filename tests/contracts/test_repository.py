"""What holds for the repository as a whole: nothing in it depends on one machine, and what is declared is used."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
NODE_LOCKS = sorted(path for path in ROOT.glob("**/package-lock.json") if "node_modules" not in path.parts)

# Where packages come from is each machine's business; so are its folders. Split, so that this file passes itself.
_REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted",
    "npm" + "js.",
    "npm" + "mirror",
    "--index" + "-url",
    "find" + "-links ",
)
_FOLDERS = re.compile("(?<![A-Za-z0-9._/-])/(?:wo" + "rk|ro" + "ot|ho" + "me|Us" + "ers)/[a-z]")

IMPORTED_AS = {"pyjwt": "jwt", "prometheus-client": "prometheus_client"}


def tracked() -> list[Path]:
    """Every file of the repository that is text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def test_no_file_names_a_folder_of_one_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if _FOLDERS.search(line) or any(name in line for name in _REGISTRIES)
    ]
    allowed = ("Makefile:",)  # it tells the pinning tool to leave addresses out
    assert [line for line in found if not line.startswith(allowed)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.name for lock in LOCKS])
def test_a_lock_file_pins_every_package_with_hashes_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry and not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z,-]+\])?==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", NODE_LOCKS, ids=[str(lock.parent.relative_to(ROOT)) for lock in NODE_LOCKS])
def test_a_lock_file_of_node_has_hashes_and_names_no_registry(lock: Path) -> None:
    packages = json.loads(lock.read_text())["packages"]
    outside = {name: entry for name, entry in packages.items() if "node_modules/" in name and not entry.get("link")}
    assert outside
    for name, entry in outside.items():
        assert "resolved" not in entry, name
        assert entry.get("inBundle") or entry["integrity"].startswith("sha512-"), name


def imports(folder: Path) -> Iterator[str]:
    """The first names of everything that the Python files under a folder import."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_every_package_that_the_wheel_asks_for_is_imported_by_it() -> None:
    declared = [re.split(r"[\[>=;< ]", text)[0] for text in PROJECT["project"]["dependencies"]]
    found = set(imports(ROOT / "src"))
    assert {IMPORTED_AS.get(name, name) for name in declared} - found == set()


def test_every_file_of_source_says_what_it_is_and_is_short() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"


def test_the_licence_is_the_declared_one() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
