"""Which calls are open: a pure function of the records.

Invariant: a call is open only if what it needs is settled and nobody's record has answered it; the order of the list
depends on the records and the seed alone. Answers come first, then judgments in a shuffled order, controls among them.
"""

from dataclasses import dataclass

from palaver.review import blind, controls
from palaver.review.matrix import Answer, Cell, Matrix
from palaver.review.records import Grade, digest


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Ask `member` for its answer, or for the rest of it: part number `index`, after `previous`."""

    member: str
    index: int
    previous: str
    so_far: str
    tries: int

    @property
    def task(self) -> str:
        """The name under which the call is claimed."""
        return f"answer/{self.member}/{self.index}/{self.previous}"


@dataclass(frozen=True, slots=True)
class GradeCall:
    """Ask `judge` for a verdict on `text`; after an unreadable reply once more, showing it what it wrote."""

    judge: str
    subject: str
    text: str
    known_cut: bool
    unreadable: Grade | None
    tries: int

    @property
    def member(self) -> str:
        """Who is called."""
        return self.judge

    @property
    def task(self) -> str:
        """The name under which the call is claimed."""
        return f"grade/{self.judge}/{self.subject}/{digest(self.text)}"


Call = AnswerCall | GradeCall


def open_calls(matrix: Matrix) -> list[Call]:
    """Every call that could be made now, in the order in which they should start."""
    if matrix.cancelled:
        return []
    answers: list[Call] = [_answer(each) for each in matrix.answers.values() if not each.settled]
    grades = [_grade(matrix, cell) for cell in matrix.cells.values() if _open(matrix, cell)]
    grades += [
        GradeCall(cell.judge, cell.subject, control.text, False, cell.unreadable, cell.tries)
        for control, cell in matrix.controls.values()
        if cell.status == "pending"
    ]
    names = [grade.judge + grade.subject for grade in grades]
    return [*answers, *blind.shuffled(matrix.evaluation.seed, "calls", grades, names)]


def _answer(given: Answer) -> AnswerCall:
    if not given.parts:
        return AnswerCall(given.member, 0, "", "", given.tries)
    return AnswerCall(given.member, len(given.parts), digest(given.parts[-1]), given.text, given.tries)


def _open(matrix: Matrix, cell: Cell) -> bool:
    return cell.status == "pending" and matrix.answers[cell.subject].settled


def _grade(matrix: Matrix, cell: Cell) -> GradeCall:
    given = matrix.answers[cell.subject]
    return GradeCall(cell.judge, cell.subject, given.text, given.status == "cut", cell.unreadable, cell.tries)


def is_control(subject: str) -> bool:
    """Whether a subject is a hidden control and no respondent."""
    return subject.startswith(controls.PREFIX)
