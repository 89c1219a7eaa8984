import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adambias.analysis.trends import Estimate, decide, log_distance, mean_over_seeds, student, trend
from adambias.config import Interval

SETTINGS = Interval(resamples=2000)


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
    found = trend(points([[0, 1, 2], [5, 6.5, 8]]), "x", "y", SETTINGS)
    assert found.value == pytest.approx((2 + 3) / 2)
    assert (found.n, found.rank_correlation) == (2, pytest.approx(1))


def test_what_seeds_differ_by_does_not_widen_the_interval():
    rows = np.array([[0, 1, 2.0], [0, 1.1, 2.1], [0, 0.9, 1.9]])
    near = trend(points(rows), "x", "y", SETTINGS)
    far = trend(points(rows + np.array([[0], [100], [-300]])), "x", "y", SETTINGS)
    assert (far.low, far.high) == pytest.approx((near.low, near.high))


def test_the_interval_is_at_least_students():
    sample = np.array([1.0, 2.0, 4.0])
    found = mean_over_seeds(sample, SETTINGS)
    low, high = stats.t.interval(0.95, 2, loc=sample.mean(), scale=stats.sem(sample))
    assert found.low <= low + 1e-12
    assert found.high >= high - 1e-12
    assert tuple(student(sample, 0.95)) == pytest.approx((low, high))


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
def test_noise_excludes_zero_about_as_rarely_as_the_level_says(seeds):
    rng = np.random.default_rng(1)
    settings = Interval(resamples=300)
    found = [mean_over_seeds(rng.normal(size=seeds), settings) for _ in range(400)]
    wrong = np.mean([not f.low <= 0 <= f.high for f in found])
    assert wrong < 0.09


def test_series_are_averaged_within_a_seed():
    both = [points([[0, 1, 2]]).assign(series="a"), points([[0, 2, 4]]).assign(series="b")]
    found = trend(pd.concat(both), "x", "y", SETTINGS)
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
    found = trend(table.astype(float), "x", "y", SETTINGS)
    assert found.n == 0
    assert np.isnan(found.value)
    assert decide(found, side=1, least=0, seeds=2)[0] == "inconclusive"


def test_a_seed_with_one_value_left_does_not_count():
    rows = points([[0, 1, 2], [0, 1, 2], [0, np.nan, np.nan]])
    assert trend(rows, "x", "y", SETTINGS).n == 2


def test_seeds_are_compared_at_the_values_that_all_have():
    """A curve that saturates: without its flat end one seed would stand for a steeper grid."""
    whole = points([[0, 3, 4, 4.2], [1, 4, 5, 5.2], [0, 3, 4, 4.2]], x=(0, 1, 2, 3))
    lacking = whole[~((whole["seed"] == 2) & (whole["x"] > 1))]
    found = trend(lacking, "x", "y", SETTINGS)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))
    assert (found.n, found.used) == (3, 6)
    assert trend(whole, "x", "y", SETTINGS).used == 12


def test_seeds_without_two_values_in_common_decide_nothing():
    rows = points([[0, 1, 2, 3], [0, 1, 2, 3]], x=(0, 1, 2, 3))
    apart = rows[(rows["seed"] == 0) == (rows["x"] < 2)]
    assert trend(apart, "x", "y", SETTINGS).n == 0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=12)
    assert mean_over_seeds(values, SETTINGS) == mean_over_seeds(values, SETTINGS)


@pytest.mark.parametrize(
    ("value", "low", "high", "n", "verdict"),
    [
        (1.0, 0.5, 1.5, 3, "agrees"),
        (-1.0, -1.5, -0.5, 3, "disagrees"),
        (1.0, -0.1, 2.1, 3, "inconclusive"),
        (0.05, 0.04, 0.06, 3, "inconclusive"),
        (1.0, 0.5, 1.5, 1, "inconclusive"),
        (1.0, np.nan, np.nan, 2, "inconclusive"),
        (0.0, 0.0, 0.0, 3, "inconclusive"),
    ],
)
def test_the_rule(value, low, high, n, verdict):
    estimate = Estimate(value=value, low=low, high=high, n=n)
    assert decide(estimate, side=1, least=0.1, seeds=2)[0] == verdict
    mirrored = {"agrees": "disagrees", "disagrees": "agrees"}.get(verdict, verdict)
    assert decide(estimate, side=-1, least=0.1, seeds=2)[0] == mirrored


def test_equal_steps_multiply_the_mean_age_of_memory_equally():
    assert np.diff(log_distance([0.0, 0.9, 0.99, 0.999])) == pytest.approx([1, 1, 1])
