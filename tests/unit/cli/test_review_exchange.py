"""`palaver review merge, import, export`: partial runs unite to equal bytes, published files stay as they are."""

import json
from itertools import permutations
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palaver.cli.main import main
from palaver.review.records import Grade
from tests.unit.review import folders

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
SEED, SPARSE = EXAMPLES / "EVAL-20260402-133034.json", EXAMPLES / "EVAL-20260402-132144.json"


def _palaver(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["review", *map(str, arguments)])


def _partial(root: Path, machine: int) -> Path:
    """What one of three machines knows: all answers, and a third of the marks."""
    found = folders.records(folders.drawn_up())[1:]
    answers = [record for record in found if not isinstance(record, Grade)]
    marks = [record for record in found if isinstance(record, Grade)]
    (root / str(machine)).mkdir(parents=True)
    return folders.kept(root / str(machine), only=[*answers, *marks[machine::3]])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_partial_runs_merge_in_any_order_to_the_same_bytes(tmp_path: Path, order: tuple[int, ...]) -> None:
    parts = [_partial(tmp_path, machine) for machine in range(3)]
    into, *others = (parts[machine] for machine in order)

    result = _palaver("merge", into, *others, *others)

    assert result.exit_code == 0, result.output
    assert "final, 12 of 12 cells" in result.output
    assert (into / "results-1.json").read_bytes() == _expected(tmp_path / "whole")
    united = folders.ledger_bytes(into)
    for other in others:
        _palaver("merge", other, into)
        assert folders.ledger_bytes(other) == united


def _expected(root: Path) -> bytes:
    root.mkdir()
    whole = folders.kept(root)
    assert _palaver("export", whole, "--as", "results", "--out", root / "out").exit_code == 0
    return (root / "out" / f"{whole.name}.json").read_bytes()


def test_a_ledger_is_exported_imported_and_merged_without_a_difference(tmp_path: Path) -> None:
    parts = [_partial(tmp_path / "a", machine) for machine in range(2)]
    for number, part in enumerate(parts):
        _palaver("export", part, "--as", "ledger", "--out", tmp_path / str(number))
    files = [tmp_path / str(number) / f"{parts[0].name}.ledger" for number in range(2)]

    result = _palaver("import", *files, "--out", tmp_path / "there")

    assert result.exit_code == 0, result.output
    _palaver("merge", parts[0], files[1])
    there = tmp_path / "there" / parts[0].name
    assert folders.ledger_bytes(there) == folders.ledger_bytes(parts[0])


def test_evaluations_do_not_mix(tmp_path: Path) -> None:
    one, other = folders.kept(tmp_path, 1), folders.kept(tmp_path, 2)
    before = folders.ledger_bytes(one)

    result = _palaver("merge", one, other)

    assert result.exit_code == 1
    assert "different evaluations" in result.output
    assert folders.ledger_bytes(one) == before


def test_merging_something_else_is_refused(tmp_path: Path) -> None:
    one = folders.kept(tmp_path, 1)
    (tmp_path / "empty").mkdir()

    assert "no evaluation of ours" in _palaver("merge", one, tmp_path / "empty").output
    assert _palaver("merge", one, SEED).exit_code == 1


def test_a_published_file_is_imported_byte_for_byte_and_used_like_our_own(tmp_path: Path) -> None:
    result = _palaver("import", SEED, SPARSE, "--out", tmp_path)

    assert result.output.count("every figure recomputes") == 2
    assert (tmp_path / SEED.stem / "published.json").read_bytes() == SEED.read_bytes()
    assert "imported, 88 cells, Grok 4.20 won with 8.49" in _palaver("status", tmp_path).output
    assert "all (2 questions)" in _palaver("stats", tmp_path).output
    _palaver("export", tmp_path, "--as", "results", "--out", tmp_path / "out")
    assert (tmp_path / "out" / SEED.name).read_bytes() == SEED.read_bytes()


def test_importing_twice_changes_nothing_and_another_with_the_same_id_is_refused(tmp_path: Path) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(SEED.read_text("utf-8").replace('"avg_score": 7.065', '"avg_score": 7.063'), "utf-8")
    _palaver("import", SEED, "--out", tmp_path)

    assert _palaver("import", SEED, "--out", tmp_path).exit_code == 0
    assert "another evaluation with this id" in _palaver("import", changed, "--out", tmp_path).output
    assert (tmp_path / SEED.stem / "published.json").read_bytes() == SEED.read_bytes()


def test_a_file_that_does_not_recompute_is_imported_with_its_differences_named(tmp_path: Path) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(SEED.read_text("utf-8").replace('"avg_score": 7.065', '"avg_score": 7.063'), "utf-8")

    assert "avg_score: published 7.063, computed 7.065" in _palaver("import", changed, "--out", tmp_path).output


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b"])
def test_an_id_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(SEED.read_text("utf-8").replace(SEED.stem, name), "utf-8")

    result = _palaver("import", changed, "--out", tmp_path / "deep" / "out")

    assert result.exit_code == 1
    assert "cannot be the name of a folder" in result.output
    assert not (tmp_path / "deep").exists()


def test_a_data_set_has_a_line_for_everything_and_a_datasheet_that_names_its_digest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folders.kept(tmp_path / "in", 1)
    result = _palaver("export", tmp_path / "in", SEED, "--out", tmp_path / "out")

    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "out" / "dataset.jsonl").read_text("utf-8").splitlines()]
    kinds = [line["kind"] for line in lines]
    assert (kinds.count("evaluation"), kinds.count("answer"), kinds.count("judgment")) == (2, 14, 102)
    sheet = (tmp_path / "out" / "DATASHEET.md").read_text("utf-8")
    assert "Evaluations: 2" in sheet
    assert "cite as: The Multivac" in sheet


def test_neither_seed_nor_raw_replies_are_in_a_data_set(tmp_path: Path) -> None:
    _palaver("export", folders.kept(tmp_path, 1), "--out", tmp_path / "out")

    text = (tmp_path / "out" / "dataset.jsonl").read_text("utf-8")
    assert "secret" not in text
    assert '"raw"' not in text
