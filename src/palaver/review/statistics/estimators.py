"""Other ways to order the answers. Where they disagree with the additive model about the first place, say so.

Each returns one figure per answer, larger is better; figures of different estimators have different scales.
"""

from collections.abc import Mapping

import numpy as np

from palaver.review.statistics.severity import Fit
from palaver.review.statistics.table import Floats

_ROUNDS = 500
_CLOSE = 1e-10


def second_estimates(fitted: Fit) -> Mapping[str, Floats]:
    """All second estimators by name."""
    return {
        "Bradley-Terry": bradley_terry(fitted.table.marks),
        "Borda": borda(fitted.table.marks),
        "median": median(fitted),
        "scale": scale(fitted),
    }


def bradley_terry(marks: Floats) -> Floats:
    """Log strengths from each judge's pairs (Bradley and Terry, 1952), by minorisation (Hunter, 2004).

    A tie is half a win for both. Half a game against an imaginary average answer keeps an unbeaten one finite.
    """
    wins = np.zeros((marks.shape[1], marks.shape[1]))
    for row in marks:
        known = ~np.isnan(row)
        both = known[:, None] & known
        with np.errstate(invalid="ignore"):
            wins += np.where(both, (row[:, None] > row) + 0.5 * (row[:, None] == row), 0.0)
    np.fill_diagonal(wins, 0.0)
    games = wins + wins.T
    strength = np.ones(len(wins))
    for _ in range(_ROUNDS):
        shares = (games / (strength[:, None] + strength)).sum(1) + 0.5 / (strength + 1)
        updated = (wins.sum(1) + 0.25) / shares
        if float(np.abs(updated - strength).max()) < _CLOSE:
            break
        strength = updated
    return np.asarray(np.log(strength))


def borda(marks: Floats) -> Floats:
    """Mean share of a judge's other answers that an answer beats, from 0 to 1. A tie is half a win."""
    shares = np.full(marks.shape, np.nan)
    for index, row in enumerate(marks):
        known = np.flatnonzero(~np.isnan(row))
        values = row[known]
        if len(values) > 1:
            beaten = (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) - 1) / 2
            shares[index, known] = beaten / (len(values) - 1)
    return np.asarray(np.nanmean(shares, axis=0))


def median(fitted: Fit) -> Floats:
    """Median of the marks after taking each judge's severity away."""
    return np.asarray(np.nanmedian(fitted.table.marks - fitted.severities[:, None], axis=0))


def scale(fitted: Fit) -> Floats:
    """Merits if judges also differ in how far they spread their marks: mark = m(judge) + a(judge) * merit.

    Alternating least squares from the additive fit; slopes have mean 1 and are kept above 0.1, so that a judge who
    marks everybody alike cannot turn the scale around.
    """
    marks, present = fitted.table.marks, fitted.table.present
    merits = fitted.merits.copy()
    for _ in range(_ROUNDS):
        before = merits
        at = np.where(present, merits, np.nan)
        middle = np.nanmean(at, axis=1, keepdims=True)
        spread = np.nansum((at - middle) ** 2, axis=1)
        together = np.nansum((at - middle) * (marks - np.nanmean(marks, axis=1, keepdims=True)), axis=1)
        slopes = np.clip(np.divide(together, spread, out=np.ones_like(spread), where=spread > 0), 0.1, None)
        slopes = slopes / slopes.mean()
        levels = np.nanmean(marks, axis=1) - slopes * middle[:, 0]
        top = np.nansum(slopes[:, None] * (marks - levels[:, None]), axis=0)
        merits = top / (present * slopes[:, None] ** 2).sum(0)
        merits = merits - merits.mean()
        if float(np.abs(merits - before).max()) < _CLOSE:
            break
    return np.asarray(merits + fitted.level)
