"""What the rule for verdicts does to many made-up ledgers: without an effect, with one, and to
trainings that differ in their speed alone.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.analysis.trends import position
from adambias.config import Analyse
from adambias.config.claims import CLAIMS, family

SEEDS = range(10, 18)
DECAYS = {"beta1": [0.8, 0.9, 0.95, 0.98], "beta2": [0.9, 0.97, 0.99, 0.999], "h": [5e-4, 1e-3]}
SETTINGS = Analyse(test_units={"photos": 2_000})
ALONE = {
    key: dataclasses.replace(spec, readings=())
    for key, spec in CLAIMS.items()
    if spec.grids and family(key) == "paper"
}
"""The paper's claims on trainings, without the readings that decide nothing."""
PILOT = {"beta1": (-0.31, 0.07), "beta2": (0.08, 0.03)}
"""Change of the log-norm over a grid in the pilots, and its standard deviation over seeds."""


def ledger(rng, changes=None, hill=0.5, noise=0.05, epochs=40):
    """Return trials and curves of all grids: normal numbers, seeds apart, and what they change by.

    ``noise`` is the standard deviation of a trial; ``changes`` gives for an axis the change of the
    log-norm over its range and the standard deviation of that over seeds.
    """
    rows, curves = [], []
    for grid in ("beta2", "beta1", "hills_beta2", "hills_beta1", "h"):
        axis = grid.removeprefix("hills_")
        places = position(axis, DECAYS[axis])
        span = (places - places[0]) / np.ptp(places)
        sides = [(0.9, 0.5), (0.5, 0.9)] if axis == "h" else [(0.98, 0.999)]
        for seed, decays in itertools.product(SEEDS, sides):
            mean, spread = (changes or {}).get(axis, (0.0, 0.0))
            slope, start = rng.normal(mean, spread) if changes else 0.0, rng.normal(2.5, 0.2)
            for value, place in zip(DECAYS[axis], span, strict=True):
                log_norm = start + slope * place + rng.normal(0, noise)
                trial = f"{grid} {seed} {decays} {value}"
                beta1, beta2 = decays
                names = {"beta1": beta1, "beta2": beta2, "h": 1e-3, axis: value}
                rows.append(_row(rng, grid, trial, seed, log_norm, hill) | names)
                if grid == "hills_beta1":  # the only one whose course decides a claim
                    curves.append(_curve(rng, grid, trial, log_norm, epochs))
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True)


def _row(rng, grid, trial, seed, log_norm, hill):
    share = rng.normal(0.35, 0.01)
    return {
        "trial": trial,
        "grid": grid,
        "rule": "adam",
        "dataset": "photos",
        "seed": seed,
        "regime": "oscillation",
        "norm_floor": 7.8,
        "start_train_loss": 1.4,
        "progress_log10_excess": log_norm,
        "late_test_accuracy": rng.binomial(2_000, share) / 2_000,
        "has_hill": rng.random() < hill,
        "hill_rise": 0.5,
        "hill_fall": 0.5,
    }


def _curve(rng, grid, trial, log_norm, epochs):
    time = np.arange(epochs) / epochs
    norm = 7.8 + 10 ** (log_norm + rng.normal(0, 0.05, epochs))
    return pd.DataFrame(
        {
            "trial": trial,
            "grid": grid,
            "epoch": np.arange(epochs),
            "train_loss": 1.4 * np.exp(-4 * time),
            "perturbed_one_norm": norm,
        }
    )


def verdicts(rng, **options):
    trials, curves = ledger(rng, **options)
    findings = Findings(trials=trials, curves=curves, settings=SETTINGS)
    return {claim.key: claim.verdict for claim in judge(findings, ALONE, law=False)}


def wrong_families(number):
    """Return the share of families without any effect in which some claim is decided."""
    rng = np.random.default_rng(0)
    found = [verdicts(rng) for _ in range(number)]
    return np.mean([bool({"agrees", "disagrees"} & set(each.values())) for each in found])


@pytest.mark.soak  # forty seconds of simulations
def test_without_an_effect_few_families_have_a_verdict():
    assert wrong_families(40) <= 0.15  # 5 % of 40 are 2; more than 6 come once in 300 runs


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_without_an_effect_one_family_in_twenty_has_a_verdict():
    # 0.05 and two standard errors of a share of 2,000.
    assert wrong_families(2_000) <= 0.06


@pytest.mark.soak  # half a minute of simulations
def test_an_effect_as_in_the_pilots_is_found():
    rng = np.random.default_rng(1)
    found = pd.DataFrame(verdicts(rng, changes=PILOT, noise=0.01) for _ in range(25))
    for key in ("fig4_norm", "fig5_norm", "fig6_hills_beta2", "fig6_hills_beta1"):
        assert (found[key] == "agrees").mean() >= 0.8, key


def speeds(shape):
    """Return how far a training has come after a share of its epochs, by its decays."""
    return {
        "steady": lambda time, fast: np.minimum(time * (0.6 + 0.8 * fast), 1.0),
        "fast at first": lambda time, fast: time ** (1.3 - 0.6 * fast),
        "slow at first": lambda time, fast: time ** (0.7 + 0.6 * fast),
    }[shape]


@pytest.mark.parametrize("shape", ["steady", "fast at first", "slow at first"])
@pytest.mark.parametrize("faster", [1, -1])
def test_trainings_that_differ_in_speed_alone_never_agree_at_equal_progress(
    tmp_path, monkeypatch, shape, faster
):
    """All go through the same losses and norms, a larger decay sooner or later than a smaller."""
    warp = speeds(shape)

    def law(trial, rng):
        gap = position("beta1", trial.beta1) - position("beta2", trial.beta2)
        return float(np.clip(0.5 + 0.3 * faster * (gap + 1), 0, 1)), 0.3

    def history(epochs, fast, accuracy, *, shape, eval_every):
        n = np.arange(epochs)
        done = warp(n / epochs, fast)
        loss = 1.4 * np.exp(-4.5 * done)
        log_norm = 2.2 + 0.8 * np.exp(-(((done - 0.35) / 0.2) ** 2)) - 0.9 * done
        return synthetic.history_of(n, loss, 10**log_norm, accuracy, eval_every)

    monkeypatch.setattr(synthetic, "history", history)
    grids = {
        "beta2": synthetic.trials_of({"beta2": [0.9, 0.99, 0.999]}, seeds=6, epochs=150),
        "beta1": synthetic.trials_of({"beta1": [0.5, 0.8, 0.9]}, seeds=6, epochs=150),
    }
    synthetic.write_sweeps(tmp_path / "sweeps", grids, law, offset=0.02)
    claims = analysis.run(
        synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up", law=False
    )["claims"]

    for key in ("fig4_norm", "fig5_norm"):
        assert claims[key]["verdict"] == "inconclusive", claims[key]
        assert abs(claims[key]["value"]) < 0.02
    epochs = [claims[key]["readings"]["share_of_epochs"] for key in ("fig4_norm", "fig5_norm")]
    assert {reading["value"] for reading in epochs} <= {0.0, 1.0}, "at equal epoch they do differ"
