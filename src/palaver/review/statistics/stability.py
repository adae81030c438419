"""How much a ranking depends on single judges, and on the marks that are missing."""

from dataclasses import dataclass

import numpy as np

from palaver.review.statistics.agreement import kendall
from palaver.review.statistics.severity import Fit, fit
from palaver.review.statistics.table import Floats, Table, comparable


@dataclass(frozen=True, slots=True)
class WithoutJudge:
    """The ranking without one judge. `tau` compares the adjusted orders, `largest_move` is in points."""

    judge: str
    first_raw: str
    first_adjusted: str
    tau: float
    largest_move: float


def leave_one_out(fitted: Fit) -> tuple[WithoutJudge, ...]:
    """Leave each judge out in turn; judges without whom nothing can be compared are not listed."""
    found = []
    table = fitted.table
    for index, judge in enumerate(table.judges):
        rest = comparable(table.without_judge(index)).table
        if rest is None:
            continue
        again = fit(rest)
        places = [table.respondents.index(key) for key in rest.respondents]
        before = fitted.adjusted[places]
        moves = (again.adjusted - again.adjusted.mean()) - (before - before.mean())
        found.append(
            WithoutJudge(
                judge,
                rest.respondents[int(np.nanargmax(np.nanmean(rest.marks, axis=0)))],
                rest.respondents[int(again.adjusted.argmax())],
                kendall(before, again.adjusted),
                float(np.abs(moves).max()),
            )
        )
    return tuple(found)


def ranks_if_missing_were(table: Table, score: float) -> Floats:
    """Ranks by plain mean if every missing mark (a judge's own answer aside) had been `score`."""
    own = np.array([[judge == key for key in table.respondents] for judge in table.judges])
    filled = np.where(table.present, table.marks, np.where(own, np.nan, score))
    means = np.nanmean(filled, axis=0)
    return np.asarray((means[:, None] < means).sum(1) + 1, np.float64)
