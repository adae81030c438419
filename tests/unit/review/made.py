"""Evaluations, answers and marks that tests make up."""

import json
from collections.abc import Mapping, Sequence

from palaver.review import blind
from palaver.review.matrix import Matrix, Records, derive
from palaver.review.records import (
    CONTROLS,
    ControlKind,
    Evaluation,
    Finish,
    Grade,
    Limits,
    Member,
    Outcome,
    Part,
    Question,
    Record,
    Spent,
    digest,
)  # fmt: skip
from palaver.review.rubric import STANDARD

PASSAGE = "A lease ends by itself. Nobody who was asleep may write after it ended, and the fence sees to that. "


def member(key: str, *, answers: bool = True, judges: bool = True) -> Member:
    """A model called by its key."""
    return Member(key=key, name=key.title(), provider="stub", vendor="none", model=key, answers=answers, judges=judges)


def evaluation(
    keys: Sequence[str] = ("ada", "bob", "cyd"),
    *,
    limits: Limits | None = None,
    controls: tuple[ControlKind, ...] = (),
    panel: tuple[Member, ...] | None = None,
) -> Evaluation:
    """An evaluation of these members, without controls unless asked for."""
    return Evaluation(
        id="EVAL-20260101-000000",
        question=Question(id="Q-1", text="What is a lease?", category="code"),
        panel=tuple(member(key) for key in keys) if panel is None else panel,
        rubric=STANDARD,
        seed="secret",
        created="2026-01-01T00:00:00.000Z",
        version="test",
        limits=Limits() if limits is None else limits,
        controls=controls,
    )


def part(
    key: str,
    text: str = "",
    *,
    finish: Finish = "stop",
    after: Part | None = None,
    failure: str | None = None,
    tokens: int = 10,
    stamp: int = 1,
    replica: str = "here",
) -> Part:
    """One part of an answer; the first one unless it continues another."""
    return Part(
        member=key, index=0 if after is None else after.index + 1, previous="" if after is None else digest(after),
        text=text, finish=finish, failure=failure, spent=Spent(completion_tokens=tokens), stamp=stamp, replica=replica,
    )  # fmt: skip


def grade(
    judge: str,
    subject: str,
    text: str,
    scores: tuple[int, ...] | None = (7, 7, 7, 7, 7),
    *,
    outcome: Outcome | None = None,
    failure: str | None = None,
    repair: bool = False,
    ends_properly: bool = True,
    stamp: int = 1,
    replica: str = "here",
) -> Grade:
    """One judgment of a text."""
    found: Outcome = outcome or ("failed" if scores is None else "scored")
    return Grade(
        judge=judge, subject=subject, answer=digest(text), prompt="p", label="L", outcome=found,
        scores=scores if found == "scored" else None, failure=failure, repair=repair,
        ends_properly=ends_properly if found == "scored" else None, stamp=stamp, replica=replica,
    )  # fmt: skip


def matrix(drawn_up: Evaluation, *records: Record) -> Matrix:
    """What the records amount to."""
    filed = Records(drawn_up)
    for record in records:
        filed.add(record)
    return derive(filed)


def everything(drawn_up: Evaluation, score: int = 7) -> list[Record]:
    """A complete run: everybody answers and gives everybody else the same marks."""
    texts = {each.key: f"{each.key} says: {PASSAGE * 3}" for each in drawn_up.respondents}
    answers = [part(key, text) for key, text in texts.items()]
    marks = (score,) * len(drawn_up.rubric.criteria)
    grades = [
        grade(judge.key, key, text, marks)
        for judge in drawn_up.judges
        for key, text in texts.items()
        if judge.key != key
    ]
    return [drawn_up, *answers, *grades]


def verdict(
    drawn_up: Evaluation, judge: str, subject: str, scores: Mapping[str, object] | None = None, **changes: object
) -> str:
    """A judge's reply in the form that was asked for, with changes."""
    names = [criterion.name for criterion in drawn_up.rubric.criteria]
    body: dict[str, object] = {
        "answer": blind.label(drawn_up.seed, judge, subject),
        "ends_properly": True,
        "scores": dict.fromkeys(names, 7) if scores is None else scores,
        "justification": "Sound.",
    }
    return json.dumps(body | changes)


__all__ = ["CONTROLS", "PASSAGE", "evaluation", "everything", "grade", "matrix", "member", "part", "verdict"]
