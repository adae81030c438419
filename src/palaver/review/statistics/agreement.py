"""How far judges agree: Krippendorff's alpha for interval data, and rank correlations between pairs of judges.

Alpha compares the disagreement between judges of the same answer with that between any two marks: 1 is perfect, 0 is
what chance gives (Krippendorff, "Content Analysis", 2004, chapter 11). Low raw and high corrected alpha means that the
judges differ in level and not in order.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from palaver.review.statistics.severity import Fit
from palaver.review.statistics.table import Floats

SHARED_ANSWERS = 4


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures of agreement. Correlations are means over the `pairs` of judges that share at least four answers."""

    alpha_raw: float
    alpha_corrected: float
    kendall: float
    spearman: float
    pairs: int


def agreement(fitted: Fit) -> Agreement:
    """All figures of a fitted table."""
    marks = fitted.table.marks
    taus, rhos = [], []
    for one, two in combinations(range(len(fitted.table.judges)), 2):
        both = ~np.isnan(marks[one]) & ~np.isnan(marks[two])
        if both.sum() >= SHARED_ANSWERS:
            taus.append(kendall(marks[one, both], marks[two, both]))
            rhos.append(spearman(marks[one, both], marks[two, both]))
    return Agreement(
        alpha_raw=alpha(marks),
        alpha_corrected=alpha(marks - fitted.severities[:, None]),
        kendall=_mean(taus),
        spearman=_mean(rhos),
        pairs=len(taus),
    )


def alpha(marks: Floats) -> float:
    """Krippendorff's alpha, interval metric; units are columns. NaN if the marks do not vary."""
    units = [column[~np.isnan(column)] for column in marks.T]
    paired = [unit for unit in units if len(unit) >= 2]
    if not paired:
        return float("nan")
    values = np.concatenate(paired)
    # The mean squared difference over all ordered pairs is twice the variance.
    within = sum(2 * len(unit) * float(unit.var(ddof=1)) for unit in paired) / len(values)
    between = 2 * float(values.var(ddof=1))
    return 1 - within / between if between > 0 else float("nan")


def kendall(one: Floats, two: Floats) -> float:
    """Kendall's tau-b, which corrects for ties. NaN if one of them does not vary."""
    rows, columns = np.triu_indices(len(one), 1)
    a, b = np.sign(one[rows] - one[columns]), np.sign(two[rows] - two[columns])
    scale = float(np.sqrt((a != 0).sum() * (b != 0).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")


def spearman(one: Floats, two: Floats) -> float:
    """Spearman's rho, with mean ranks for ties. NaN if one of them does not vary."""
    a, b = _ranks(one), _ranks(two)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean rank."""
    return np.asarray((values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) + 1) / 2, np.float64)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
