"""Ranking in the compatible profile: plain means of the marks each answer received, and a winner only at quorum.

It takes marks and gives places. It does not know rubrics, files, judges' severities or time.

Invariants: a missing mark is left out and never a zero; places are ordered by the unrounded mean; equal means keep the
order in which the answers first appear; nobody wins whom fewer judges marked than the quorum asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from palaver.review.numbers import exact, half_up

QUORUM = Fraction(8, 10)


@dataclass(frozen=True, slots=True)
class Mark:
    """One judge's weighted score for one answer."""

    judge: str
    respondent: str
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where one answer came, with the figures behind it."""

    respondent: str
    rank: int
    mean: Fraction
    lowest: float
    highest: float
    judges: int
    marks: int

    @property
    def average(self) -> float:
        """The mean as it is published: two decimals, half up."""
        return half_up(self.mean, 2)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who won, or why nobody did. Exactly one of `winner` and `reason` is set."""

    winner: Place | None
    reason: str | None
    needed: int


def rank(marks: Sequence[Mark]) -> tuple[Place, ...]:
    """Order the answers by their mean mark. No marks give no places."""
    columns: dict[str, list[Mark]] = {}
    for mark in marks:
        columns.setdefault(mark.respondent, []).append(mark)
    means = {key: Fraction(sum(exact(mark.score) for mark in column), len(column)) for key, column in columns.items()}
    order = sorted(columns, key=lambda key: -means[key])
    return tuple(_place(key, number, means[key], columns[key]) for number, key in enumerate(order, start=1))


def _place(key: str, number: int, mean: Fraction, column: Sequence[Mark]) -> Place:
    scores = [mark.score for mark in column]
    judges = len({mark.judge for mark in column})
    return Place(key, number, mean, min(scores), max(scores), judges, len(scores))


def panel_average(places: Sequence[Place]) -> float | None:
    """Mean of the answers' means (not of the marks), three decimals; `None` without places."""
    if not places:
        return None
    return half_up(Fraction(sum(place.mean for place in places), len(places)), 3)


def needed_judges(pool: int, quorum: Fraction = QUORUM) -> int:
    """How many distinct judges an answer needs before it can win, of a panel of `pool` members."""
    return max(1, int(quorum * (pool - 1)))


def decide(places: Sequence[Place], pool: int, quorum: Fraction = QUORUM) -> Outcome:
    """Name the best answer that enough judges marked. `pool` counts all panel members, those without an answer too."""
    needed = needed_judges(pool, quorum)
    for place in places:
        if place.judges >= needed:
            return Outcome(place, None, needed)
    if not places:
        return Outcome(None, "No answer was judged.", needed)
    most = max(place.judges for place in places)
    return Outcome(None, f"A winner needs {needed} judges; the best covered answer has {most}.", needed)
