"""The data set holds every fact once, in an order that depends on nothing but the facts, and explains its fields."""

import json
import re
from pathlib import Path

import pytest

from palaver.review import dataset, shelf
from palaver.review.shelf import Entry
from tests.unit.review import dossiers, folders

SEED = dossiers.EXAMPLES / "EVAL-20260402-133034.json"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    root = tmp_path_factory.mktemp("evaluations")
    paths = [folders.kept(root, number) for number in range(2)]
    eventful = Entry(Path("eventful"), dossiers.eventful())
    return [*shelf.read_all([*paths, SEED]), eventful]


def _lines(entries: list[Entry]) -> list[dict[str, object]]:
    return [json.loads(line) for line in dataset.lines(entries)]


def test_the_order_in_which_evaluations_are_given_does_not_matter(entries: list[Entry]) -> None:
    different = [entry for entry in entries if entry.path.name != "eventful"]

    assert "".join(dataset.lines(different)) == "".join(dataset.lines(different[::-1]))


def test_every_field_of_every_line_is_in_the_datasheet(entries: list[Entry]) -> None:
    for line in _lines(entries):
        kind = str(line["kind"])
        documented = {name for names in dataset.FIELDS[kind] for name in re.split(r", ", names)}
        assert set(line) - {"kind", "evaluation"} <= documented, kind


def test_missing_marks_are_lines_with_a_reason_and_no_score(entries: list[Entry]) -> None:
    judgments = [line for line in _lines(entries[-1:]) if line["kind"] == "judgment"]

    missing = [line for line in judgments if line["score"] is None]
    assert len(judgments) == 20
    assert sorted(str(line["reason"]) for line in missing) == ["answer refused"] * 4 + ["it is empty"]
    assert not any(line["judge"] == line["respondent"] for line in judgments)


def test_controls_and_votes_are_kinds_of_their_own(entries: list[Entry]) -> None:
    lines = _lines(entries[-1:])

    assert {line["control"] for line in lines if line["kind"] == "control"} == {"cut", "duplicate", "injected"}
    votes = [(line["person"], line["respondent"], line["score"]) for line in lines if line["kind"] == "vote"]
    assert votes == [("ann", "ada", 4), ("ann", "eve", 9), ("ben", "ada", 3), ("ben", "bob", 6)], (
        "the latest vote counts"
    )


def test_an_answer_is_there_as_it_is_with_the_parts_it_was_joined_from(entries: list[Entry]) -> None:
    (bob,) = (line for line in _lines(entries[-1:]) if line["kind"] == "answer" and line["member"] == "bob")

    matrix = entries[-1].matrix
    assert matrix is not None
    assert bob["text"] == matrix.answers["bob"].text
    assert bob["status"] == "continued"
    assert isinstance(bob["parts"], list)
    assert [part["finish"] for part in bob["parts"]] == ["length", "stop"]


def test_the_winner_is_a_key(entries: list[Entry]) -> None:
    winners = {line["evaluation"]: line["winner"] for line in _lines(entries) if line["kind"] == "evaluation"}

    assert winners[SEED.stem] == "grok_420"
    assert winners[folders.drawn_up(0).id] == "dee"


def test_the_datasheet_names_the_digest_of_exactly_these_lines(entries: list[Entry]) -> None:
    content = "".join(dataset.lines(entries[:1]))

    sheet, other = (
        dataset.datasheet(entries[:1], content),
        dataset.datasheet(entries[:1], content + '{"kind": "vote"}\n'),
    )

    assert sheet != other
    assert "evaluation 1, judgment 12" in sheet
