"""Trainings on digits whose norms an older rule took for effects of beta1, beta2 and h.

Their norms only fall, so that what is higher at an epoch has come less far. The older rule compared
the highest norm after a quarter of the epochs, and decided five claims on it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.config import Verdict, load_params

KEPT = Path(__file__).parent / "old_digits"
ON_DECAYS = (
    *("fig4_norm", "fig5_norm", "fig6_hills_beta2", "fig6_hills_beta1"),
    *("fig6_most_of_training", "fig6_shape"),
)


def judged(folder, rule):
    trials = pd.read_parquet(KEPT / "trials.parquet")
    histories = pd.read_parquet(KEPT / "histories.parquet")
    for grid, rows in trials.groupby("grid"):
        (folder / "sweeps" / grid).mkdir(parents=True)
        rows.to_parquet(folder / "sweeps" / grid / "trials.parquet", index=False)
        of_grid = histories[histories["trial"].isin(rows["trial"])].assign(grid=grid)
        of_grid = of_grid.assign(train_accuracy=float("nan"))
        of_grid.to_parquet(folder / "sweeps" / grid / "histories.parquet", index=False)
    settings = dataclasses.replace(synthetic.SETTINGS, verdict=rule)
    return analysis.run(settings, folder / "sweeps", folder, scale="digits", law=False)["claims"]


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """Judge them as if three seeds were enough, so that their number keeps no claim back."""
    return judged(tmp_path_factory.mktemp("digits"), Verdict(seeds=3))


def test_by_the_rule_of_the_scales_no_claim_on_norms_agrees(tmp_path):
    rule = load_params(Path(__file__).parents[2] / "params.yaml", "laptop").scale.analyse.verdict
    found = judged(tmp_path, rule)
    on_norms = {key: claim for key, claim in found.items() if "accuracy" not in key}
    assert len(on_norms) == 8
    assert "agrees" not in {claim["verdict"] for claim in on_norms.values()}


@pytest.mark.parametrize("key", ON_DECAYS)
def test_even_if_their_seeds_decided_no_claim_on_decays_would_agree(claims, key):
    assert claims[key]["planned"] > 0
    assert claims[key]["verdict"] != "agrees", claims[key]


@pytest.mark.parametrize("key", ["fig4_norm", "fig5_norm"])
def test_the_papers_own_reading_is_not_testable(claims, key):
    assert claims[key]["readings"]["peak"]["verdict"] == "not testable"


def test_at_equal_progress_the_norm_does_not_depend_on_beta2(claims):
    found = claims["fig4_norm"]
    assert abs(found["value"]) < 0.02
    assert -0.05 < found["low"] < found["high"] < 0.05


def test_over_h_both_verdicts_of_the_older_rule_turn_round(claims):
    """It said that a larger h raises the norm on either side of beta1 = beta2."""
    assert claims["h_penalised"]["high"] < 0
    assert claims["h_hindered"]["high"] < 0
