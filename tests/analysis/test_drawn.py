"""The tables that figures are drawn from."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.config import Analyse
from adambias.config.figures import ANALYSED

DRAWN = {
    *("points.parquet", "means.parquet", "hill_curves.parquet", "hill_means.parquet"),
    *("level_means.parquet", "correlations.parquet"),
}


def test_the_stage_writes_the_tables_that_are_declared(results):
    assert {path.name for path in results.glob("*.parquet")} | {
        path.name for path in results.glob("*.json")
    } == set(ANALYSED)


@pytest.mark.parametrize("axis", ["beta2", "beta1", "h"])
def test_means_are_those_of_dvcs_plots_at_full_precision(results, axis):
    means = pd.read_parquet(results / "means.parquet").query("grid == @axis")
    plots = pd.read_csv(results / "plots" / f"norm_{axis}.csv")
    for column in ("n", "progress", "progress_low", "peak_high", "accuracy"):
        assert means[column].tolist() == pytest.approx(plots[column].tolist(), rel=1e-7)
    assert set(means["level"]) == {0.95}


def test_points_are_the_oscillation_trials_of_every_grid_with_a_claim(results):
    points = pd.read_parquet(results / "points.parquet")
    trials = pd.read_parquet(results / "trials.parquet").query("grid != 'regimes'")
    assert set(points["trial"]) == set(trials["trial"])
    assert list(points["grid"].unique()) == [*("beta2", "beta1", "hills_beta2", "hills_beta1", "h")]
    assert set(points.query("grid == 'h'")["series"]) == {
        *("beta1 0.9, beta2 0.5", "beta1 0.9, beta2 0.99")
    }


def test_hill_curves_have_every_trial_and_their_means_a_row_for_each_epoch(results):
    curves = pd.read_parquet(results / "hill_curves.parquet")
    means = pd.read_parquet(results / "hill_means.parquet")
    groups = curves.groupby(["grid", "series", "value", "epoch"])["log10_norm"]
    expected = groups.mean().sort_index()
    found = means.set_index(["grid", "series", "value", "epoch"])["log10_norm"].sort_index()
    pd.testing.assert_series_equal(found, expected)


def test_the_level_of_the_bands_is_that_of_the_settings(results, tmp_path):
    settings = Analyse(level=0.5)
    analysis.run(settings, results / "sweeps", tmp_path, scale="made-up")
    narrow, wide = (pd.read_parquet(f / "means.parquet") for f in (tmp_path, results))
    assert set(narrow["level"]) == {0.5}
    assert (narrow["peak_high"] < wide["peak_high"]).all()


def test_a_grid_of_a_claim_of_ones_own_is_among_the_points(results, tmp_path):
    own = {"sentence": "So.", "grids": ["regimes"], "axis": "beta1", "statistic": "accuracy"}
    settings = Analyse(claims={"mine": own})
    analysis.run(settings, results / "sweeps", tmp_path, scale="made-up")
    means = pd.read_parquet(tmp_path / "means.parquet").query("grid == 'regimes'")
    assert set(means["axis"]) == {"beta1"}
    assert {series.split(",")[0] for series in means["series"]} == {"h 0.001", "h 0.004"}


def test_without_oscillation_trials_the_tables_are_empty_and_have_their_columns(tmp_path):
    trials = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40)
    shape = {"shape": lambda grid, trial: "divergence"}
    synthetic.write_sweeps(tmp_path / "sweeps", {"beta2": trials}, **shape)
    analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")
    for name in DRAWN:
        table = pd.read_parquet(tmp_path / name)
        assert table.empty
        assert len(table.columns) >= 5
    assert json.loads((tmp_path / "metrics.json").read_text())["trials"]["divergence"] == 16
