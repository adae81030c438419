"""Reading a judge's reply: one JSON object in one form, or nothing.

It never searches a reply for something that looks like numbers, so a verdict that an answer brought along and the judge
merely quotes cannot count. It does not judge whether the scores are sensible.

Invariant: `parse` returns a verdict only if the whole reply, apart from white space and one enclosing code fence, is
the object that was asked for, under the label that was asked about.
"""

import json
import re
from dataclasses import dataclass

from palaver.review.records import Rubric
from palaver.review.rubric import HIGHEST

REPLY_CHARACTERS = 100_000
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(?P<body>.*)\n```", re.DOTALL)
_FIELDS = frozenset({"answer", "ends_properly", "scores", "justification"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's marks in the rubric's order, and what it says about them."""

    scores: tuple[int, ...]
    ends_properly: bool
    justification: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a reply is no verdict, in words that the judge can act upon."""

    why: str


class _Refused(Exception):  # noqa: N818 - control flow inside this module, never seen outside
    pass


def parse(reply: str, rubric: Rubric, label: str) -> Verdict | Unreadable:
    """Read a reply. Never raises for what a reply contains."""
    try:
        return _verdict(_object(reply), rubric, label)
    except _Refused as refused:
        return Unreadable(str(refused))


def _object(reply: str) -> dict[str, object]:
    text = reply.strip()
    if not text:
        raise _Refused("it is empty")
    if len(text) > REPLY_CHARACTERS:
        raise _Refused(f"it is longer than {REPLY_CHARACTERS} characters")
    fenced = _FENCED.fullmatch(text)
    body = fenced["body"].strip() if fenced else text
    if not body.startswith("{"):
        raise _Refused("it does not begin with the JSON object")
    try:
        found = json.loads(body, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _Refused(f"it is not one JSON object ({error.msg} at character {error.pos})") from None
    except (RecursionError, ValueError):
        # ValueError: an integer of more digits than Python converts. Both come from hostile input only.
        raise _Refused("it is not a JSON object of the form that was given") from None
    assert isinstance(found, dict)
    return found


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a field is given twice")
    return found


def _no_constant(name: str) -> object:
    raise _Refused(f"{name} is no number")


def _verdict(found: dict[str, object], rubric: Rubric, label: str) -> Verdict:
    if found.keys() != _FIELDS:
        raise _Refused(f"its fields must be exactly {', '.join(sorted(_FIELDS))}")
    if found["answer"] != label:
        raise _Refused(f'"answer" must be "{label}"')
    ends_properly, scores, justification = found["ends_properly"], found["scores"], found["justification"]
    if not isinstance(ends_properly, bool):
        raise _Refused('"ends_properly" must be true or false')
    if not isinstance(justification, str):
        raise _Refused('"justification" must be a text')
    names = [criterion.name for criterion in rubric.criteria]
    if not isinstance(scores, dict) or scores.keys() != set(names):
        raise _Refused(f'"scores" must have exactly the fields {", ".join(names)}')
    return Verdict(tuple(_score(name, scores[name]) for name in names), ends_properly, justification)


def _score(name: str, value: object) -> int:
    # bool is an int to Python, and 7.0 is not a whole number to JSON readers elsewhere.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST:
        raise _Refused(f'"{name}" must be a whole number from 0 to {HIGHEST}')
    return value
