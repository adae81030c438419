"""From an evaluation to the measured profile: which marks are measured, and what is known of answers and judges.

A pure function of the matrix or of a published file. It needs numpy, through `palaver.review.statistics`; nothing that
runs an evaluation imports it.
"""

from dataclasses import dataclass

from palaver.review import grid
from palaver.review.grid import Grid
from palaver.review.matrix import Matrix
from palaver.review.published import JUSTIFICATION_CHARACTERS, Published
from palaver.review.ranking import Mark
from palaver.review.results import publish
from palaver.review.statistics.bootstrap import RESAMPLES
from palaver.review.statistics.measured import Measured, Subject, measure
from palaver.review.statistics.people import Comparison, compare
from palaver.review.statistics.sheets import Habits, habits_of_texts


@dataclass(frozen=True)
class Dossier:
    """All that a report is made of: the published form, the grid, the measured profile, and the people's votes."""

    published: Published
    grid: Grid
    measured: Measured
    people: Comparison | None = None


def of_matrix(matrix: Matrix, *, seed: int = 0, resamples: int = RESAMPLES) -> Dossier:
    """The dossier of an evaluation of our own. The same records and seed give the same."""
    shown, subject = grid.of_matrix(matrix), subject_of(matrix)
    measured = measure(subject, seed, resamples)
    jury = {line.key: line.score if line.adjusted is None else line.adjusted for line in measured.lines}
    votes = {(vote.person, vote.respondent): float(vote.score) for vote in matrix.votes}
    return Dossier(publish(matrix), shown, measured, compare(votes, jury, seed) if votes else None)


def of_published(document: Published, *, seed: int = 0, resamples: int = RESAMPLES) -> Dossier:
    """The dossier of a published file."""
    texts: dict[str, list[str]] = {}
    for cell in document.judgments:
        texts.setdefault(cell.judge_key, []).append(cell.brief_justification)
    shown = grid.of_published(document)
    names = {member.key: member.name for member in shown.members}
    # A file without any justification (as ours are shipped) says nothing about the judges' habits.
    known = any(text for each in texts.values() for text in each)
    subject = Subject(marks_of(document), names, habits=habits_of_texts(texts) if known else {})
    return Dossier(document, shown, measure(subject, seed, resamples))


def subject_of(matrix: Matrix) -> Subject:
    """What is measured of a matrix: every mark, a genuine 0 among them."""
    return Subject(
        marks=[Mark(cell.judge, cell.subject, cell.score) for cell in matrix.scored if cell.score is not None],
        names={member.key: member.name for member in matrix.evaluation.panel},
        statuses={key: answer.status for key, answer in matrix.answers.items()},
        habits={judge.key: habits_of(matrix, judge.key) for judge in matrix.evaluation.judges},
    )


def marks_of(document: Published) -> list[Mark]:
    """The marks of a published file, in its order."""
    return [Mark(cell.judge_key, cell.respondent_key, cell.weighted_score) for cell in document.judgments]


def habits_of(matrix: Matrix, judge: str) -> Habits:
    """What is known of one judge besides its marks."""
    given = [cell for cell in matrix.scored if cell.judge == judge and cell.grade is not None]
    texts = [cell.grade.justification for cell in given if cell.grade is not None]
    cut = [cell.grade for cell in given if matrix.answers[cell.subject].status == "cut"]
    cut += [
        found.grade for (of, _), (control, found) in matrix.controls.items() if of == judge and control.kind == "cut"
    ]
    seen = [grade.ends_properly for grade in cut if grade is not None and grade.ends_properly is not None]
    attention = matrix.attention(judge)
    return Habits(
        empty_justifications=sum(not text.strip() for text in texts),
        capped_justifications=sum(len(text) > JUSTIFICATION_CHARACTERS for text in texts),
        cuts_shown=len(seen),
        cuts_seen=sum(not ends for ends in seen),
        attention=attention.score,
        failed_controls=attention.failed_kinds,
    )
