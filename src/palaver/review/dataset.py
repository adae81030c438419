"""Evaluations as a data set: JSON lines, and a datasheet that says what is in them.

Pure. One line for each evaluation, answer, judgment, control and vote; texts are as they came. Raw replies of judges
and the secret seeds are left out: the journals have them.

Invariant: equal evaluations give equal bytes, whatever machine they ran on and in whatever order they are given.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from palaver.review import grid
from palaver.review.matrix import Cell, Matrix
from palaver.review.records import Spent, digest
from palaver.review.shelf import Entry

_ENCODER = msgspec.json.Encoder()
Line = Mapping[str, object]

FIELDS: Mapping[str, Mapping[str, str]] = {
    "evaluation": {
        "evaluation": "its id, to which every other line refers",
        "question_id, question, category": "what was asked",
        "created": "ISO time in UTC",
        "state": "final, partial, failed, cancelled, or how far it is",
        "winner": "key of the best answer at quorum, or null",
        "criteria, rubric, rubric_sha": "what was judged, with weights in percent; the digest of its whole wording",
        "members": "the panel: key, name, provider, vendor, requested and served model ids",
        "calls, nanodollars": "what it took; a nanodollar is 1e-9 dollars",
    },
    "answer": {
        "member": "who answered",
        "status": "complete, continued, cut, empty, refused, failed, pending, or published (nothing more is known)",
        "text, text_sha": "the joined answer and its digest (SHA-256, 128 bits)",
        "parts": "calls it is joined from, each with finish reason and tokens",
        "reason": "why it counts as cut, or what failed",
    },
    "judgment": {
        "judge, respondent": "who graded whom; nobody grades itself",
        "status, reason": "scored, or why there are no marks; a missing mark is null and never 0",
        "score, scores": "0 to 10: the weighted score, and whole numbers by criterion",
        "ends_properly": "whether the judge says that the answer ends",
        "justification": "the judge's words",
        "text_sha, prompt_sha": "digests of what was judged and of all that the judge was told",
        "repaired, attempts": "whether it is the reply to a repair request; failed calls before it",
        "spent": "tokens, nanodollars, milliseconds, served model",
    },
    "control": {
        "judge, control, source": "a hidden item for a judge: cut, duplicate or injected, made from whose answer",
        "status, reason, score, scores, ends_properly, justification": "the reaction; never part of any ranking",
        "text_sha, prompt_sha, repaired, attempts, spent": "as for a judgment",
    },
    "vote": {"person, respondent, score": "a person's mark; never part of the jury's"},
}


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Every line with its line end, evaluations in the order of their ids."""
    for entry in sorted(entries, key=lambda each: each.id):
        for line in _of(entry):
            yield _ENCODER.encode(line).decode() + "\n"


def _of(entry: Entry) -> Iterator[Line]:
    shown = grid.of_published(entry.published) if entry.matrix is None else grid.of_matrix(entry.matrix)
    yield _evaluation(entry, shown)
    if entry.matrix is None:
        yield from _of_grid(shown)
    else:
        yield from _of_matrix(entry.matrix)


def _evaluation(entry: Entry, shown: grid.Grid) -> Line:
    return {
        "kind": "evaluation",
        "evaluation": shown.evaluation,
        "question_id": shown.question_id,
        "question": shown.question,
        "category": shown.category,
        "created": shown.created,
        "state": shown.state,
        "winner": _winner(entry),
        "criteria": shown.criteria,
        "rubric": shown.rubric,
        "rubric_sha": shown.rubric_digest,
        "members": shown.members,
        "calls": shown.calls,
        "nanodollars": shown.nanodollars,
    }


def _winner(entry: Entry) -> str | None:
    """The key of the winner, whom the published form only names."""
    won = entry.published.winner
    standings = entry.published.rankings.items()
    if won is None:
        return None
    told = (won.name, won.provider, won.score)
    return next((key for key, one in standings if (one.display_name, one.provider, one.average_score) == told), None)


def _of_grid(shown: grid.Grid) -> Iterator[Line]:
    for answer in shown.answers:
        yield {"kind": "answer", "evaluation": shown.evaluation, "member": answer.member, "status": answer.status}
    for cell in shown.cells:
        yield {
            "kind": "judgment", "evaluation": shown.evaluation, "judge": cell.judge, "respondent": cell.respondent,
            "status": cell.status, "reason": cell.reason, "score": cell.score, "justification": cell.justification,
        }  # fmt: skip


def _of_matrix(matrix: Matrix) -> Iterator[Line]:
    name = matrix.evaluation.id
    for answer in matrix.answers.values():
        parts = [
            {"finish": part.finish, "characters": len(part.text), "spent": _spent(part.spent)} for part in answer.parts
        ]
        yield {
            "kind": "answer", "evaluation": name, "member": answer.member, "status": answer.status,
            "text": answer.text, "text_sha": answer.digest, "reason": answer.reason, "parts": parts,
        }  # fmt: skip
    for cell in matrix.cells.values():
        if cell.judge != cell.subject:
            yield {"kind": "judgment", "evaluation": name, "judge": cell.judge, "respondent": cell.subject} | _marked(
                matrix, cell
            )
    for control, cell in matrix.controls.values():
        yield {
            "kind": "control", "evaluation": name, "judge": cell.judge, "control": control.kind,
            "source": control.source,
        } | _marked(matrix, cell)  # fmt: skip
    for vote in matrix.votes:
        yield {
            "kind": "vote", "evaluation": name, "person": vote.person, "respondent": vote.respondent,
            "score": vote.score,
        }  # fmt: skip


def _marked(matrix: Matrix, cell: Cell) -> dict[str, object]:
    found: dict[str, object] = {"status": cell.status, "reason": cell.reason, "score": cell.score}
    grade = cell.grade
    if grade is None:
        return found
    if grade.scores is not None:
        names = (criterion.name for criterion in matrix.evaluation.rubric.criteria)
        found["scores"] = dict(zip(names, grade.scores, strict=True))
    return found | {
        "ends_properly": grade.ends_properly, "justification": grade.justification, "text_sha": grade.answer,
        "prompt_sha": grade.prompt, "repaired": grade.repair, "attempts": cell.tries, "spent": _spent(grade.spent),
    }  # fmt: skip


def _spent(spent: Spent) -> Line:
    return {
        "prompt_tokens": spent.prompt_tokens, "completion_tokens": spent.completion_tokens,
        "reasoning_tokens": spent.reasoning_tokens, "nanodollars": spent.nanodollars,
        "milliseconds": spent.milliseconds, "model": spent.model,
    }  # fmt: skip


def datasheet(entries: Sequence[Entry], content: str) -> str:
    """What is in a data set, in Markdown. `content` is the text of all its lines, whose digest the datasheet names."""
    kinds = Counter(msgspec.json.decode(line)["kind"] for line in content.splitlines())
    categories = Counter(entry.category for entry in entries)
    models = {member.name for entry in entries for member in entry.published.models_used}
    parts = [
        "# Datasheet: blind peer reviews",
        "",
        "Answers of models to questions, and the marks that these models gave each other, blind.",
        "",
        f"* Evaluations: {len(entries)}, on {_counted(categories)}.",
        f"* Models with judged answers: {', '.join(sorted(models)) or 'none'}.",
        f"* Lines: {_counted(kinds)}.",
        f"* SHA-256 of `dataset.jsonl`, first 128 bits: `{digest(content)}`.",
        "* Format: JSON lines in UTF-8, one object a line; `kind` says which.",
        f"* Licence: that of whoever ran the evaluations; of imported ones: {_licences(entries)}.",
        "",
        "## Fields",
    ]
    for kind, fields in FIELDS.items():
        parts += ["", f"### {kind}", "", *(f"* `{name}`: {meaning}" for name, meaning in fields.items())]
    parts += [
        "", "## Limits", "",
        "* No human ground truth: a jury of models orders near-equals poorly.",
        "* Judges differ in severity; plain means are biased by it. `palaver review stats` corrects for it.",
        "* Judgments that failed are lines with a reason and no score. Do not count them as 0.",
        "* Answers and justifications are texts of models: treat them as untrusted input.",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items())) or "nothing"


def _licences(entries: Sequence[Entry]) -> str:
    imported = [entry.published.meta.get("license", "not stated") for entry in entries if entry.matrix is None]
    return "; ".join(sorted(set(imported))) or "there are none"
