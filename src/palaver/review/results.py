"""An evaluation's results in the published form, and published results as the marks to analyse.

Pure. Only what the form has is in it: marks, names, short justifications. What else is known (reasons for missing
cells, cut answers, attention) is in the measured report.

Invariant: `check` finds no difference in what `publish` writes, as long as every member of the panel left a mark.
"""

from fractions import Fraction

from palaver.review.matrix import Cell, Matrix
from palaver.review.published import JUSTIFICATION_CHARACTERS, Published, PublishedJudgment, derive

_SOURCE = "Palaver"


def publish(matrix: Matrix) -> Published:
    """The results so far. A weighted score of 0 is left out, as the published form does; the matrix keeps it."""
    evaluation = matrix.evaluation
    judgments = tuple(_judgment(matrix, cell) for cell in matrix.scored if cell.score)
    derived = derive(
        judgments,
        {member.key: member.provider for member in evaluation.panel},
        evaluation.created,
        pool=len(evaluation.panel),
        quorum=Fraction(evaluation.quorum, 100),
    )
    return Published(
        evaluation_id=evaluation.id,
        question_id=evaluation.question.id,
        question_text=evaluation.question.text,
        category=evaluation.question.category,
        timestamp=evaluation.created,
        display_date=derived.display_date,
        winner=derived.winner,
        avg_score=derived.avg_score,
        matrix_size=derived.matrix_size,
        models_used=derived.models_used,
        rankings=derived.rankings,
        judgments=judgments,
        meta=_meta(matrix),
    )


def _judgment(matrix: Matrix, cell: Cell) -> PublishedJudgment:
    assert cell.score is not None
    assert cell.grade is not None
    return PublishedJudgment(
        judge_key=cell.judge,
        judge_name=matrix.evaluation.member(cell.judge).name,
        respondent_key=cell.subject,
        respondent_name=matrix.evaluation.member(cell.subject).name,
        weighted_score=cell.score,
        brief_justification=cell.grade.justification[:JUSTIFICATION_CHARACTERS],
    )


def _meta(matrix: Matrix) -> dict[str, str]:
    size = len(matrix.evaluation.panel)
    return {
        "source": _SOURCE,
        "methodology": f"{size}x{size} blind peer matrix evaluation",
        "criteria": ", ".join(criterion.name for criterion in matrix.evaluation.rubric.criteria),
        "self_judgments": "excluded from rankings",
        "license": f"Open data — cite as: {_SOURCE} ({matrix.evaluation.created[:4]})",
    }
