"""Marks as the sum of an answer's merit and a judge's severity: the additive model, by least squares.

    mark(judge, answer) = level + merit(answer) + severity(judge) + error,   merits and severities each add up to 0

One equation for each mark that is there, so missing marks need no invention. This is the linear form of the many-facet
Rasch model (Linacre, "Many-Facet Rasch Measurement", 1989). `level + merit` is the mark that an answer would get from a
judge of average severity; a positive severity is a lenient judge.

A table that goes in must be comparable (`table.py`).
"""

from dataclasses import dataclass

import numpy as np

from palaver.review.statistics.student import quantile
from palaver.review.statistics.table import Floats, Table


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted model. `covariance` is that of the adjusted scores."""

    table: Table
    level: float
    merits: Floats
    severities: Floats
    residuals: Floats
    freedom: int
    deviation: float
    covariance: Floats
    severity_covariance: Floats

    @property
    def adjusted(self) -> Floats:
        """The mark that each answer would get from an average judge. Not clipped to the scale."""
        return self.level + self.merits

    def half_widths(self, confidence: float = 0.95) -> Floats:
        """Half the width of each adjusted score's t interval."""
        t = quantile(0.5 + confidence / 2, self.freedom)
        return np.asarray(t * np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, slots=True)
class Variance:
    """Where the marks' variation comes from. Shares are each beyond the other factor; F tests against the residual."""

    respondent_share: float
    judge_share: float
    respondent_f: float
    judge_f: float
    icc_single_absolute: float
    icc_single_consistency: float
    icc_panel_mean: float


def fit(table: Table) -> Fit:
    """Fit the model to a comparable table."""
    rows, columns = np.nonzero(table.present)
    marks = table.marks[rows, columns]
    design = _design(rows, columns, len(table.judges), len(table.respondents))
    solution = np.asarray(np.linalg.lstsq(design, marks, rcond=None)[0], np.float64)
    respondents = len(table.respondents)
    merits = _with_last(solution[1:respondents])
    severities = _with_last(solution[respondents:])
    residuals = np.full(table.marks.shape, np.nan)
    residuals[rows, columns] = marks - design @ solution
    freedom = len(marks) - design.shape[1]
    variance = float(np.nansum(residuals**2)) / freedom
    covariance = np.linalg.inv(design.T @ design) * variance
    to_scores = np.hstack(
        [np.ones((respondents, 1)), _coding(respondents), np.zeros((respondents, len(table.judges) - 1))]
    )
    to_severities = np.hstack([np.zeros((len(table.judges), respondents)), _coding(len(table.judges))])
    return Fit(
        table, float(solution[0]), merits, severities, residuals, freedom, float(np.sqrt(variance)),
        to_scores @ covariance @ to_scores.T, to_severities @ covariance @ to_severities.T,
    )  # fmt: skip


def _coding(levels: int) -> Floats:
    """Effects coding: the last level is minus the sum of the others."""
    return np.vstack([np.eye(levels - 1), -np.ones((1, levels - 1))])


def _design(rows: np.ndarray, columns: np.ndarray, judges: int, respondents: int) -> Floats:
    return np.hstack([np.ones((len(rows), 1)), _coding(respondents)[columns], _coding(judges)[rows]])


def _with_last(values: Floats) -> Floats:
    return np.asarray(np.append(values, -values.sum()))


def variance(fitted: Fit) -> Variance:
    """Split the variation of the marks between answers, judges and the rest."""
    table = fitted.table
    rows, columns = np.nonzero(table.present)
    marks = table.marks[rows, columns]
    rest = float(np.nansum(fitted.residuals**2))
    total = float(((marks - marks.mean()) ** 2).sum())
    without_respondents = _within(marks, rows) - rest
    without_judges = _within(marks, columns) - rest
    noise = fitted.deviation**2
    of_respondents = max(0.0, float(fitted.merits.var(ddof=1)) - _noise_in(fitted.covariance))
    of_judges = max(0.0, float(fitted.severities.var(ddof=1)) - _noise_in(fitted.severity_covariance))
    per_answer = table.cells / len(table.respondents)
    return Variance(
        respondent_share=without_respondents / total,
        judge_share=without_judges / total,
        respondent_f=_ratio(without_respondents / (len(table.respondents) - 1), noise),
        judge_f=_ratio(without_judges / (len(table.judges) - 1), noise),
        icc_single_absolute=_ratio(of_respondents, of_respondents + of_judges + noise),
        icc_single_consistency=_ratio(of_respondents, of_respondents + noise),
        icc_panel_mean=_ratio(of_respondents, of_respondents + noise / per_answer),
    )


def _within(marks: Floats, groups: np.ndarray) -> float:
    """Sum of squares around the means of groups."""
    counts = np.bincount(groups)
    means = np.bincount(groups, marks) / np.maximum(counts, 1)
    return float(((marks - means[groups]) ** 2).sum())


def _noise_in(covariance: Floats) -> float:
    """How much of the variance between estimates is their own error: the mean over contrasts."""
    levels = len(covariance)
    centred = np.eye(levels) - 1 / levels
    return float(np.trace(centred @ covariance) / (levels - 1))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
