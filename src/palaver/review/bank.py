"""Question banks: questions with ids and categories, read from TOML.

[[question]]
id = "CODE-001"
category = "code"
text = "..."
"""

import re
import tomllib

import msgspec

from palaver.review.errors import ConfigurationError
from palaver.review.records import Evaluation, Limits, Member, Question, Rubric

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Written(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question as it is written in a bank, where a misspelt field is a mistake; a record may gain fields."""


class Bank(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole bank, in the order of the file."""

    question: tuple[Question, ...]

    def pick(self, ids: tuple[str, ...] = (), categories: tuple[str, ...] = ()) -> tuple[Question, ...]:
        """The questions with these ids or categories; all without either. Raises `ConfigurationError`."""
        known = {question.id for question in self.question}
        unknown = [each for each in ids if each not in known]
        if unknown:
            raise ConfigurationError(f"No question {', '.join(unknown)} in the bank.")
        if not ids and not categories:
            return self.question
        return tuple(each for each in self.question if each.id in ids or each.category in categories)


def parse(text: str) -> Bank:
    """Read a bank. Raises `ConfigurationError` naming what to change."""
    try:
        written = tomllib.loads(text)
        bank = msgspec.convert(written, Bank)
        msgspec.convert(written["question"], list[_Written])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"The question bank cannot be read: {error}") from error
    seen: set[str] = set()
    for question in bank.question:
        if not _ID.fullmatch(question.id):
            raise ConfigurationError(f"Question id {question.id!r} must be letters, digits, '.', '_' or '-', up to 64.")
        if question.id in seen:
            raise ConfigurationError(f"Question {question.id} is given twice; each needs an id of its own.")
        if not question.text.strip():
            raise ConfigurationError(f"Question {question.id} has no text.")
        seen.add(question.id)
    return bank


def evaluation(
    question: Question,
    panel: tuple[Member, ...],
    rubric: Rubric,
    *,
    created: str,
    seed: str,
    version: str,
    limits: Limits | None = None,
    head_to_head: tuple[str, str] | None = None,
) -> Evaluation:
    """Draw up an evaluation; its id is made from `created`, an ISO time in UTC.

    With `head_to_head` only these two answer, and only the rest of the panel judges. Raises `ConfigurationError` for a
    panel that cannot judge anything.
    """
    if head_to_head is not None:
        panel = _duel(panel, head_to_head)
    keys = [member.key for member in panel]
    if len(set(keys)) != len(keys):
        raise ConfigurationError("A member is on the panel twice; each needs a key of its own.")
    if not any(judge.judges and each.answers and judge.key != each.key for judge in panel for each in panel):
        raise ConfigurationError(f"A panel of {len(panel)} has nobody to judge another's answer; add a member.")
    digits = created.translate(str.maketrans("", "", "-:T"))
    return Evaluation(
        id=f"EVAL-{digits[:8]}-{digits[8:14]}", question=question, panel=panel, rubric=rubric, seed=seed,
        created=created, version=version, limits=Limits() if limits is None else limits,
    )  # fmt: skip


def _duel(panel: tuple[Member, ...], two: tuple[str, str]) -> tuple[Member, ...]:
    missing = [key for key in two if key not in {member.key for member in panel}]
    if missing or two[0] == two[1]:
        raise ConfigurationError(f"A head-to-head needs two different members of the panel, not {two[0]} and {two[1]}.")
    return tuple(
        msgspec.structs.replace(member, answers=member.key in two, judges=member.judges and member.key not in two)
        for member in panel
    )
