"""Building what is in C: where it cannot be done it says why, and nothing is left behind."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import hatch_build

EXTENSIONS = (hatch_build.JOINING, hatch_build.FAST_PATH)
SOURCES = hatch_build.FAST_PATH.sources()
NAME = hatch_build.FAST_PATH.name


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.folder)
def test_each_compiles_without_a_warning(extension: hatch_build.Extension, tmp_path: Path) -> None:
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists() or shutil.which("cc") is None:
        pytest.skip("there is no C compiler or no Python.h here")
    command = hatch_build.command(extension.sources(), tmp_path / extension.name, extension.level)

    assert extension.sources()
    made = subprocess.run([*command, "-Werror"], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")


def test_a_file_that_does_not_compile_is_no_failure_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "wrong.c", tmp_path / NAME
    source.write_text("no C")

    assert "error" in hatch_build.build([source], target)
    assert list(tmp_path.iterdir()) == [source]


def test_no_compiler_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "command", lambda *_: [str(tmp_path / "no-compiler")])

    assert "no-compiler" in hatch_build.build(SOURCES, tmp_path / NAME)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [("os", "name", "nt"), ("sys", "implementation", type("Other", (), {"name": "pypy"}))],
)
def test_elsewhere_it_is_not_tried(
    where: str, name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / NAME
    with monkeypatch.context() as patch:
        patch.setattr(f"hatch_build.{where}", type("Module", (), {name: value, "environ": {}}))
        said = hatch_build.build(SOURCES, target)

    assert said
    assert not target.exists()


def test_it_is_not_built_if_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_PURE", "1")

    assert hatch_build.build(SOURCES, tmp_path / NAME) == "PALAVER_PURE=1"
    assert not list(tmp_path.iterdir())
