"""One sheet for each judge: how severe, how consistent, how attentive. It describes; it changes no score."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from palaver.review.published import JUSTIFICATION_CHARACTERS
from palaver.review.statistics.agreement import kendall
from palaver.review.statistics.severity import Fit, fit
from palaver.review.statistics.table import comparable

SUSPICIOUS_FIT = 1.5


@dataclass(frozen=True, slots=True)
class Habits:
    """What is known of a judge besides its marks. `None` where it is not known."""

    empty_justifications: int | None = None
    capped_justifications: int | None = None
    cuts_shown: int | None = None
    cuts_seen: int | None = None
    attention: float | None = None
    failed_controls: tuple[str, ...] = ()


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A judge's sheet.

    `severity` is in points above the average judge, `spread` the standard deviation of its marks, `slope` how far its
    marks rise for one point of the others' adjusted score, `tau` its order against theirs, `misfit` its mean squared
    residual over everybody's (above 1.5 is suspicious).
    """

    judge: str
    name: str
    marks: int
    severity: float | None
    spread: float
    slope: float | None
    tau: float | None
    misfit: float | None
    empty_justifications: int | None
    capped_justifications: int | None
    cuts_shown: int | None
    cuts_seen: int | None
    attention: float | None
    failed_controls: tuple[str, ...]

    @property
    def suspicious(self) -> bool:
        """Whether somebody should look at this judge's marks."""
        return bool(self.failed_controls) or (self.misfit is not None and self.misfit > SUSPICIOUS_FIT)


def sheets(fitted: Fit, names: Mapping[str, str], habits: Mapping[str, Habits]) -> tuple[Sheet, ...]:
    """A sheet for each judge of a fitted table, in its order."""
    everybody = float(np.nanmean(fitted.residuals**2))
    made = []
    for row, judge in enumerate(fitted.table.judges):
        marks = fitted.table.marks[row]
        known = ~np.isnan(marks)
        slope, tau = _against_the_others(fitted, row)
        habit = habits.get(judge, Habits())
        made.append(
            Sheet(
                judge=judge, name=names.get(judge, judge), marks=int(known.sum()),
                severity=float(fitted.severities[row]), spread=float(marks[known].std(ddof=1)), slope=slope, tau=tau,
                misfit=float(np.nanmean(fitted.residuals[row] ** 2)) / everybody if everybody > 0 else None,
                empty_justifications=habit.empty_justifications, capped_justifications=habit.capped_justifications,
                cuts_shown=habit.cuts_shown, cuts_seen=habit.cuts_seen, attention=habit.attention,
                failed_controls=habit.failed_controls,
            )
        )  # fmt: skip
    return tuple(made)


def _against_the_others(fitted: Fit, row: int) -> tuple[float | None, float | None]:
    """Slope and tau of one judge against the adjusted scores that the others give."""
    rest = comparable(fitted.table.without_judge(row)).table
    if rest is None:
        return None, None
    consensus = dict(zip(rest.respondents, fit(rest).adjusted, strict=True))
    marks = fitted.table.marks[row]
    pairs = [
        (consensus[key], mark) for key, mark in zip(fitted.table.respondents, marks, strict=True) if key in consensus
    ]
    found = np.array([pair for pair in pairs if not np.isnan(pair[1])])
    if len(found) < 3:
        return None, None
    centred = found - found.mean(0)
    scale = float((centred[:, 0] ** 2).sum())
    slope = float((centred[:, 0] * centred[:, 1]).sum()) / scale if scale > 0 else None
    tau = kendall(found[:, 0], found[:, 1])
    return slope, None if np.isnan(tau) else tau


def habits_of_texts(justifications: Mapping[str, list[str]]) -> dict[str, Habits]:
    """What a published file tells of each judge besides marks: empty and capped justifications."""
    return {
        judge: Habits(
            empty_justifications=sum(not text.strip() for text in texts),
            capped_justifications=sum(len(text) >= JUSTIFICATION_CHARACTERS for text in texts),
        )
        for judge, texts in justifications.items()
    }
