"""`palaver review run` and `resume`, and `palaver models check`, against a stub in a process of its own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from palaver.cli.main import main
from palaver.review.folder import Folder, create
from palaver.review.matrix import Matrix
from tests.unit.review import folders, stubs

KEYS = ("ada", "bob", "cyd", "dee")
BANK = """[[question]]
id = "Q-1"
category = "code"
text = "What is a lease?"
[[question]]
id = "Q-2"
text = "And a fence?"
"""
RUBRIC = """id = "two"
[[criteria]]
name = "truth"
weight = 70
description = "Is it true?"
[[criteria]]
name = "brevity"
weight = 30
description = "Is it short?"
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stubs.Stub]:
    script = "".join(f'[[model]]\nid = "{key}"\nquality = {5 + place}\n' for place, key in enumerate(KEYS))
    script += '[[model]]\nid = "lost"\n[[model.faults]]\nkind = "status"\nstatus = 401\n'
    with stubs.running(tmp_path_factory.mktemp("stub"), script) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path, stub: stubs.Stub) -> Path:
    """A folder with questions, models and a rubric."""
    (tmp_path / "questions.toml").write_text(BANK, "utf-8")
    (tmp_path / "rubric.toml").write_text(RUBRIC, "utf-8")
    models = f'[[provider]]\nname = "stub"\nbase_url = "{stub.url}"\n'
    models += "".join(
        f'[[model]]\nkey = "{key}"\nname = "{key.title()}"\nprovider = "stub"\nid = "{key}"\n'
        "price = { completion = 2.0 }\n"
        for key in KEYS
    )
    (tmp_path / "models.toml").write_text(models, "utf-8")
    return tmp_path


def _palaver(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _run(files: Path, *options: str | Path) -> Result:
    given = ("--models", files / "models.toml", "--out", files / "evaluations", "--seed", "secret")
    return _palaver("review", "run", files / "questions.toml", *given, *options)


def _matrices(root: Path) -> list[Matrix]:
    return [Folder(path, "reader", lambda: 1).matrix() for path in sorted(root.iterdir())]


def test_a_batch_makes_an_evaluation_of_each_question_and_says_what_came_of_it(files: Path) -> None:
    result = _run(files)

    assert result.exit_code == 0, result.output
    assert result.output.count("final, 12 of 12 cells, Dee won with") == 2
    assert [matrix.evaluation.question.id for matrix in _matrices(files / "evaluations")] == ["Q-1", "Q-2"]
    assert "2 questions" in _palaver("review", "stats", files / "evaluations").output


def test_one_question_a_part_of_the_panel_and_a_rubric_of_ones_own(files: Path) -> None:
    options = ("--question", "Q-2", "--member", "ada", "--member", "bob", "--member", "cyd")

    result = _run(files, *options, "--rubric", files / "rubric.toml")

    assert result.exit_code == 0, result.output
    (matrix,) = _matrices(files / "evaluations")
    assert [member.key for member in matrix.evaluation.panel] == ["ada", "bob", "cyd"]
    assert [criterion.name for criterion in matrix.evaluation.rubric.criteria] == ["truth", "brevity"]
    assert len(matrix.scored) == 6


def test_in_a_head_to_head_two_answer_and_the_rest_judges(files: Path) -> None:
    result = _run(files, "--question", "Q-1", "--head-to-head", "ada", "dee")

    (matrix,) = _matrices(files / "evaluations")
    assert set(matrix.answers) == {"ada", "dee"}
    assert {(cell.judge, cell.subject) for cell in matrix.scored} == {
        (judge, key) for judge in ("bob", "cyd") for key in ("ada", "dee")
    }
    assert "final, 4 of 4 cells, Dee won" in result.output


def test_a_head_to_head_with_oneself_is_refused(files: Path) -> None:
    assert "two different members" in _run(files, "--head-to-head", "ada", "ada").output


def test_a_spending_cap_stops_the_run_and_resume_says_what_is_open(files: Path) -> None:
    result = _run(files, "--question", "Q-1", "--spend", "0.002", "--answer-tokens", "400", "--judgment-tokens", "100")

    assert result.exit_code == 0, result.output
    (matrix,) = _matrices(files / "evaluations")
    assert 0 < matrix.nanodollars <= 2_000_000
    assert "nobody won" in result.output


def test_machines_that_serve_different_models_do_their_parts_and_merge(files: Path, stub: stubs.Stub) -> None:
    (files / "here").mkdir()
    (files / "there").mkdir()
    here = folders.kept(files / "here", only=[])
    there = files / "there" / here.name
    shutil.copytree(here, there)
    parts = {here: ("ada", "bob"), there: ("cyd", "dee")}
    before = _billed(stub)
    for _ in range(2):  # answers first; once they are merged, the judgments
        for folder, members in parts.items():
            options = [each for member in members for each in ("--member", member)]
            done = _palaver("review", "resume", folder, "--models", files / "models.toml", *options)
            assert done.exit_code == 0, done.output
        for folder, other in ((here, there), (there, here)):
            assert _palaver("review", "merge", folder, other).exit_code == 0

    assert folders.ledger_bytes(here) == folders.ledger_bytes(there)
    assert Folder(here, "reader", lambda: 1).matrix().state == "final"
    assert _billed(stub) - before == 4 + 12


def test_a_machine_needs_no_keys_but_those_of_its_own_models(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    (files / "one").mkdir()
    folder, models = folders.kept(files / "one", only=[]), files / "models.toml"
    text = models.read_text("utf-8").replace('provider = "stub"\nid = "dee"', 'provider = "paid"\nid = "dee"')
    models.write_text(
        text + '[[provider]]\nname = "paid"\nbase_url = "http://127.0.0.1:9"\nkey = "NO_SUCH_KEY"\n', "utf-8"
    )
    evaluation = Folder(folder, "reader", lambda: 1).matrix().evaluation
    panel = tuple(
        msgspec.structs.replace(each, provider="paid" if each.key == "dee" else "stub") for each in evaluation.panel
    )
    other = create(files / "two", msgspec.structs.replace(evaluation, panel=panel), "author", lambda: 1_000)
    other.close()
    again = ("review", "resume", other.path, "--models", models)

    assert "NO_SUCH_KEY" in _palaver(*again).output
    assert _palaver(*again, "--member", "ada").exit_code == 0
    assert Folder(other.path, "reader", lambda: 1).matrix().answers["ada"].status == "complete"


def _billed(stub: stubs.Stub) -> int:
    return sum(int(account["billed"]) for account in stub.bill().values())


def test_a_model_that_is_not_on_the_panel_or_not_in_the_file_is_named(files: Path) -> None:
    _run(files, "--question", "Q-1", "--member", "ada", "--member", "bob")
    again = ("review", "resume", files / "evaluations", "--models", files / "models.toml")
    assert "has no zoe on its panel" in _palaver(*again, "--member", "zoe").output
    models = files / "models.toml"
    models.write_text(models.read_text("utf-8").replace('key = "ada"', 'key = "eva"'), "utf-8")

    assert "has ada on its panel; the models file does not" in _palaver(*again).output


def test_failed_calls_are_tried_again_only_when_asked(files: Path, stub: stubs.Stub) -> None:
    models = files / "models.toml"
    working = models.read_text("utf-8")
    models.write_text(working.replace('id = "ada"', 'id = "lost"'), "utf-8")
    assert "6 of 9 cells" in _run(files, "--question", "Q-1").output
    models.write_text(working, "utf-8")

    again = ("review", "resume", files / "evaluations", "--models", models)
    assert "6 of 9 cells" in _palaver(*again).output
    assert "12 of 12 cells" in _palaver(*again, "--again").output


@pytest.mark.parametrize(
    ("bank", "why"),
    [
        ("", "missing required field"),
        ("[[question]]\nid = 'a b'\ntext = 'x'", "letters, digits"),
        ("[", "cannot be read"),
    ],
)
def test_a_bank_that_cannot_be_used_is_refused_with_the_reason(files: Path, bank: str, why: str) -> None:
    (files / "questions.toml").write_text(bank, "utf-8")

    result = _run(files)

    assert result.exit_code == 1
    assert why in result.output
    assert not (files / "evaluations").exists()


def test_models_check_names_what_is_wrong_with_each_and_fails(files: Path) -> None:
    models = files / "models.toml"
    assert _palaver("models", "check", models).output.count(": ready") == 4
    models.write_text(models.read_text("utf-8").replace('id = "bob"', 'id = "lost"'), "utf-8")

    result = _palaver("models", "check", models)

    assert result.exit_code == 1
    assert "bob: unauthorised (the key is missing or not accepted (401, 403)) 401" in result.output
    assert result.output.count(": ready") == 3


def test_models_check_names_the_variable_of_a_missing_key(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    models = files / "models.toml"
    models.write_text(
        models.read_text("utf-8").replace('name = "stub"\n', 'name = "stub"\nkey = "NO_SUCH_KEY"\n', 1), "utf-8"
    )

    result = _palaver("models", "check", models)

    assert result.exit_code == 1
    assert "environment variable NO_SUCH_KEY" in result.output


def test_every_answer_of_the_stub_says_that_it_is_one(files: Path) -> None:
    _run(files)

    for matrix in _matrices(files / "evaluations"):
        assert all("stub answer: no model wrote it" in answer.text for answer in matrix.answers.values())
        assert all("stub" in cell.grade.justification for cell in matrix.scored if cell.grade)
    exported = _palaver(
        "review", "report", next((files / "evaluations").iterdir()), "--format", "json", "--resamples", "9"
    )
    assert "This is a stub" in json.dumps(json.loads(exported.output))
