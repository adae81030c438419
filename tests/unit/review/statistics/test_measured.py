"""The measured profile says what it can, and says why it cannot say more."""

import msgspec
import pytest
from hypothesis import given, settings

from palaver.review.ranking import Mark, rank
from palaver.review.statistics.measured import Measured, Subject, measure
from palaver.review.statistics.sheets import Habits
from tests.unit.review.statistics import tables
from tests.unit.review.statistics.tables import FULL, SPARSE


def _measure(name: str) -> Measured:
    return measure(Subject(tables.marks(name), tables.names(name)), resamples=500)


def test_the_measured_profile_leaves_the_published_figures_as_they_are() -> None:
    for name in (FULL, SPARSE):
        document = tables.published(name)
        lines = {line.key: line for line in _measure(name).lines}
        assert {key: (line.score, line.rank) for key, line in lines.items()} == {
            key: (standing.average_score, standing.rank) for key, standing in document.rankings.items()
        }


def test_the_first_place_is_stated_with_those_it_cannot_be_told_from() -> None:
    verdict = _measure(FULL).verdict

    assert verdict.startswith("Gemini 3 Flash Preview is first after correction for severity; it is not separable from")
    assert "Grok 4.20" in verdict
    assert "read the first place with care" in _measure(SPARSE).verdict


def test_a_judges_sheet_has_its_severity_and_habits() -> None:
    habits = {"deepseek_v4": Habits(empty_justifications=3, cuts_shown=5, cuts_seen=1, failed_controls=("cut",))}
    found = measure(Subject(tables.marks(FULL), tables.names(FULL), habits=habits), resamples=100)
    sheets = {sheet.judge: sheet for sheet in found.judges}

    assert max(sheets.values(), key=lambda sheet: sheet.severity or 0.0).judge == "deepseek_v4"
    assert min(sheets.values(), key=lambda sheet: sheet.severity or 0.0).judge == "gpt_5_4"
    assert sheets["deepseek_v4"].suspicious
    assert (sheets["deepseek_v4"].cuts_seen, sheets["deepseek_v4"].empty_justifications) == (1, 3)
    assert all(sheet.tau is not None and sheet.tau > 0 for sheet in sheets.values())


def _square(size: int, score: float = 5.0) -> list[Mark]:
    keys = "abcdefgh"[:size]
    return [Mark(judge, key, score) for judge in keys for key in keys if judge != key]


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ([], "fewer than two judges"),
        ([Mark("a", "b", 7.0)], "fewer than two"),
        ([Mark("a", key, 7.0) for key in "bcdef"], "fewer than two"),
        ([Mark(judge, "z", 7.0) for judge in "bcdef"], "fewer than two"),
        (_square(5), "all marks are the same"),
        (
            [Mark(j, r, float(ord(j) + ord(r) - 190)) for j in "ab" for r in "cd"]
            + [Mark(j, r, float(ord(r) - 96)) for j in "ef" for r in "gh"],
            "no judge connects",
        ),
    ],
    ids=["nothing", "one mark", "one judge", "one answer", "constant", "two groups"],
)
def test_what_cannot_be_compared_is_said_to_be_so(marks: list[Mark], reason: str) -> None:
    found = measure(Subject(marks, {}))

    assert not found.comparable
    assert any(reason in each for each in found.reasons)
    assert [line.rank for line in found.lines] == [place.rank for place in rank(marks)]


@given(tables.ANY_MARKS)
@settings(max_examples=200, deadline=None)
def test_no_marks_raise_and_all_figures_can_be_written(marks: list[Mark]) -> None:
    found = measure(Subject(marks, {}), resamples=20)

    assert found.comparable == (found.panel is not None)
    assert msgspec.json.decode(msgspec.json.encode(found))["verdict"] == found.verdict
    assert len(found.lines) == len({mark.respondent for mark in marks})


def test_missing_marks_could_move_ranks_only_within_the_stated_bounds() -> None:
    lines = {line.key: line for line in _measure(FULL).lines}

    assert lines["grok_420"].rank_if_missing_were_worst == 1
    line = lines["gpt_5_4"]
    assert line.rank_if_missing_were_worst is not None
    assert line.rank_if_missing_were_best is not None
    assert line.rank_if_missing_were_best <= line.rank <= line.rank_if_missing_were_worst
