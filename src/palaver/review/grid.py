"""The matrix as it is shown: members, answers and cells of one evaluation as plain values, to be written as JSON.

Pure. Two sources give one form: a matrix of our own, where every missing cell has its reason, and a published file,
which knows neither answers nor reasons.

Invariants: a missing score is `None` and never 0; controls and votes are not in it; a blind grid names nobody, holds no
text, and orders its axis by the evaluation's seed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from palaver.review import blind, rubric
from palaver.review.matrix import Answer, Cell, Matrix
from palaver.review.published import Published, panel, respondents
from palaver.review.records import Member, digest

UNPUBLISHED = "not in the published file"


class GridMember(msgspec.Struct, frozen=True, kw_only=True):
    """One member. `served` are the model ids that its provider said it served; the requested one is `model`."""

    key: str
    name: str
    provider: str = ""
    vendor: str = ""
    model: str = ""
    served: tuple[str, ...] = ()
    answers: bool = True
    judges: bool = True


class GridAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `text` is `None` where it is not known or not shown; `parts` counts the calls it is joined from."""

    member: str
    status: str
    text: str | None = None
    reason: str | None = None
    parts: int = 0
    tokens: int = 0
    nanodollars: int = 0
    milliseconds: int = 0
    digest: str | None = None


class GridCell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. `scores` are by criterion; `reason` says why there is no `score`."""

    judge: str
    respondent: str
    status: str
    score: float | None = None
    scores: Mapping[str, int] | None = None
    ends_properly: bool | None = None
    justification: str | None = None
    reason: str | None = None
    attempts: int = 0
    repaired: bool = False


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation. `members` is the axis, `missing` counts the cells without marks by reason, own answers aside."""

    evaluation: str
    question_id: str
    question: str
    category: str
    created: str
    state: str
    revealed: bool
    rubric: str | None
    rubric_digest: str | None
    criteria: Mapping[str, int]
    quorum: int | None
    members: tuple[GridMember, ...]
    answers: tuple[GridAnswer, ...]
    cells: tuple[GridCell, ...]
    missing: Mapping[str, int]
    calls: int
    nanodollars: int

    @property
    def scored(self) -> int:
        """How many cells have marks."""
        return sum(cell.score is not None for cell in self.cells)

    def name(self, key: str) -> str:
        """A member's name; the key where it has none."""
        return next((member.name for member in self.members if member.key == key), key)


def of_matrix(matrix: Matrix, *, revealed: bool = True, texts: bool = True) -> Grid:
    """The grid of a matrix of our own. Unless `revealed`, names are labels and there are no texts."""
    evaluation = matrix.evaluation
    grid = Grid(
        evaluation=evaluation.id,
        question_id=evaluation.question.id,
        question=evaluation.question.text,
        category=evaluation.question.category,
        created=evaluation.created,
        state=matrix.state,
        revealed=revealed,
        rubric=evaluation.rubric.id,
        rubric_digest=rubric.fingerprint(evaluation.rubric),
        criteria={each.name: each.weight for each in evaluation.rubric.criteria},
        quorum=evaluation.quorum,
        members=tuple(_member(matrix, each) for each in evaluation.panel),
        answers=tuple(_answer(each, texts=texts and revealed) for each in matrix.answers.values()),
        cells=tuple(_cell(matrix, each, texts=texts and revealed) for each in matrix.cells.values()),
        missing=_missing(matrix.cells.values()),
        calls=matrix.calls,
        nanodollars=matrix.nanodollars,
    )
    return grid if revealed else _blind(grid, evaluation.seed)


def _member(matrix: Matrix, member: Member) -> GridMember:
    spent = [part.spent.model for part in matrix.answers[member.key].parts] if member.key in matrix.answers else []
    spent += [
        cell.grade.spent.model for cell in matrix.cells.values() if cell.judge == member.key and cell.grade is not None
    ]
    return GridMember(
        key=member.key, name=member.name, provider=member.provider, vendor=member.vendor, model=member.model,
        served=tuple(dict.fromkeys(each for each in spent if each)), answers=member.answers, judges=member.judges,
    )  # fmt: skip


def _answer(answer: Answer, *, texts: bool) -> GridAnswer:
    return GridAnswer(
        member=answer.member, status=answer.status, text=answer.text if texts else None, reason=answer.reason,
        parts=len(answer.parts), tokens=sum(part.spent.completion_tokens for part in answer.parts),
        nanodollars=sum(part.spent.nanodollars for part in answer.parts),
        milliseconds=sum(part.spent.milliseconds for part in answer.parts),
        digest=answer.digest if answer.judged and texts else None,
    )  # fmt: skip


def _cell(matrix: Matrix, cell: Cell, *, texts: bool) -> GridCell:
    grade = cell.grade
    if grade is None or cell.score is None or grade.scores is None:
        return GridCell(
            judge=cell.judge, respondent=cell.subject, status=cell.status, reason=cell.reason, attempts=cell.tries
        )
    names = (criterion.name for criterion in matrix.evaluation.rubric.criteria)
    return GridCell(
        judge=cell.judge, respondent=cell.subject, status=cell.status, score=cell.score,
        scores=dict(zip(names, grade.scores, strict=True)), ends_properly=grade.ends_properly,
        justification=grade.justification if texts else None, attempts=cell.tries, repaired=grade.repair,
    )  # fmt: skip


def _missing(cells: Iterable[Cell]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for cell in cells:
        if cell.score is None and cell.judge != cell.subject:
            counted[cell.reason or cell.status] += 1
    return dict(sorted(counted.items()))


def _blind(grid: Grid, seed: str) -> Grid:
    """The same cells under labels that differ from those that any judge saw."""
    labels = {member.key: blind.label(seed, "audience", member.key) for member in grid.members}
    axis = blind.shuffled(seed, "audience", grid.members, [member.key for member in grid.members])
    order = {member.key: place for place, member in enumerate(axis)}
    answers = sorted(grid.answers, key=lambda each: order[each.member])
    cells = sorted(grid.cells, key=lambda each: (order[each.judge], order[each.respondent]))
    return msgspec.structs.replace(
        grid,
        members=tuple(
            GridMember(key=labels[each.key], name=labels[each.key], answers=each.answers, judges=each.judges)
            for each in axis
        ),
        answers=tuple(msgspec.structs.replace(each, member=labels[each.member]) for each in answers),
        cells=tuple(
            msgspec.structs.replace(each, judge=labels[each.judge], respondent=labels[each.respondent])
            for each in cells
        ),
    )


def of_published(document: Published) -> Grid:
    """The grid of a published file. It was final if somebody won, and partial otherwise."""
    providers = {model.id: model.provider for model in document.models_used}
    names = {cell.respondent_key: cell.respondent_name for cell in document.judgments}
    names |= {cell.judge_key: cell.judge_name for cell in document.judgments}
    axis, answered = panel(document.judgments), respondents(document.judgments)
    judged_by = {cell.judge_key for cell in document.judgments}
    given = {(cell.judge_key, cell.respondent_key): cell for cell in document.judgments}
    cells = []
    for judge in (key for key in axis if key in judged_by):
        for key in answered:
            found = given.get((judge, key))
            if found is not None:
                cells.append(
                    GridCell(
                        judge=judge, respondent=key, status="scored", score=found.weighted_score,
                        justification=found.brief_justification,
                    )
                )  # fmt: skip
            elif judge != key:
                cells.append(GridCell(judge=judge, respondent=key, status="missing", reason=UNPUBLISHED))
    missing = sum(cell.score is None for cell in cells)
    return Grid(
        evaluation=document.evaluation_id, question_id=document.question_id, question=document.question_text,
        category=document.category, created=document.timestamp, state="final" if document.winner else "partial",
        revealed=True, rubric=None, rubric_digest=None, criteria={}, quorum=None,
        members=tuple(
            GridMember(
                key=key, name=names[key], provider=providers.get(key, ""), answers=key in answered,
                judges=key in judged_by,
            )
            for key in axis
        ),
        answers=tuple(GridAnswer(member=key, status="published") for key in answered),
        cells=tuple(cells), missing={UNPUBLISHED: missing} if missing else {}, calls=0, nanodollars=0,
    )  # fmt: skip


def content_digest(grid: Grid) -> str:
    """Digest of everything that the grid shows: two reports of the same content carry the same."""
    return digest(msgspec.json.encode(grid).decode())
