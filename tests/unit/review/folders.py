"""Evaluations on disk that tests make up."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from palaver.review.folder import Folder, create
from palaver.review.records import Evaluation, Grade, Question, Record
from tests.unit.review import made

KEYS = ("ada", "bob", "cyd", "dee")


def drawn_up(number: int = 0, category: str = "code") -> Evaluation:
    """An evaluation with an id and a question of its own."""
    question = Question(id=f"Q-{number}", text="What is a lease?", category=category)
    return msgspec.structs.replace(made.evaluation(KEYS), id=f"EVAL-20260101-{number:06d}", question=question)


def records(evaluation: Evaluation) -> list[Record]:
    """A complete run with marks that differ: later members are better, earlier judges stricter."""
    order = {key: place for place, key in enumerate(KEYS)}
    found: list[Record] = []
    for record in made.everything(evaluation):
        if isinstance(record, Grade):
            base = (
                4
                + order[record.subject]
                + (order[record.judge] + len(evaluation.question.id) + order[record.subject]) % 2
            )
            record = msgspec.structs.replace(record, scores=(base, base, base + 1, base, base))
        found.append(record)
    return found


def kept(root: Path, number: int = 0, category: str = "code", only: Iterable[Record] | None = None) -> Path:
    """A folder with a complete run, or with only some of its records."""
    evaluation = drawn_up(number, category)
    folder = create(root, evaluation, f"replica-{root.name}", lambda: 1_000)
    for record in records(evaluation)[1:] if only is None else only:
        folder.write(folder.ledger.add(record))
    folder.close()
    return folder.path


def ledger_bytes(path: Path) -> bytes:
    """What a folder knows, in its canonical form."""
    return Folder(path, "reader", lambda: 1).ledger.encode()
