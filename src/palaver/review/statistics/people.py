"""People's votes beside the jury: how far they agree. Votes never enter the jury's figures.

What is compared is order: of each two answers that one person voted on, does the jury prefer the same one? Pairs that
the person or the jury holds equal say nothing and are left out. A pair has no first and second, so chance agrees on
half of them, and kappa is twice the agreement minus one (Cohen, 1960, with equal margins). What is resampled is the
person with all its votes.
"""

from collections.abc import Mapping
from itertools import combinations

import msgspec
import numpy as np

from palaver.review.statistics.table import Floats

RESAMPLES = 2_000


class Popular(msgspec.Struct, frozen=True, kw_only=True):
    """What people said to one answer, beside the jury's score for it."""

    respondent: str
    votes: int
    mean: float
    jury: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`agreement` is a share of `pairs`; `low` and `high` bound the 95 % interval of kappa (`None`: one person)."""

    persons: int
    votes: int
    pairs: int
    agreement: float | None
    kappa: float | None
    low: float | None
    high: float | None
    answers: tuple[Popular, ...]


def compare(votes: Mapping[tuple[str, str], float], jury: Mapping[str, float], seed: int = 0) -> Comparison:
    """Compare votes, (person, respondent) to mark, with the jury's scores. Never raises for what they contain."""
    by_person: dict[str, dict[str, float]] = {}
    by_answer: dict[str, list[float]] = {}
    for (person, respondent), mark in sorted(votes.items()):
        by_person.setdefault(person, {})[respondent] = mark
        by_answer.setdefault(respondent, []).append(mark)
    counts = np.array([_pairs(marks, jury) for marks in by_person.values()], np.float64).reshape(-1, 2)
    agreed, pairs = counts.sum(0).tolist() if len(counts) else (0.0, 0.0)
    low, high = _interval(counts, seed)
    return Comparison(
        persons=len(by_person), votes=len(votes), pairs=int(pairs), agreement=agreed / pairs if pairs else None,
        kappa=2 * agreed / pairs - 1 if pairs else None, low=low, high=high,
        answers=tuple(
            Popular(respondent=key, votes=len(marks), mean=float(np.mean(marks)), jury=jury.get(key))
            for key, marks in sorted(by_answer.items(), key=lambda each: -float(np.mean(each[1])))
        ),
    )  # fmt: skip


def _pairs(marks: Mapping[str, float], jury: Mapping[str, float]) -> tuple[int, int]:
    """How many pairs of one person the jury orders alike, and how many both order at all."""
    agreed = compared = 0
    for one, two in combinations([key for key in marks if key in jury], 2):
        product = (marks[one] - marks[two]) * (jury[one] - jury[two])
        compared += product != 0
        agreed += product > 0
    return agreed, compared


def _interval(counts: Floats, seed: int) -> tuple[float | None, float | None]:
    persons = int((counts[:, 1] > 0).sum())
    if persons < 2:
        return None, None
    counts = counts[counts[:, 1] > 0]
    drawn = np.random.default_rng(seed).multinomial(persons, np.full(persons, 1 / persons), size=RESAMPLES)
    sums = drawn.astype(np.float64) @ counts
    low, high = np.percentile(2 * sums[:, 0] / sums[:, 1] - 1, (2.5, 97.5))
    return float(low), float(high)
