"""One board over many evaluations: merits pooled over questions, and which places are not separable.

Every judge has a severity of its own on every question, so a hard question or a strict day costs nobody anything. What
is resampled is the question, with all its marks: the marks of one question are not independent of each other. One
question is no board, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import msgspec
import numpy as np

from palaver.review.ranking import Mark
from palaver.review.statistics.separability import SIGNIFICANCE
from palaver.review.statistics.student import two_sided
from palaver.review.statistics.table import Comparable, Floats, Table, comparable

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Round:
    """One evaluation's marks."""

    evaluation: str
    category: str
    marks: tuple[Mark, ...]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One model on a board. `score` is what an average judge gives on an average question of the board."""

    key: str
    name: str
    score: float
    low: float
    high: float
    rank: int
    rank_low: int
    rank_high: int
    questions: int
    marks: int
    not_separable_from: tuple[str, ...]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A board, or the reasons why there is none."""

    category: str
    questions: int
    standings: tuple[Standing, ...]
    severities: Mapping[str, float]
    reasons: tuple[str, ...]


def board(rounds: Sequence[Round], names: Mapping[str, str], category: str = "all", seed: int = 0) -> Board:
    """Pool the rounds. Never raises for what they contain."""
    found = comparable(_stack(rounds))
    questions = len({each.evaluation for each in rounds if each.marks})
    if found.table is None or questions < 2:
        why = (
            found.reasons
            if found.table is None
            else (*found.reasons, "one question is no board; at least two are needed")
        )
        return Board(category=category, questions=questions, standings=(), severities={}, reasons=why)
    return _pooled(found, rounds, names, category, questions, seed)


def boards(rounds: Sequence[Round], names: Mapping[str, str], seed: int = 0) -> tuple[Board, ...]:
    """One board over everything, and one for each category, in the order of their names."""
    categories = sorted({each.category for each in rounds})
    made = [board(rounds, names, seed=seed)]
    made += [board([each for each in rounds if each.category == name], names, name, seed) for name in categories]
    return tuple(made)


_SEPARATOR = "\x1f"


def _stack(rounds: Sequence[Round]) -> Table:
    """All rounds under each other: each judge of each question is a row."""
    columns: dict[str, int] = {}
    rows: dict[str, dict[str, float]] = {}
    for each in rounds:
        for mark in each.marks:
            columns.setdefault(mark.respondent, len(columns))
            rows.setdefault(f"{each.evaluation}{_SEPARATOR}{mark.judge}", {})[mark.respondent] = mark.score
    grid = np.full((len(rows), len(columns)), np.nan)
    for index, marks in enumerate(rows.values()):
        for key, score in marks.items():
            grid[index, columns[key]] = score
    return Table(tuple(rows), tuple(columns), grid)


def _pooled(
    found: Comparable, rounds: Sequence[Round], names: Mapping[str, str], category: str, questions: int, seed: int
) -> Board:
    table = found.table
    assert table is not None
    question_of = [row.split(_SEPARATOR)[0] for row in table.judges]
    order = {key: index for index, key in enumerate(dict.fromkeys(question_of))}
    left, right = _equations(table, np.array([order[key] for key in question_of]), len(order))
    merits = _solve(left.sum(0)[None], right.sum(0)[None])[0]
    level, severities = _levels(table, merits, question_of)
    drawn = np.random.default_rng(seed).multinomial(len(order), np.full(len(order), 1 / len(order)), size=RESAMPLES)
    weights = drawn.astype(np.float64)
    sums = np.tensordot(weights, left, axes=1)
    usable = np.linalg.matrix_rank(sums) >= len(table.respondents) - 1
    resampled = _solve(sums[usable], (weights @ right)[usable])
    near = _near(table.respondents, merits, resampled, len(order))
    standings = _standings(table, merits + level, resampled + level, near, names, rounds)
    return Board(
        category=category, questions=questions, standings=standings, severities=severities, reasons=found.reasons
    )


def _equations(table: Table, questions: np.ndarray, count: int) -> tuple[Floats, Floats]:
    """Normal equations for the merits, summed over each question's judges (their severities are eliminated)."""
    width = len(table.respondents)
    left, right = np.zeros((count, width, width)), np.zeros((count, width))
    present = table.present.astype(np.float64)
    filled = np.where(table.present, table.marks, 0.0)
    for row, question in enumerate(questions):
        known = present[row]
        left[question] += np.diag(known) - np.outer(known, known) / known.sum()
        right[question] += np.where(known > 0, filled[row] - filled[row].sum() / known.sum(), 0.0)
    return left, right


def _solve(left: Floats, right: Floats) -> Floats:
    """Merits that add up to 0, for each system."""
    return np.asarray(np.linalg.solve(left + 1.0, right[:, :, None])[:, :, 0], np.float64)


def _levels(table: Table, merits: Floats, question_of: Sequence[str]) -> tuple[float, dict[str, float]]:
    """The level of an average judge on an average question, and each judge's mean severity against it."""
    rows = np.nanmean(table.marks - merits, axis=1)
    by_question: dict[str, list[float]] = {}
    for value, question in zip(rows.tolist(), question_of, strict=True):
        by_question.setdefault(question, []).append(value)
    means = {question: float(np.mean(values)) for question, values in by_question.items()}
    by_judge: dict[str, list[float]] = {}
    for name, value, question in zip(table.judges, rows.tolist(), question_of, strict=True):
        by_judge.setdefault(name.split(_SEPARATOR)[1], []).append(value - means[question])
    level = float(np.mean(list(means.values())))
    return level, {judge: float(np.mean(values)) for judge, values in by_judge.items()}


def _near(keys: Sequence[str], merits: Floats, resampled: Floats, questions: int) -> dict[str, tuple[str, ...]]:
    """For each model those that cannot be told apart from it, by Holm over all pairs."""
    found = []
    for one, two in combinations(range(len(keys)), 2):
        error = float((resampled[:, one] - resampled[:, two]).std(ddof=1)) if len(resampled) > 1 else 0.0
        difference = abs(float(merits[one] - merits[two]))
        p = two_sided(difference / error, questions - 1) if error > 0 else float(difference == 0)
        found.append((p, keys[one], keys[two]))
    near: dict[str, list[str]] = {key: [] for key in keys}
    highest = 0.0
    for index, (p, one_key, two_key) in enumerate(sorted(found)):
        highest = max(highest, p * (len(found) - index))
        if highest > SIGNIFICANCE:
            near[one_key].append(two_key)
            near[two_key].append(one_key)
    return {key: tuple(others) for key, others in near.items()}


def _standings(
    table: Table, scores: Floats, resampled: Floats, near: Mapping[str, tuple[str, ...]], names: Mapping[str, str],
    rounds: Sequence[Round],
) -> tuple[Standing, ...]:  # fmt: skip
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    ranks = (-resampled).argsort(1).argsort(1) + 1
    rank_low, rank_high = np.percentile(ranks, (2.5, 97.5), axis=0, method="nearest")
    counts = {
        key: sum(any(mark.respondent == key for mark in each.marks) for each in rounds) for key in table.respondents
    }
    made = []
    for number, at in enumerate(np.argsort(-scores, kind="stable").tolist(), start=1):
        key = table.respondents[at]
        made.append(
            Standing(
                key=key, name=names.get(key, key), score=float(scores[at]), low=float(low[at]), high=float(high[at]),
                rank=number, rank_low=int(rank_low[at]), rank_high=int(rank_high[at]), questions=counts[key],
                marks=int(table.present[:, at].sum()), not_separable_from=near[key],
            )
        )  # fmt: skip
    return tuple(made)
