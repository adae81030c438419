"""What an evaluation consists of: immutable records, each the trace of one decision or one call.

Records are values with one canonical JSON form; they hold facts, never conclusions. Status, cells, ranking and cost are
computed from the set of all records (`matrix.py`), so two partial runs merge by uniting their records.

Invariants: a record never changes; equal records have equal bytes; a missing score is `None` and never 0.
"""

import hashlib
from typing import Literal

import msgspec

from palaver.review.errors import FormatError

Finish = Literal["stop", "length", "refused", "failed"]
Outcome = Literal["scored", "unparseable", "refused", "failed"]
ControlKind = Literal["cut", "duplicate", "injected"]
CONTROLS: tuple[ControlKind, ...] = ("cut", "duplicate", "injected")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the panel: a model, or a person with `judges` only."""

    key: str
    name: str
    provider: str
    vendor: str
    model: str
    answers: bool = True
    judges: bool = True


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One thing judged, from 0 to 10. `weight` is in percent."""

    name: str
    weight: int
    description: str


class Rubric(msgspec.Struct, frozen=True, kw_only=True):
    """What judges look at. The weights add up to 100."""

    id: str
    criteria: tuple[Criterion, ...]
    instructions: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a bank."""

    id: str
    text: str
    category: str = "general"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Where an evaluation stops.

    `answer_tokens` and `judgment_tokens` limit one reply. `continuations` is how often a cut answer is continued,
    `attempts` how often a call that failed is tried before its cell is given up, `spend_nanodollars` the most that may
    be spent (`None`: no cap).
    """

    answer_tokens: int = 4096
    judgment_tokens: int = 2048
    continuations: int = 3
    attempts: int = 4
    spend_nanodollars: int | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, tag="evaluation", tag_field="kind"):
    """What is asked of whom, and by which rules. `quorum` is in percent of the possible judges.

    `seed` makes labels, fences and orders; it must stay secret until the evaluation has ended.
    """

    id: str
    question: Question
    panel: tuple[Member, ...]
    rubric: Rubric
    seed: str
    created: str
    version: str
    limits: Limits = Limits()
    quorum: int = 80
    controls: tuple[ControlKind, ...] = CONTROLS
    room: str | None = None
    asker: str | None = None

    def member(self, key: str) -> Member:
        """The member of the panel with this key. Raises `KeyError`."""
        return next(member for member in self.panel if member.key == key)

    @property
    def respondents(self) -> tuple[Member, ...]:
        """The members who answer, in panel order."""
        return tuple(member for member in self.panel if member.answers)

    @property
    def judges(self) -> tuple[Member, ...]:
        """The members who judge, in panel order."""
        return tuple(member for member in self.panel if member.judges)


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one call took. `model` is the model that the provider says it served."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    nanodollars: int = 0
    milliseconds: int = 0
    model: str = ""
    request: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True, tag="part", tag_field="kind"):
    """One call for an answer, or for the continuation of one. `previous` is the digest of the part it continues.

    `attempt` counts the calls that failed before, so that two failures of one kind are two records.
    """

    member: str
    index: int
    text: str
    finish: Finish
    previous: str = ""
    attempt: int = 0
    failure: str | None = None
    spent: Spent = Spent()
    replica: str
    stamp: int


class Grade(msgspec.Struct, frozen=True, kw_only=True, tag="grade", tag_field="kind"):
    """One call to a judge. `subject` is a respondent's key, or `control:` and a kind.

    `scores` follow the rubric's order of criteria. `answer` is the digest of the text that was judged: a mark for
    another text never counts. `raw` is the reply as it came. `attempt` is as in `Part`.
    """

    judge: str
    subject: str
    answer: str
    prompt: str
    label: str
    outcome: Outcome
    attempt: int = 0
    repair: bool = False
    scores: tuple[int, ...] | None = None
    ends_properly: bool | None = None
    justification: str = ""
    raw: str = ""
    failure: str | None = None
    spent: Spent = Spent()
    replica: str
    stamp: int


class Vote(msgspec.Struct, frozen=True, kw_only=True, tag="vote", tag_field="kind"):
    """A person's mark from 0 to 10 for an answer; kept apart from the jury's. The latest of a person counts."""

    person: str
    respondent: str
    score: int
    replica: str
    stamp: int


class Reopen(msgspec.Struct, frozen=True, kw_only=True, tag="reopen", tag_field="kind"):
    """Somebody asked again for the calls that had failed: each gets another round of attempts."""

    replica: str
    stamp: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", tag_field="kind"):
    """Somebody stopped the evaluation."""

    by: str
    replica: str
    stamp: int


Record = Evaluation | Part | Grade | Vote | Reopen | Cancel
_DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> str:
    """The canonical form: one line of JSON, fields in the order of their declaration."""
    return msgspec.json.encode(record).decode()


def decode(line: str | bytes, where: str = "record") -> Record:
    """Read the canonical form. Raises `FormatError`."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(where, str(error)) from error


def digest(content: Record | str) -> str:
    """SHA-256 of a record's canonical form or of a text, as 32 hexadecimal digits (128 bits)."""
    text = content if isinstance(content, str) else encode(content)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
