"""Dossiers that tests make up: a run with everything that can happen in it, and the published evaluations."""

from pathlib import Path

import msgspec

from palaver.review import profile
from palaver.review.matrix import Matrix
from palaver.review.profile import Dossier
from palaver.review.published import decode
from palaver.review.records import CONTROLS, Grade, Record, Vote
from tests.unit.review import made

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
KEYS = ("ada", "bob", "cyd", "dee", "eve")
HOSTILE = "</pre><script>alert(1)</script> & | *bold* =1+1"


def eventful() -> Matrix:
    """Ada is cut, Bob was continued, Cyd refused; Dee's verdict on Ada cannot be read; Eve writes hostile texts."""
    drawn_up = made.evaluation(KEYS, controls=CONTROLS)
    texts = {key: f"{key}: {made.PASSAGE * 3}" for key in KEYS}
    texts["eve"] += HOSTILE
    first = made.part("bob", "bob: first half of it, ", finish="length")
    second = made.part("bob", texts["bob"], after=first)
    ada = [made.part("ada", texts["ada"], finish="length")]
    for _ in range(drawn_up.limits.continuations):
        ada.append(made.part("ada", " and on", finish="length", after=ada[-1]))
    records: list[Record] = [*ada, first, second, made.part("dee", texts["dee"]), made.part("eve", texts["eve"])]
    records.append(made.part("cyd", finish="refused", failure="refused"))
    answers = made.matrix(drawn_up, *records).answers
    for row, judge in enumerate(KEYS):
        for column, key in enumerate(KEYS):
            if judge != key and key != "cyd" and (judge, key) != ("dee", "ada"):
                marks = (5 + column % 4, 6, 7, min(10, 4 + row + column), 8)
                judged = made.grade(judge, key, answers[key].text, marks, ends_properly=key != "ada")
                records.append(_said(judged, HOSTILE if judge == "eve" else "Sound."))
    unreadable = (made.grade("dee", "ada", answers["ada"].text, outcome="unparseable", failure="it is empty", repair=r)
                  for r in (False, True))  # fmt: skip
    votes = [
        Vote(person=who, respondent=key, score=mark, replica="here", stamp=stamp)
        for stamp, (who, key, mark) in enumerate(
            [("ann", "ada", 2), ("ann", "eve", 9), ("ben", "ada", 3), ("ben", "bob", 6), ("ann", "ada", 4)]
        )
    ]
    return made.matrix(drawn_up, *records, *unreadable, *votes)


def _said(grade: Grade, text: str) -> Grade:
    return msgspec.structs.replace(grade, justification=text)


def of_eventful() -> Dossier:
    """The dossier of that run."""
    return profile.of_matrix(eventful(), resamples=200)


def of_seed(name: str = "EVAL-20260402-133034") -> Dossier:
    """The dossier of a published evaluation."""
    return profile.of_published(decode((EXAMPLES / f"{name}.json").read_bytes()), resamples=200)
