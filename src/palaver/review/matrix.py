"""What the records of an evaluation amount to: answers, cells, controls, state, cost.

Pure functions of a set of records: the order in which they are given does not matter, so every replica that holds the
same set computes the same. Where two machines made the same call, one record is chosen by a total order; nothing is
averaged.

Invariants: a cell without marks has a reason; a mark for another text than the chosen answer is not in the matrix;
controls and people's votes are never in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from palaver.review import endings, rubric
from palaver.review.controls import Attention, Control, Reaction, attention, choose
from palaver.review.errors import LedgerError
from palaver.review.records import Cancel, Evaluation, Grade, Part, Record, Reopen, Vote, digest

AnswerStatus = Literal["pending", "complete", "cut", "continued", "empty", "refused", "failed"]
CellStatus = Literal["pending", "scored", "unparseable", "refused", "failed", "excluded"]
State = Literal["answering", "judging", "settling", "final", "partial", "failed", "cancelled"]

# Failures that another attempt in the same round cannot mend.
PERMANENT = frozenset({"unauthorised", "rejected", "refused", "too_large"})
# How the reason of a call begins that was given up because its provider stayed away.
AWAY = "away: "


@dataclass(frozen=True)
class Answer:
    """The chosen answer of one member. `reason` says why it counts as cut, or what failed."""

    member: str
    status: AnswerStatus
    text: str = ""
    parts: tuple[Part, ...] = ()
    reason: str | None = None
    tries: int = 0

    @cached_property
    def digest(self) -> str:
        """Digest of the joined text."""
        return digest(self.text)

    @property
    def settled(self) -> bool:
        """No further call will change it, unless failed calls are opened again."""
        return self.status != "pending"

    @property
    def judged(self) -> bool:
        """Whether there is a text to judge."""
        return self.status in ("complete", "cut", "continued")


@dataclass(frozen=True, slots=True)
class Cell:
    """What one judge made of one answer. `score` is the weighted one; `reason` says why there is none."""

    judge: str
    subject: str
    status: CellStatus
    grade: Grade | None = None
    score: float | None = None
    reason: str | None = None
    tries: int = 0
    unreadable: Grade | None = None


@dataclass(slots=True)
class Records:
    """The records of one evaluation, sorted into drawers."""

    evaluation: Evaluation
    parts: dict[str, dict[str, Part]] = field(default_factory=dict)
    grades: dict[tuple[str, str], dict[str, Grade]] = field(default_factory=dict)
    votes: dict[str, Vote] = field(default_factory=dict)
    reopened: int = 0
    cancelled: Cancel | None = None
    _chosen: tuple[tuple[str, ...], Mapping[str, tuple[Control, ...]]] | None = None

    def add(self, record: Record) -> None:
        """File one record. Raises `LedgerError` for a second, different evaluation."""
        match record:
            case Part():
                self.parts.setdefault(record.member, {})[digest(record)] = record
            case Grade():
                self.grades.setdefault((record.judge, record.subject), {})[digest(record)] = record
            case Vote():
                self.votes[digest(record)] = record
            case Reopen():
                self.reopened += 1
            case Cancel():
                self.cancelled = record if self.cancelled is None else min(self.cancelled, record, key=digest)
            case Evaluation():
                if record != self.evaluation:
                    raise LedgerError(f"{record.id} does not belong to {self.evaluation.id}")

    def chosen_controls(self, answers: Mapping[str, Answer]) -> Mapping[str, tuple[Control, ...]]:
        """Each judge's controls, drawn once for a set of settled answers."""
        texts = {key: each.text for key, each in answers.items() if each.judged}
        drawn_for = (*texts, *(answers[key].digest for key in texts))
        if self._chosen is None or self._chosen[0] != drawn_for:
            whole = [key for key in texts if answers[key].status != "cut"]
            judges = self.evaluation.judges
            self._chosen = (drawn_for, {each.key: choose(self.evaluation, each.key, texts, whole) for each in judges})
        return self._chosen[1]

    @property
    def attempts(self) -> int:
        """How often a call may be tried in all."""
        return self.evaluation.limits.attempts * (1 + self.reopened)


def sort(records: Iterable[Record]) -> Records:
    """File all records. Raises `LedgerError` if there is no evaluation among them, or more than one."""
    listed = list(records)
    found = next((record for record in listed if isinstance(record, Evaluation)), None)
    if found is None:
        raise LedgerError("There is no evaluation among the records.")
    filed = Records(found)
    for record in listed:
        filed.add(record)
    return filed


def _tries(records: Records, failures: Iterable[str | None]) -> int:
    """Attempts used up. One that was given up with its provider away uses up a whole round."""
    whole = records.evaluation.limits.attempts
    return sum(whole if failure is not None and failure.startswith(AWAY) else 1 for failure in failures)


def _barred(records: Records, failures: Iterable[str | None]) -> bool:
    """Whether a failure that no attempt can mend came after everybody who asked again: a key may be right by then."""
    return sum(failure in PERMANENT for failure in failures) > records.reopened


# --- answers ---------------------------------------------------------------------------------------------------------

_ANSWER_ORDER: Mapping[AnswerStatus, int] = {
    "pending": 0, "failed": 1, "refused": 2, "empty": 3, "cut": 4, "continued": 5, "complete": 6,
}  # fmt: skip


def answer(records: Records, member: str) -> Answer:
    """The best chain of parts of one member: the furthest status, then the earliest stamp, then the digest."""
    parts = records.parts.get(member, {})
    good = {key: part for key, part in parts.items() if part.finish in ("stop", "length")}
    failures = [part for part in parts.values() if part.finish not in ("stop", "length")]
    continued = {part.previous for part in good.values()}
    chains = [_chain(good, key) for key in good if key not in continued]
    candidates = [_read(records, member, chain, failures) for chain in chains if chain]
    if not candidates:
        return _without_text(records, member, failures)
    return max(candidates, key=lambda each: (_ANSWER_ORDER[each.status], -each.parts[0].stamp, each.digest))


def _chain(parts: Mapping[str, Part], last: str) -> tuple[Part, ...]:
    """The parts from the first to `last`; empty if one in between is not here (yet)."""
    chain: list[Part] = []
    key = last
    while key:
        part = parts.get(key)
        if part is None:
            return ()
        chain.append(part)
        key = part.previous
    return tuple(reversed(chain))


def _read(records: Records, member: str, chain: tuple[Part, ...], failures: list[Part]) -> Answer:
    text = ""
    for part in chain:
        text = endings.join(text, part.text)
    limits = records.evaluation.limits
    last = chain[-1]
    reason = endings.cut(text, last.finish, last.spent.completion_tokens, answer_limit(records.evaluation, last.index))
    tail = digest(last)
    tries = _tries(records, [part.failure for part in failures if part.previous == tail])
    gave_up = _barred(records, [part.failure for part in failures if part.previous == tail])
    if reason is None:
        status: AnswerStatus = "continued" if len(chain) > 1 else ("complete" if text.strip() else "empty")
    elif len(chain) <= limits.continuations and tries < records.attempts and not gave_up:
        status = "pending"
    else:
        status = "cut" if text.strip() else "empty"
    return Answer(member, status, text, chain, reason, tries)


def _without_text(records: Records, member: str, failures: list[Part]) -> Answer:
    refused = next((part for part in failures if part.finish == "refused"), None)
    if refused is not None:
        return Answer(member, "refused", reason="refused", tries=len(failures))
    last = max(failures, key=lambda part: (part.stamp, part.attempt, digest(part)), default=None)
    tries = _tries(records, [part.failure for part in failures])
    exhausted = tries >= records.attempts or _barred(records, [part.failure for part in failures])
    reason = last.failure if last is not None else None
    return Answer(member, "failed" if exhausted else "pending", reason=reason, tries=tries)


def answer_limit(evaluation: Evaluation, index: int) -> int:
    """The token limit of one part. A reply that was empty may have been spent on hidden reasoning, so it grows."""
    return evaluation.limits.answer_tokens * (1 + index)


# --- cells -----------------------------------------------------------------------------------------------------------

_OUTCOME_ORDER = {"failed": 0, "refused": 1, "unparseable": 2, "scored": 3}


def cell(records: Records, judge: str, subject: str, text_digest: str | None) -> Cell:
    """The cell of `judge` and `subject`, where `text_digest` names the text that is to be judged (`None`: not yet)."""
    if judge == subject:
        return Cell(judge, subject, "excluded", reason="no member judges its own answer")
    if text_digest is None:
        return Cell(judge, subject, "pending")
    grades = [each for each in records.grades.get((judge, subject), {}).values() if each.answer == text_digest]
    if not grades:
        return Cell(judge, subject, "pending")
    best = max(grades, key=lambda each: (_OUTCOME_ORDER[each.outcome], -each.stamp, digest(each)))
    tries = sum(each.outcome == "failed" for each in grades)
    if best.outcome == "scored":
        assert best.scores is not None
        score = rubric.weighted(records.evaluation.rubric, best.scores)
        return Cell(judge, subject, "scored", best, score, tries=tries)
    return _unscored(records, judge, subject, grades, best)


def _unscored(records: Records, judge: str, subject: str, grades: list[Grade], best: Grade) -> Cell:
    tries = _tries(records, [each.failure for each in grades if each.outcome == "failed"])
    gave_up = tries >= records.attempts or _barred(records, [each.failure for each in grades])
    first = next((each for each in grades if each.outcome == "unparseable" and not each.repair), None)
    repaired = any(each.outcome == "unparseable" and each.repair for each in grades)
    if best.outcome == "refused":
        return Cell(judge, subject, "refused", best, reason="refused", tries=tries)
    if repaired or (first is not None and gave_up):
        return Cell(judge, subject, "unparseable", best, reason=best.failure, tries=tries)
    if gave_up:
        return Cell(judge, subject, "failed", best, reason=best.failure, tries=tries)
    return Cell(judge, subject, "pending", best, reason=best.failure, tries=tries, unreadable=first)


# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """Everything that follows from a set of records, in panel order."""

    evaluation: Evaluation
    answers: Mapping[str, Answer]
    cells: Mapping[tuple[str, str], Cell]
    controls: Mapping[tuple[str, str], tuple[Control, Cell]]
    cancelled: bool
    nanodollars: int
    calls: int
    votes: tuple[Vote, ...] = ()

    @cached_property
    def scored(self) -> tuple[Cell, ...]:
        """The cells with marks, judge by judge in panel order."""
        return tuple(each for each in self.cells.values() if each.status == "scored")

    @cached_property
    def state(self) -> State:
        """How far the evaluation is."""
        if self.cancelled:
            return "cancelled"
        if not all(each.settled for each in self.answers.values()):
            return "answering"
        if any(each.status == "pending" for each in self.cells.values()):
            return "judging"
        if any(each.status == "pending" for _, each in self.controls.values()):
            return "settling"
        if not self.scored:
            return "failed"
        return "final" if self.quorum_met else "partial"

    @cached_property
    def quorum_met(self) -> bool:
        """Whether some answer has as many judges as a winner needs."""
        counts = [sum(each.subject == member.key for each in self.scored) for member in self.evaluation.respondents]
        return max(counts, default=0) >= max(1, self.evaluation.quorum * (len(self.evaluation.panel) - 1) // 100)

    def attention(self, judge: str) -> Attention:
        """How the judge reacted to its controls."""
        reactions = []
        for (of, _), (control, found) in self.controls.items():
            if of != judge or found.grade is None or found.grade.scores is None or found.score is None:
                continue
            original = self.cells.get((judge, control.source))
            reactions.append(
                Reaction(
                    control, found.grade.scores, bool(found.grade.ends_properly), found.score,
                    None if original is None else original.score,
                )
            )  # fmt: skip
        return attention(reactions)


def derive(records: Records) -> Matrix:
    """Compute the matrix of a set of records."""
    evaluation = records.evaluation
    answers = {member.key: answer(records, member.key) for member in evaluation.respondents}
    cells: dict[tuple[str, str], Cell] = {}
    for judge in evaluation.judges:
        for member in evaluation.respondents:
            cells[judge.key, member.key] = _answer_cell(records, judge.key, answers[member.key])
    return Matrix(
        evaluation, answers, cells, _controls(records, answers), records.cancelled is not None, *_bill(records),
        _votes(records),
    )  # fmt: skip


def _answer_cell(records: Records, judge: str, given: Answer) -> Cell:
    if given.settled and not given.judged:
        reason = "no member judges its own answer" if judge == given.member else f"answer {given.status}"
        return Cell(judge, given.member, "excluded", reason=reason)
    return cell(records, judge, given.member, given.digest if given.settled else None)


def _controls(records: Records, answers: Mapping[str, Answer]) -> Mapping[tuple[str, str], tuple[Control, Cell]]:
    """Controls are chosen when all answers are settled, so that the choice does not depend on who was first."""
    if not all(each.settled for each in answers.values()):
        return {}
    return {
        (judge, control.subject): (control, cell(records, judge, control.subject, control.digest))
        for judge, drawn in records.chosen_controls(answers).items()
        for control in drawn
    }


def _bill(records: Records) -> tuple[int, int]:
    spent = [part.spent for drawer in records.parts.values() for part in drawer.values()]
    spent += [grade.spent for drawer in records.grades.values() for grade in drawer.values()]
    return sum(each.nanodollars for each in spent), len(spent)


def _votes(records: Records) -> tuple[Vote, ...]:
    """The latest vote of each person for each answer, in the order of person and answer."""
    latest: dict[tuple[str, str], Vote] = {}
    for vote in sorted(records.votes.values(), key=lambda each: (each.stamp, digest(each))):
        latest[vote.person, vote.respondent] = vote
    return tuple(latest[pair] for pair in sorted(latest))
