"""Intervals and chances of first place by resampling judges, the exchangeable unit (Efron, 1979).

A judge drawn twice counts twice and keeps one severity: its rows are weighted. For each resample the additive model is
solved for the merits alone; eliminating the severities leaves normal equations that are sums over judges, so all
resamples are solved at once. Resamples in which the answers do not hang together are left out and counted.
"""

from dataclasses import dataclass

import numpy as np

from palaver.review.statistics.severity import Fit
from palaver.review.statistics.table import Floats, Table

RESAMPLES = 10_000
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Bounds are those of the middle 95 %. The level of the panel is held at its estimate."""

    low: Floats
    high: Floats
    rank_low: Floats
    rank_high: Floats
    first: Floats
    first_raw: Floats
    used: int
    left_out: int


def bootstrap(fitted: Fit, seed: int, resamples: int = RESAMPLES, confidence: float = 0.95) -> Bootstrap:
    """Resample the judges. The same seed gives the same figures."""
    table = fitted.table
    judges = len(table.judges)
    drawn = np.random.default_rng(seed).multinomial(judges, np.full(judges, 1 / judges), size=resamples)
    weights = drawn.astype(np.float64)
    usable = _connected(table, weights)
    weights = weights[usable]
    respondents = len(table.respondents)
    if len(weights) == 0:
        unknown = np.full(respondents, np.nan)
        return Bootstrap(unknown, unknown, unknown, unknown, unknown, unknown, 0, resamples)
    merits, raw = _merits(table, weights), _means(table, weights)
    edges = (50 * (1 - confidence), 50 * (1 + confidence))
    ranks = (-merits).argsort(1).argsort(1) + 1
    low, high = np.percentile(fitted.level + merits, edges, axis=0)
    rank_low, rank_high = np.percentile(ranks, edges, axis=0, method="nearest")
    return Bootstrap(
        low, high, rank_low, rank_high, _first(merits), _first(raw),
        len(weights), resamples - len(weights),
    )  # fmt: skip


def _connected(table: Table, weights: Floats) -> np.ndarray:
    """Which resamples connect all answers through the judges that were drawn."""
    present = table.present.astype(np.float64)
    shared = np.einsum("jr,js->jrs", present, present)
    reach = np.tensordot(weights > 0, shared, axes=1) > 0
    for _ in range(int(np.ceil(np.log2(max(2, reach.shape[1]))))):
        reach = (reach.astype(np.float64) @ reach.astype(np.float64)) > 0
    return np.asarray(reach.all(axis=(1, 2)))


def _merits(table: Table, weights: Floats) -> Floats:
    """Merits of each resample: solve sum_j w_j (D_j - 1 1'/n_j) merit = sum_j w_j (centred marks of j)."""
    present = table.present.astype(np.float64)
    counts = present.sum(1)
    filled = np.where(table.present, table.marks, 0.0)
    centred = np.where(table.present, filled - (filled.sum(1) / counts)[:, None], 0.0)
    own = np.einsum("jr,rs->jrs", present, np.eye(present.shape[1]))
    equations = own - np.einsum("jr,js->jrs", present, present) / counts[:, None, None]
    left = np.tensordot(weights, equations, axes=1) + 1.0  # the merits' sum, which the equations leave open, is 0
    right = weights @ centred
    return np.asarray(np.linalg.solve(left, right[:, :, None])[:, :, 0], np.float64)


def _means(table: Table, weights: Floats) -> Floats:
    filled = np.where(table.present, table.marks, 0.0)
    return np.asarray((weights @ filled) / np.maximum(weights @ table.present.astype(np.float64), 1e-12))


def _first(scores: Floats) -> Floats:
    """How often each answer is first; resamples in which several are share it."""
    best = scores >= scores.max(1, keepdims=True) - _EQUAL
    shares = (best / best.sum(1, keepdims=True)).mean(0)
    return np.asarray(shares, np.float64)
