"""Which answers differ by more than chance: contrasts of the additive model, corrected by Holm (1979)."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from palaver.review.statistics.severity import Fit
from palaver.review.statistics.student import two_sided

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Contrast:
    """A pair of answers, the better one first. `corrected` is Holm's p value over all pairs."""

    better: str
    worse: str
    difference: float
    p: float
    corrected: float

    @property
    def separable(self) -> bool:
        """Whether the two differ by more than chance, at 5 % over all pairs together."""
        return self.corrected <= SIGNIFICANCE


def contrasts(fitted: Fit) -> tuple[Contrast, ...]:
    """Every pair of answers, in the order of their p values."""
    scores, covariance = fitted.adjusted, fitted.covariance
    found = []
    for one, two in combinations(np.argsort(-scores, kind="stable").tolist(), 2):
        difference = float(scores[one] - scores[two])
        error = float(np.sqrt(max(0.0, covariance[one, one] + covariance[two, two] - 2 * covariance[one, two])))
        t = difference / error if error > 0 else (float("inf") if difference > 0 else 0.0)
        names = fitted.table.respondents
        found.append((two_sided(t, fitted.freedom), names[one], names[two], difference))
    found.sort(key=lambda each: each[0])
    corrected, highest = [], 0.0
    for index, (p, better, worse, difference) in enumerate(found):
        highest = max(highest, min(1.0, p * (len(found) - index)))
        corrected.append(Contrast(better, worse, difference, p, highest))
    return tuple(corrected)


def not_separable_from(leader: str, pairs: tuple[Contrast, ...]) -> tuple[str, ...]:
    """The answers that cannot be told apart from the leader, nearest first."""
    near = [pair for pair in pairs if leader in (pair.better, pair.worse) and not pair.separable]
    near.sort(key=lambda pair: pair.difference)
    return tuple(pair.worse if pair.better == leader else pair.better for pair in near)
