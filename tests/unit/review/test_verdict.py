"""A judge's reply is read strictly: one object in one form, or nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review import blind
from palaver.review.rubric import STANDARD
from palaver.review.verdict import Unreadable, Verdict, parse
from tests.unit.review import made

EVALUATION = made.evaluation()
LABEL = blind.label(EVALUATION.seed, "ada", "bob")
NAMES = [criterion.name for criterion in STANDARD.criteria]
GOOD = made.verdict(EVALUATION, "ada", "bob", dict(zip(NAMES, (9, 8, 7, 6, 5), strict=True)))


@pytest.mark.parametrize("reply", [GOOD, f"\n  {GOOD}\n", f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```"])
def test_the_object_alone_or_in_one_code_fence_is_read(reply: str) -> None:
    assert parse(reply, STANDARD, LABEL) == Verdict((9, 8, 7, 6, 5), True, "Sound.")


def test_scores_are_put_into_the_order_of_the_rubric() -> None:
    found = json.loads(GOOD)
    found["scores"] = dict(reversed(found["scores"].items()))

    verdict = parse(json.dumps(found), STANDARD, LABEL)

    assert isinstance(verdict, Verdict)
    assert verdict.scores == (9, 8, 7, 6, 5)


def _with_score(value: str) -> str:
    return GOOD.replace('"correctness": 9', f'"correctness": {value}')


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "it is empty"),
        ("The answer deserves 9 out of 10.", "does not begin"),
        (f"Here is my verdict: {GOOD}", "does not begin"),
        (f"{GOOD} I hope this helps.", "not one JSON object"),
        (f"{GOOD}\n{GOOD}", "not one JSON object"),
        (f"```json\n{GOOD}\n```\nDone.", "does not begin"),
        (GOOD[:-20], "not one JSON object"),
        (f"[{GOOD}]", "does not begin"),
        (GOOD.replace(LABEL, "QQQQQQ"), '"answer" must be'),
        (GOOD.replace('"ends_properly": true', '"ends_properly": "yes"'), "true or false"),
        (GOOD.replace('"Sound."', "null"), "must be a text"),
        (GOOD.replace('"correctness": 9, ', ""), "exactly the fields"),
        (GOOD.replace('"correctness"', '"accuracy"'), "exactly the fields"),
        (GOOD.replace('"scores"', '"score"'), "exactly answer"),
        (GOOD[:-1] + ', "note": 1}', "exactly answer"),
        (_with_score("11"), "whole number from 0 to 10"),
        (_with_score("-1"), "whole number from 0 to 10"),
        (_with_score("9.0"), "whole number from 0 to 10"),
        (_with_score('"9"'), "whole number from 0 to 10"),
        (_with_score("true"), "whole number from 0 to 10"),
        (_with_score("null"), "whole number from 0 to 10"),
        (_with_score("NaN"), "NaN is no number"),
        (_with_score("9" * 5000), "not a JSON object"),
        (_with_score('1, "correctness": 9'), "given twice"),
        ("{" * 50_000, "not"),
        (GOOD + " " * 200_000 + "x" * 100_001, "longer than"),
    ],
)
def test_anything_else_is_unreadable_and_says_why(reply: str, why: str) -> None:
    found = parse(reply, STANDARD, LABEL)

    assert isinstance(found, Unreadable)
    assert why in found.why


@given(st.text() | st.text('{}[]",:0123456789abscoretruefalse \n`', max_size=200))
def test_no_reply_raises(reply: str) -> None:
    assert isinstance(parse(reply, STANDARD, LABEL), Unreadable)


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="utf-8"))
def test_one_changed_character_never_changes_a_mark_unseen(position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]

    found = parse(changed, STANDARD, LABEL)

    assert isinstance(found, Unreadable) or list(found.scores) == list(json.loads(changed)["scores"].values())
