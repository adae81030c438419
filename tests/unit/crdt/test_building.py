"""Building the compiled loops: where it cannot be done it says why, and nothing is left behind."""

from pathlib import Path

import pytest

import hatch_build

SOURCE = Path(hatch_build.SOURCE)


def test_a_file_that_does_not_compile_is_no_failure_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "wrong.c", tmp_path / hatch_build.NAME
    source.write_text("no C")

    assert "error" in hatch_build.build(source, target)
    assert list(tmp_path.iterdir()) == [source]


def test_no_compiler_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "command", lambda source, target: [str(tmp_path / "no-compiler")])

    assert "no-compiler" in hatch_build.build(SOURCE, tmp_path / hatch_build.NAME)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [("os", "name", "nt"), ("sys", "implementation", type("Other", (), {"name": "pypy"}))],
)
def test_elsewhere_it_is_not_tried(
    where: str, name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / hatch_build.NAME
    with monkeypatch.context() as patch:
        patch.setattr(f"hatch_build.{where}", type("Module", (), {name: value, "environ": {}}))
        said = hatch_build.build(SOURCE, target)

    assert said
    assert not target.exists()


def test_it_is_not_built_if_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_PURE", "1")

    assert hatch_build.build(SOURCE, tmp_path / hatch_build.NAME) == "PALAVER_PURE=1"
    assert not list(tmp_path.iterdir())
