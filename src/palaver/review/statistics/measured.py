"""The measured profile of one evaluation: corrected scores with intervals, beside the published means.

A pure function of the marks and a seed. What cannot be compared is said in words, in `reasons`; nothing raises for
sparse, disconnected or constant input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from palaver.review.ranking import Mark, Place, rank
from palaver.review.statistics import severity
from palaver.review.statistics.agreement import agreement
from palaver.review.statistics.bootstrap import Bootstrap, bootstrap
from palaver.review.statistics.estimators import second_estimates
from palaver.review.statistics.separability import Contrast, contrasts, not_separable_from
from palaver.review.statistics.severity import Fit, fit
from palaver.review.statistics.sheets import Habits, Sheet, sheets
from palaver.review.statistics.stability import WithoutJudge, leave_one_out, ranks_if_missing_were
from palaver.review.statistics.table import Table, comparable, tabulate


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. The published figures are always there; the measured ones are `None` if it cannot be compared.

    `low` and `high` bound the 95 % t interval, `resampled_low` and `resampled_high` that of resampled judges. `first`
    is the chance of the first place by adjusted score, `first_raw` by plain mean.
    """

    key: str
    name: str
    status: str | None
    score: float
    rank: int
    judges: int
    adjusted: float | None = None
    adjusted_rank: int | None = None
    low: float | None = None
    high: float | None = None
    resampled_low: float | None = None
    resampled_high: float | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    first: float | None = None
    first_raw: float | None = None
    rank_if_missing_were_worst: int | None = None
    rank_if_missing_were_best: int | None = None


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Figures about the panel as a whole. `None` where they cannot be computed."""

    marks: int
    residual_deviation: float
    degrees_of_freedom: int
    severity_range: float
    respondent_share: float
    judge_share: float
    respondent_f: float
    judge_f: float
    alpha_raw: float
    alpha_corrected: float
    kendall: float
    spearman: float
    judge_pairs: int
    icc_single_absolute: float
    icc_single_consistency: float
    icc_panel_mean: float
    resamples: int
    resamples_left_out: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The whole measured profile. `verdict` is the plain sentence about the first place."""

    comparable: bool
    reasons: tuple[str, ...]
    verdict: str
    lines: tuple[Line, ...]
    panel: Panel | None = None
    judges: tuple[Sheet, ...] = ()
    pairs: tuple[Contrast, ...] = ()
    leader: str | None = None
    not_separable: tuple[str, ...] = ()
    without_judge: tuple[WithoutJudge, ...] = ()
    second_opinions: Mapping[str, str] = {}


@dataclass(frozen=True)
class Subject:
    """What is measured: marks, names, and what else is known of answers and judges."""

    marks: Sequence[Mark]
    names: Mapping[str, str]
    statuses: Mapping[str, str] = field(default_factory=dict)
    habits: Mapping[str, Habits] = field(default_factory=dict)


def measure(subject: Subject, seed: int = 0, resamples: int = 10_000) -> Measured:
    """Measure one evaluation. The same marks and seed give the same figures."""
    places = rank(subject.marks)
    lines = tuple(_published(subject, place) for place in places)
    found = comparable(tabulate(subject.marks))
    if found.table is None:
        verdict = "The answers cannot be compared beyond their plain means."
        return Measured(comparable=False, reasons=found.reasons, verdict=verdict, lines=lines)
    fitted = fit(found.table)
    drawn = bootstrap(fitted, seed, resamples)
    pairs = contrasts(fitted)
    leader = found.table.respondents[int(fitted.adjusted.argmax())]
    near = not_separable_from(leader, pairs)
    opinions = {
        name: found.table.respondents[int(figures.argmax())] for name, figures in second_estimates(fitted).items()
    }
    return Measured(
        comparable=True,
        reasons=found.reasons,
        verdict=_verdict(subject, leader, near, opinions),
        lines=_adjusted(lines, fitted, drawn),
        panel=_panel(fitted, drawn),
        judges=sheets(fitted, subject.names, subject.habits),
        pairs=pairs,
        leader=leader,
        not_separable=near,
        without_judge=leave_one_out(fitted),
        second_opinions=opinions,
    )


def _published(subject: Subject, place: Place) -> Line:
    key = place.respondent
    return Line(
        key=key, name=subject.names.get(key, key), status=subject.statuses.get(key), score=place.average,
        rank=place.rank, judges=place.judges,
    )  # fmt: skip


def _adjusted(lines: Sequence[Line], fitted: Fit, drawn: Bootstrap) -> tuple[Line, ...]:
    table, scores, half = fitted.table, fitted.adjusted, fitted.half_widths()
    ranks = (scores[:, None] < scores).sum(1) + 1
    worst, best = _extremes(table)
    where = {key: index for index, key in enumerate(table.respondents)}
    made = []
    for line in lines:
        at = where.get(line.key)
        if at is None:
            made.append(line)
            continue
        made.append(
            msgspec.structs.replace(
                line, adjusted=float(scores[at]), adjusted_rank=int(ranks[at]), low=float(scores[at] - half[at]),
                high=float(scores[at] + half[at]), resampled_low=_known(drawn.low[at]),
                resampled_high=_known(drawn.high[at]), rank_low=_place(drawn.rank_low[at]),
                rank_high=_place(drawn.rank_high[at]), first=_known(drawn.first[at]),
                first_raw=_known(drawn.first_raw[at]), rank_if_missing_were_worst=int(worst[at]),
                rank_if_missing_were_best=int(best[at]),
            )
        )  # fmt: skip
    return tuple(made)


def _extremes(table: Table) -> tuple[np.ndarray, np.ndarray]:
    lowest, highest = float(np.nanmin(table.marks)), float(np.nanmax(table.marks))
    return ranks_if_missing_were(table, lowest), ranks_if_missing_were(table, highest)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _place(value: float) -> int | None:
    return None if np.isnan(value) else int(value)


def _panel(fitted: Fit, drawn: Bootstrap) -> Panel:
    shares, agreed = severity.variance(fitted), agreement(fitted)
    return Panel(
        marks=fitted.table.cells, residual_deviation=fitted.deviation, degrees_of_freedom=fitted.freedom,
        severity_range=float(np.ptp(fitted.severities)), respondent_share=shares.respondent_share,
        judge_share=shares.judge_share, respondent_f=shares.respondent_f, judge_f=shares.judge_f,
        alpha_raw=agreed.alpha_raw, alpha_corrected=agreed.alpha_corrected, kendall=agreed.kendall,
        spearman=agreed.spearman, judge_pairs=agreed.pairs, icc_single_absolute=shares.icc_single_absolute,
        icc_single_consistency=shares.icc_single_consistency, icc_panel_mean=shares.icc_panel_mean,
        resamples=drawn.used, resamples_left_out=drawn.left_out,
    )  # fmt: skip


def _verdict(subject: Subject, leader: str, near: Sequence[str], opinions: Mapping[str, str]) -> str:
    def named(keys: Sequence[str]) -> str:
        return ", ".join(subject.names.get(key, key) for key in keys)

    text = f"{named([leader])} is first after correction for severity"
    text += f"; it is not separable from {named(near)}." if near else ", and separable from all others."
    others = sorted({first for first in opinions.values() if first != leader})
    if others:
        text += f" Other estimators put {named(others)} first: read the first place with care."
    return text
