"""`check` names what does not follow from the judgments, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaver.review.check import check
from palaver.review.errors import FormatError

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"


def _text(name: str = "EVAL-20260402-133034") -> str:
    return (EXAMPLES / f"{name}.json").read_bytes().decode()


def _changed(change: Callable[[Any], None]) -> list[str]:
    document = json.loads(_text())
    change(document)
    return [difference.field for difference in check(json.dumps(document, indent=2, ensure_ascii=False))]


@pytest.mark.parametrize("name", ["EVAL-20260402-133034", "EVAL-20260402-132144"])
def test_a_published_file_recomputes_without_a_difference(name: str) -> None:
    assert check(_text(name)) == []


def test_a_changed_average_is_named_with_both_values() -> None:
    text = _text().replace('"average_score": 8.47', '"average_score": 8.48')

    (difference,) = check(text)

    assert str(difference) == "rankings.gemini_3_flash.average_score: published 8.48, computed 8.47"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda d: d.update(winner=None), ["winner"]),
        (lambda d: d["winner"].update(score=9), ["winner.score"]),
        (lambda d: d.update(avg_score=7.063), ["avg_score"]),
        (lambda d: d.update(matrix_size=90), ["matrix_size"]),
        (lambda d: d.update(display_date="Apr 03, 2026"), ["display_date"]),
        (lambda d: d["models_used"].reverse(), [f"models_used[{i}].{f}" for i in range(10) for f in ("id", "name")]),
        (lambda d: d["rankings"]["grok_420"].update(rank=2), ["rankings.grok_420.rank"]),
        (lambda d: d["judgments"].append(d["judgments"][0]), ["judgments[88]"]),
        (lambda d: d["judgments"][3].update(judge_key=d["judgments"][3]["respondent_key"]), ["judgments[3].judge_key"]),
        (lambda d: d["judgments"][0].update(weighted_score=8.57), ["judgments[0].weighted_score"]),
        (lambda d: d["judgments"][0].update(brief_justification="x" * 501), ["judgments[0].brief_justification"]),
    ],
)
def test_a_changed_file_is_found_out(change: Callable[[Any], None], fields: list[str]) -> None:
    assert set(fields) <= set(_changed(change))


@pytest.mark.parametrize("text", [_text() + "\n", _text().replace("  ", "\t"), _text().replace('": 7,', '": 7.0,')])
def test_the_same_content_in_another_form_is_a_difference_of_text(text: str) -> None:
    assert [difference.field[:4] for difference in check(text)] == ["text"]


def test_a_file_that_is_no_result_file_is_refused() -> None:
    with pytest.raises(FormatError):
        check("{}")


def test_a_timestamp_that_is_no_date_is_refused_by_name() -> None:
    with pytest.raises(FormatError, match="yesterday"):
        check(_text().replace("2026-04-02T13:30:34.106Z", "yesterday"))
