"""The additive model, its bootstrap and its contrasts, on tables whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.review.statistics.agreement import alpha, kendall, spearman
from palaver.review.statistics.bootstrap import bootstrap
from palaver.review.statistics.separability import contrasts
from palaver.review.statistics.severity import fit
from palaver.review.statistics.student import quantile, two_sided
from palaver.review.statistics.table import comparable, components
from tests.unit.review.statistics import tables


@given(st.integers(3, 9), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_merits_and_severities_without_noise_come_back_exactly(size: int, seed: int) -> None:
    table, merits, severities = tables.additive(size, size, seed)

    fitted = fit(table)

    assert fitted.merits == pytest.approx(merits, abs=1e-9)
    assert fitted.severities == pytest.approx(severities, abs=1e-9)
    assert fitted.level == pytest.approx(6.0, abs=1e-9)


def test_a_strict_judge_costs_nobody_anything_but_the_plain_mean() -> None:
    table, _, _ = tables.additive(5, 5, noise=0.1)
    stricter = table.marks.copy()
    stricter[0] -= 3.0

    before, after = fit(table), fit(type(table)(table.judges, table.respondents, stricter))

    assert after.merits == pytest.approx(before.merits, abs=1e-9)
    assert after.severities[0] - before.severities[0] == pytest.approx(-3.0 * 4 / 5)


def test_the_fast_bootstrap_equals_fitting_each_weighted_table() -> None:
    table, _, _ = tables.additive(6, 6, noise=0.7)
    fitted = fit(table)
    drawn = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=200)
    slow = []
    for weights in drawn:
        rows, columns = np.nonzero(table.present & (weights > 0)[:, None])
        design = np.zeros((len(rows), 12))
        design[np.arange(len(rows)), columns] = design[np.arange(len(rows)), 6 + rows] = 1
        root = np.sqrt(weights[rows])
        solution = np.linalg.lstsq(design * root[:, None], table.marks[rows, columns] * root, rcond=None)[0][:6]
        slow.append(solution - solution.mean() + fitted.level)
    low, high = np.percentile(slow, (2.5, 97.5), axis=0)

    fast = bootstrap(fitted, seed=3, resamples=200)

    assert fast.left_out == 0
    assert fast.low == pytest.approx(low, abs=1e-9)
    assert fast.high == pytest.approx(high, abs=1e-9)


def test_the_same_seed_gives_the_same_bootstrap() -> None:
    fitted = fit(tables.additive(5, 5, noise=0.5)[0])

    assert (bootstrap(fitted, 7, 500).low == bootstrap(fitted, 7, 500).low).all()


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    inside = total = 0
    for seed in range(150):
        table, merits, _ = tables.additive(7, 7, seed, noise=0.8)
        fitted = fit(table)
        half = np.sqrt(np.diag(fitted.covariance)) * quantile(0.975, fitted.freedom)
        inside += int((np.abs(fitted.adjusted - 6.0 - merits) <= half).sum())
        total += 7

    assert 0.92 <= inside / total <= 0.98


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706205), (2, 4.302653), (10, 2.228139), (24, 2.063899), (69, 1.994945), (1000, 1.962339)]
)
def test_the_t_quantile_is_the_tabulated_one(freedom: int, t: float) -> None:
    assert quantile(0.975, freedom) == pytest.approx(t, abs=1e-5)
    assert two_sided(t, freedom) == pytest.approx(0.05, abs=1e-6)


def test_a_probability_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        quantile(1.0, 5)


def test_alpha_is_one_for_equal_columns_and_about_zero_for_chance() -> None:
    draw = np.random.default_rng(1)

    assert alpha(np.tile(draw.normal(size=8), (5, 1))) == pytest.approx(1.0)
    assert abs(alpha(draw.normal(size=(40, 40)))) < 0.05
    assert np.isnan(alpha(np.full((3, 3), 5.0)))


def test_rank_correlations_of_a_known_example() -> None:
    one, two = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 4, 5])

    assert kendall(one, two) == pytest.approx(0.8)
    assert spearman(one, two) == pytest.approx(0.9)
    assert kendall(one, one[::-1]) == pytest.approx(-1.0)
    assert np.isnan(kendall(one, np.full(5, 2.0)))


def test_holm_never_gives_a_smaller_p_value_than_the_plain_one() -> None:
    pairs = contrasts(fit(tables.additive(6, 6, noise=0.5)[0]))

    assert len(pairs) == 15
    assert all(pair.corrected >= pair.p for pair in pairs)
    assert [pair.corrected for pair in pairs] == sorted(pair.corrected for pair in pairs)


def test_a_table_in_two_halves_is_found_to_be_two() -> None:
    present = np.zeros((4, 4), bool)
    present[:2, 2:] = present[2:, :2] = True

    assert components(present) == [([2, 3], [0, 1]), ([0, 1], [2, 3])]


def test_who_has_a_single_mark_is_left_out_by_name() -> None:
    table, _, _ = tables.additive(5, 5, noise=0.5)
    table.marks[:, 0] = np.nan
    table.marks[1, 0] = 5.0

    found = comparable(table)

    assert found.left_out == (f"answer {table.respondents[0]}",)
    assert found.table is not None
    assert len(found.table.respondents) == 4
