from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adambias.analysis.trends import (
    Estimate,
    corrected,
    decide,
    log_distance,
    mean_over_seeds,
    share_of_seeds,
    spans,
    student,
    trend,
)
from adambias.config import Verdict

LEVEL = 0.95


def points(values, x=(0.0, 1.0, 2.0)):
    """One row per seed and x, from an array of shape (seeds, x)."""
    return pd.DataFrame(
        [
            {"seed": seed, "x": place, "y": y}
            for seed, row in enumerate(values)
            for place, y in zip(x, row, strict=True)
        ]
    )


def test_the_change_is_the_slope_times_the_range():
    found = trend(points([[0, 1, 2], [5, 6.5, 8]]), "x", "y", LEVEL)
    assert found.value == pytest.approx((2 + 3) / 2)
    assert (found.n, found.rank_correlation) == (2, pytest.approx(1))


def test_what_seeds_differ_by_does_not_widen_the_interval():
    rows = np.array([[0, 1, 2.0], [0, 1.1, 2.1], [0, 0.9, 1.9]])
    near = trend(points(rows), "x", "y", LEVEL)
    far = trend(points(rows + np.array([[0], [100], [-300]])), "x", "y", LEVEL)
    assert (far.low, far.high) == pytest.approx((near.low, near.high))


def test_the_interval_and_p_are_students():
    sample = np.array([1.0, 2.0, 4.0])
    found = mean_over_seeds(sample, LEVEL)
    low, high = stats.t.interval(0.95, 2, loc=sample.mean(), scale=stats.sem(sample))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)
    assert tuple(student(sample, 0.95)) == pytest.approx((low, high))


def test_an_error_that_seeds_share_does_not_average_out():
    """Welch's interval, against SciPy's test of two samples, one of them the shared error."""
    rng = np.random.default_rng(0)
    sample, other = rng.normal(1.0, 0.3, size=6), rng.normal(0.0, 0.5, size=2_000)
    other -= other.mean()
    found = mean_over_seeds(sample, LEVEL, variance=float(stats.sem(other)) ** 2)
    expected = stats.ttest_ind(sample, other, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    bounds = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), rel=1e-3)

    many = mean_over_seeds(np.tile(sample, 1_000), LEVEL, variance=0.04)
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.2, rel=0.01)


def test_the_sampling_error_of_a_change_is_that_of_its_weighted_values():
    rows = points([[0.5, 0.6, 0.7]] * 4).assign(variance=0.01)
    found = trend(rows, "x", "y", LEVEL)
    # The slope over 0, 1, 2 times the range 2 is y2 - y0: twice the variance of one value.
    assert found.value == pytest.approx(0.2)
    assert found.high - found.low == pytest.approx(2 * 1.96 * (2 * 0.01) ** 0.5, rel=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_noise_excludes_zero_about_as_rarely_as_the_level_says(seeds):
    rng = np.random.default_rng(1)
    found = [mean_over_seeds(rng.normal(size=seeds), LEVEL) for _ in range(2_000)]
    wrong = np.mean([not f.low <= 0 <= f.high for f in found])
    assert wrong == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("true", "n", "low", "high"),
    [(3, 3, 0.2924, 1.0), (0, 5, 0.0, 0.5218), (8, 10, 0.4439, 0.9748)],
    ids=["all of three", "none of five", "the table's 8 of 10"],
)
def test_shares_have_the_exact_interval(true, n, low, high):
    found = share_of_seeds(pd.Series([True] * true + [False] * (n - true)), LEVEL)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert (found.value, found.null, found.n) == (true / n, 0.5, n)
    assert found.p == pytest.approx(stats.binomtest(true, n).pvalue)


def test_holms_procedure():
    """Each p times the number of those not yet rejected."""
    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected([0.01, np.nan]) == pytest.approx([0.02, 1.0])
    assert corrected([]) == []


def test_seeds_are_named_by_their_spans():
    assert spans([10, 11, 12, 3, 15, 14]) == "3, 10 to 12, 14 to 15"


def test_series_are_averaged_within_a_seed():
    both = [points([[0, 1, 2]]).assign(series="a"), points([[0, 2, 4]]).assign(series="b")]
    found = trend(pd.concat(both), "x", "y", LEVEL)
    assert (found.value, found.n) == (pytest.approx(3), 1)


@pytest.mark.parametrize(
    "table",
    [
        points([[1], [2]], x=(0.5,)),
        points([]).reindex(columns=["seed", "x", "y"]),
        points([[np.nan, np.nan, np.nan]]),
    ],
    ids=["one value", "no rows", "only NaN"],
)
def test_no_trend_without_two_values(table):
    found = trend(table.astype(float), "x", "y", LEVEL)
    assert found.n == 0
    assert np.isnan(found.value)
    assert decide(found, Verdict(), side=1, least=0)[0] == "inconclusive"


def test_a_seed_with_one_value_left_does_not_count():
    rows = points([[0, 1, 2], [0, 1, 2], [0, np.nan, np.nan]])
    assert trend(rows, "x", "y", LEVEL).n == 2


def test_seeds_are_compared_at_the_values_that_all_have():
    """A curve that saturates: without its flat end one seed would stand for a steeper grid."""
    whole = points([[0, 3, 4, 4.2], [1, 4, 5, 5.2], [0, 3, 4, 4.2]], x=(0, 1, 2, 3))
    lacking = whole[~((whole["seed"] == 2) & (whole["x"] > 1))]
    found = trend(lacking, "x", "y", LEVEL)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))
    assert (found.n, found.used) == (3, 6)
    assert trend(whole, "x", "y", LEVEL).used == 12


def test_seeds_without_two_values_in_common_decide_nothing():
    rows = points([[0, 1, 2, 3], [0, 1, 2, 3]], x=(0, 1, 2, 3))
    apart = rows[(rows["seed"] == 0) == (rows["x"] < 2)]
    assert trend(apart, "x", "y", LEVEL).n == 0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=12)
    first, again = (astuple(mean_over_seeds(values, LEVEL)) for _ in range(2))

    assert first == again


@pytest.mark.parametrize(
    ("value", "low", "high", "n", "verdict"),
    [
        (1.0, 0.5, 1.5, 5, "agrees"),
        (-1.0, -1.5, -0.5, 5, "disagrees"),
        (1.0, -0.1, 2.1, 5, "inconclusive"),
        (0.05, 0.04, 0.06, 5, "inconclusive"),
        (1.0, 0.5, 1.5, 4, "inconclusive"),
        (1.0, np.nan, np.nan, 5, "inconclusive"),
        (0.0, 0.0, 0.0, 5, "inconclusive"),
    ],
)
def test_the_rule(value, low, high, n, verdict):
    estimate = Estimate(value=value, low=low, high=high, n=n)
    assert decide(estimate, Verdict(), side=1, least=0.1)[0] == verdict
    mirrored = {"agrees": "disagrees", "disagrees": "agrees"}.get(verdict, verdict)
    assert decide(estimate, Verdict(), side=-1, least=0.1)[0] == mirrored


def test_a_share_is_compared_with_one_half():
    most = share_of_seeds(pd.Series([True] * 8), LEVEL)
    assert decide(most, Verdict(), side=1, least=0.1)[0] == "agrees"
    few = share_of_seeds(pd.Series([True] * 5), LEVEL)
    assert decide(few, Verdict(), side=1, least=0.1) == (
        *("inconclusive", "the interval includes one half"),
    )


def test_seeds_that_were_looked_at_decide_nothing():
    values = pd.Series([1.0, 1.1, 0.9, 1.0, 1.2], index=[9, 10, 11, 12, 13])
    found = mean_over_seeds(values, LEVEL)
    assert decide(found, Verdict(first_seed=9), side=1, least=0.1)[0] == "agrees"
    assert decide(found, Verdict(first_seed=10), side=1, least=0.1) == (
        *("inconclusive", "seeds below 10 are for exploring: 9"),
    )


def test_what_cannot_be_tested_is_said_first():
    found = mean_over_seeds([1.0, 1.1], LEVEL)
    said = decide(found, Verdict(), side=1, least=0.1, untestable="no hill")
    assert said == ("not testable", "no hill")


def test_equal_steps_multiply_the_mean_age_of_memory_equally():
    assert np.diff(log_distance([0.0, 0.9, 0.99, 0.999])) == pytest.approx([1, 1, 1])
