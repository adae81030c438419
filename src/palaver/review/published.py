"""The published result file: reading it, deriving every computed field from its judgments, writing it back.

A file is split into what was observed (question, judgments, names) and what was computed (winner, averages, ranking,
sizes). `derive` recomputes the second from the first. It does no IO and never repairs what it reads.

Invariant: `encode(decode(text)) == text` for a file in the published form: two-space indent, non-ASCII kept, numbers
without trailing zeros, no newline at the end.
"""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from palaver.review.errors import FormatError
from palaver.review.numbers import json_number
from palaver.review.ranking import QUORUM, Mark, Outcome, Place, decide, panel_average, rank

JUSTIFICATION_CHARACTERS = 500
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Winner(msgspec.Struct, frozen=True):
    """The best answer that reached the quorum."""

    name: str
    provider: str
    score: float


class Model(msgspec.Struct, frozen=True):
    """One respondent."""

    id: str
    name: str
    provider: str


class Standing(msgspec.Struct, frozen=True):
    """One row of the ranking."""

    display_name: str
    provider: str
    average_score: float
    score_count: int
    min_score: float
    max_score: float
    rank: int


class PublishedJudgment(msgspec.Struct, frozen=True):
    """One cell of the matrix."""

    judge_key: str
    judge_name: str
    respondent_key: str
    respondent_name: str
    weighted_score: float
    brief_justification: str


class Published(msgspec.Struct, frozen=True):
    """A whole result file, fields in the order in which they are written."""

    evaluation_id: str
    question_id: str
    question_text: str
    category: str
    timestamp: str
    display_date: str
    winner: Winner | None
    avg_score: float | None
    matrix_size: int
    models_used: tuple[Model, ...]
    rankings: dict[str, Standing]
    judgments: tuple[PublishedJudgment, ...]
    meta: dict[str, str]


class Derived(msgspec.Struct, frozen=True):
    """The computed fields of a result file, and why there is no winner if there is none."""

    display_date: str
    winner: Winner | None
    avg_score: float | None
    matrix_size: int
    models_used: tuple[Model, ...]
    rankings: dict[str, Standing]
    no_winner_because: str | None


def decode(text: str | bytes, where: str = "result file") -> Published:
    """Read a result file. Raises `FormatError` naming the field that is missing or of the wrong type."""
    try:
        return msgspec.json.decode(text, type=Published)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(where, str(error)) from error


def encode(document: Published) -> str:
    """Write a result file in the published form."""
    return json.dumps(_plain(msgspec.to_builtins(document)), indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return json_number(value) if isinstance(value, float) else value


def derive(
    judgments: Sequence[PublishedJudgment],
    providers: Mapping[str, str],
    timestamp: str,
    *,
    pool: int | None = None,
    quorum: Fraction = QUORUM,
) -> Derived:
    """Compute what follows from the judgments.

    `providers` names each respondent's provider, `pool` is the size of the whole panel where it is known: members who
    neither judged nor answered leave no trace in a published file, so there it is judges and respondents together.
    """
    marks = [Mark(cell.judge_key, cell.respondent_key, cell.weighted_score) for cell in judgments]
    names = {cell.respondent_key: cell.respondent_name for cell in reversed(judgments)}
    places = rank(marks)
    outcome = decide(places, len(panel(judgments)) if pool is None else pool, quorum)
    return Derived(
        display_date=display_date(timestamp),
        winner=_winner(outcome, names, providers),
        avg_score=panel_average(places),
        matrix_size=len(judgments),
        models_used=tuple(Model(key, names[key], providers.get(key, "")) for key in respondents(judgments)),
        rankings={place.respondent: _standing(place, names, providers) for place in places},
        no_winner_because=outcome.reason,
    )


def _winner(outcome: Outcome, names: Mapping[str, str], providers: Mapping[str, str]) -> Winner | None:
    if outcome.winner is None:
        return None
    key = outcome.winner.respondent
    return Winner(names[key], providers.get(key, ""), outcome.winner.average)


def _standing(place: Place, names: Mapping[str, str], providers: Mapping[str, str]) -> Standing:
    return Standing(
        display_name=names[place.respondent],
        provider=providers.get(place.respondent, ""),
        average_score=place.average,
        score_count=place.marks,
        min_score=place.lowest,
        max_score=place.highest,
        rank=place.rank,
    )


def respondents(judgments: Sequence[PublishedJudgment]) -> tuple[str, ...]:
    """Keys of the judged answers, by first appearance."""
    return tuple(dict.fromkeys(cell.respondent_key for cell in judgments))


def panel(judgments: Sequence[PublishedJudgment]) -> tuple[str, ...]:
    """Judges by first appearance, then respondents who judge nobody: the axis of the matrix."""
    return tuple(dict.fromkeys([*(cell.judge_key for cell in judgments), *respondents(judgments)]))


def display_date(timestamp: str) -> str:
    """`2026-04-02T13:30:34.106Z` as `Apr 02, 2026`."""
    year, month, day = timestamp[:10].split("-")
    return f"{_MONTHS[int(month) - 1]} {day}, {year}"
