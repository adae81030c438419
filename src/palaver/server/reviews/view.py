"""What may be shown of an evaluation, as values ready for JSON. Pure.

Judges and answers are letters throughout. Who a letter is stands in `members` only, and there only where the results
are out: that is the one place that has to be right for the review to be blind.
"""

from collections.abc import Mapping

import msgspec

from palaver.review.matrix import Cell, Matrix
from palaver.server.reviews import texts
from palaver.server.reviews.letters import letters


class ShownMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the panel. All but the letter and the roles is null until the results are out."""

    letter: str
    answers: bool
    judges: bool
    key: str | None = None
    name: str | None = None
    vendor: str | None = None
    model: str | None = None


class ShownAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. `reason` says why it counts as cut, or what failed."""

    answer: str
    status: str
    reason: str | None
    text: str


class ShownCell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell. `reason` says why there is no `score`."""

    judge: str
    answer: str
    status: str
    score: float | None
    reason: str | None


class ShownPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place by plain means, of the marks so far."""

    rank: int
    answer: str
    score: float
    judges: int


class ShownEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation as it stands. `n` is the number of the newest push, null where nothing runs.

    `winner` is a letter, `your_votes` the caller's own marks by letter, `votes` how many marks people gave each answer
    (null until the results are out).
    """

    id: str
    question: str
    category: str
    room: str | None
    asker: str | None
    created: str
    state: str
    revealed: bool
    n: int | None
    criteria: dict[str, int]
    members: list[ShownMember]
    answers: list[ShownAnswer]
    cells: list[ShownCell]
    ranking: list[ShownPlace]
    winner: str | None
    no_winner_because: str | None
    judged: int
    possible: int
    calls: int
    spent_nanodollars: int
    your_votes: dict[str, int]
    votes: dict[str, int] | None


class ShownJudgment(msgspec.Struct, frozen=True, kw_only=True):
    """A cell with everything that the judge said. `raw` is its reply as it came, for who asked and for moderators."""

    judge: str
    answer: str
    status: str
    score: float | None
    scores: dict[str, int] | None
    ends_properly: bool | None
    justification: str
    reason: str | None
    attempts: int
    repaired: bool
    raw: str | None


class ShownJudgments(msgspec.Struct, frozen=True, kw_only=True):
    """Every cell, judge by judge."""

    id: str
    state: str
    cells: list[ShownJudgment]


class ShownMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """The scores as a table: a row for each judge, a column for each answer, null where there is none (never 0)."""

    id: str
    state: str
    judges: list[str]
    answers: list[str]
    scores: list[list[float | None]]
    names: dict[str, str] | None


def evaluation(matrix: Matrix, person: str, *, revealed: bool, n: int | None = None) -> ShownEvaluation:
    """What `person` may see of it."""
    drawn_up, named = matrix.evaluation, letters(matrix.evaluation)
    places, outcome = texts.ranked(matrix)
    counted: dict[str, int] = {named[key]: 0 for key in named if key in matrix.answers}
    for vote in matrix.votes:
        counted[named[vote.respondent]] += 1
    return ShownEvaluation(
        id=drawn_up.id, question=drawn_up.question.text, category=drawn_up.question.category, room=drawn_up.room,
        asker=drawn_up.asker, created=drawn_up.created, state=matrix.state, revealed=revealed, n=n,
        criteria={each.name: each.weight for each in drawn_up.rubric.criteria},
        members=members(matrix, revealed=revealed),
        answers=[
            ShownAnswer(answer=letter, status=given.status, reason=given.reason, text=given.text)
            for key, letter in named.items()
            if (given := matrix.answers.get(key)) is not None
        ],
        cells=[
            ShownCell(judge=judge, answer=answer, status=cell.status, score=cell.score, reason=cell.reason)
            for judge, answer, cell in _in_order(matrix, named)
        ],
        ranking=[
            ShownPlace(rank=each.rank, answer=named[each.respondent], score=each.average, judges=each.judges)
            for each in places
        ],
        winner=named[outcome.winner.respondent] if revealed and outcome.winner is not None else None,
        no_winner_because=outcome.reason if revealed else None,
        judged=len(matrix.scored), possible=sum(each.status != "excluded" for each in matrix.cells.values()),
        calls=matrix.calls, spent_nanodollars=matrix.nanodollars,
        your_votes={named[vote.respondent]: vote.score for vote in matrix.votes if vote.person == person},
        votes=counted if revealed else None,
    )  # fmt: skip


def members(matrix: Matrix, *, revealed: bool) -> list[ShownMember]:
    """The panel in the order of the letters."""
    shown = []
    for key, letter in letters(matrix.evaluation).items():
        each = matrix.evaluation.member(key)
        known = {"key": key, "name": each.name, "vendor": each.vendor, "model": each.model} if revealed else {}
        shown.append(ShownMember(letter=letter, answers=each.answers, judges=each.judges, **known))
    return shown


def judgments(matrix: Matrix, *, raw: bool) -> ShownJudgments:
    """Every cell in full."""
    drawn_up, named = matrix.evaluation, letters(matrix.evaluation)
    criteria = [criterion.name for criterion in drawn_up.rubric.criteria]
    return ShownJudgments(
        id=drawn_up.id, state=matrix.state,
        cells=[_judgment(judge, answer, cell, criteria, raw=raw) for judge, answer, cell in _in_order(matrix, named)],
    )  # fmt: skip


def _judgment(judge: str, answer: str, cell: Cell, criteria: list[str], *, raw: bool) -> ShownJudgment:
    grade = cell.grade
    scores = None if grade is None else grade.scores
    return ShownJudgment(
        judge=judge, answer=answer, status=cell.status, score=cell.score, reason=cell.reason, attempts=cell.tries,
        scores=None if scores is None else dict(zip(criteria, scores, strict=True)),
        ends_properly=None if grade is None else grade.ends_properly,
        justification="" if grade is None else grade.justification,
        repaired=grade is not None and grade.repair, raw=grade.raw if raw and grade is not None else None,
    )  # fmt: skip


def table(matrix: Matrix, *, revealed: bool) -> ShownMatrix:
    """The scores alone."""
    named = letters(matrix.evaluation)
    scores = {(judge, answer): cell.score for judge, answer, cell in _in_order(matrix, named)}
    shown = members(matrix, revealed=revealed)
    judges = [each.letter for each in shown if each.judges]
    answers = [each.letter for each in shown if each.answers]
    return ShownMatrix(
        id=matrix.evaluation.id, state=matrix.state, judges=judges, answers=answers,
        scores=[[scores.get((judge, answer)) for answer in answers] for judge in judges],
        names={each.letter: each.name for each in shown if each.name is not None} if revealed else None,
    )  # fmt: skip


def _in_order(matrix: Matrix, named: Mapping[str, str]) -> list[tuple[str, str, Cell]]:
    """The cells by letter: the panel's order would say who is who."""
    cells = [(named[judge], named[subject], cell) for (judge, subject), cell in matrix.cells.items()]
    return sorted(cells, key=lambda each: (len(each[0]), each[0], len(each[1]), each[1]))
