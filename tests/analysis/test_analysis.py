import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.analysis import series
from adambias.config import load_params
from adambias.core.errors import DataError

CLAIMS_OF_TRENDS = (
    *("fig4_norm", "fig4_accuracy", "fig5_norm", "fig5_accuracy"),
    *("fig6_hills_beta2", "fig6_hills_beta1", "fig6_most_of_training"),
    *("h_penalised", "h_hindered"),
)


def analyse(folder, grids, law=synthetic.as_in_the_paper, **options):
    synthetic.write_sweeps(folder / "sweeps", grids, law, **options)
    return analysis.run(synthetic.SETTINGS, folder / "sweeps", folder, scale="made-up")


def verdicts(metrics):
    return {key: claim["verdict"] for key, claim in metrics["claims"].items()}


def small():
    return {"beta2": synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=2)}


def test_merged_tables_hold_every_row(results):
    histories = pd.read_parquet(results / "histories.parquet")
    parts = [pd.read_parquet(p) for p in sorted((results / "sweeps").glob("*/histories.parquet"))]
    assert len(histories) == sum(map(len, parts))
    assert set(parts[0].columns) <= set(histories.columns)
    trials = pd.read_parquet(results / "trials.parquet")
    assert len(trials) == histories.groupby(["trial", "grid"], observed=True).ngroups
    assert set(trials["regime"]) == {"oscillation", "spike", "divergence"}


def test_regimes_are_those_that_were_put_in(results):
    trials = pd.read_parquet(results / "trials.parquet").query("grid == 'regimes'")
    for row in trials.to_dict("records"):
        trial = synthetic.trials_of({}, seeds=1)[0].replace(beta1=row["beta1"], beta2=row["beta2"])
        assert row["regime"] == synthetic.regime_of(trial)


def test_the_papers_trends_are_found(results):
    metrics = json.loads((results / "metrics.json").read_text())
    found = verdicts(metrics)
    assert {found[key] for key in CLAIMS_OF_TRENDS} == {"agrees"}
    assert metrics["claims"]["fig4_norm"]["found"] == "rises"
    assert metrics["claims"]["fig5_norm"]["found"] == "falls"
    assert metrics["claims"]["fig4_norm"]["n"] == 8
    assert metrics["claims"]["fig4_norm"]["seeds"] == list(range(8))
    trained, computed = metrics["verdicts"]["trained"], metrics["verdicts"]["computed"]
    assert trained["agrees"] + computed["agrees"] == list(found.values()).count("agrees")
    assert sum(computed.values()) == 20


def test_a_claim_about_norms_has_its_readings_beside_it(results):
    claims = json.loads((results / "metrics.json").read_text())["claims"]
    readings = claims["fig4_norm"]["readings"]
    assert list(readings) == ["peak", "share_of_epochs", "relative", "smooth", "oscillation"]
    assert (readings["peak"]["claimed"], readings["peak"]["verdict"]) == ("rises", "agrees")
    assert readings["share_of_epochs"]["value"] == 1.0
    assert readings["relative"]["verdict"] == "not testable"
    assert next(iter(claims["fig6_hills_beta1"]["readings"])) == "hill"


def test_verdicts_stand_only_if_they_do_among_all_claims(tmp_path):
    """One sign test of six seeds has p = 0.03; among ten claims that is nothing."""
    metrics = analyse(tmp_path, synthetic.grids(seeds=6, epochs=60))
    shape = metrics["claims"]["fig6_shape"]
    assert (shape["raw_verdict"], shape["verdict"]) == ("agrees", "inconclusive")
    assert shape["p_corrected"] > 0.05 > shape["p"]
    rows = {row["key"]: row for row in json.loads((tmp_path / "claims.json").read_text())}
    assert "agrees alone, but not among all claims" in rows["fig6_shape"]["reason"]
    assert metrics["claims"]["fig4_norm"]["verdict"] == "agrees"


def test_opposite_trends_are_found_too(tmp_path):
    found = verdicts(analyse(tmp_path, synthetic.grids(epochs=60), synthetic.the_other_way))
    assert {found[key] for key in CLAIMS_OF_TRENDS} == {"disagrees"}


def test_noise_decides_nothing(tmp_path):
    found = verdicts(analyse(tmp_path, synthetic.grids(epochs=60), synthetic.noise))
    assert {found[key] for key in CLAIMS_OF_TRENDS} == {"inconclusive"}


@pytest.mark.parametrize(
    ("tops", "verdict"),
    [
        ({}, "agrees"),
        ({0.9: 0.0, 0.99: 0.0}, "disagrees"),
        ({0.9: 0.0}, "disagrees"),
    ],
    ids=["hills", "no hills", "hills in half: in most of no seed"],
)
def test_the_shape_of_the_norm(tmp_path, tops, verdict):
    trials = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=60)
    metrics = analyse(
        tmp_path,
        {"hills_beta2": trials},
        lambda trial, rng: (tops.get(trial.beta2, 1.0), 0.9),
        offset=0.0,
    )
    assert verdicts(metrics)["fig6_shape"] == verdict
    hill = metrics["claims"]["fig6_hills_beta2"]["readings"]["hill"]
    assert (hill["verdict"] == "not testable") == (verdict != "agrees")


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_every_scale_has_the_seeds_to_decide_its_claims(scale):
    settings = load_params(Path(__file__).parents[2] / "params.yaml", scale).scale
    for name in ("beta2", "beta1", "hills_beta2", "hills_beta1", "h"):
        seeds = {trial.seed for trial in settings.grids[name].expand(settings.trial)}
        decides = {seed for seed in seeds if seed >= settings.analyse.verdict.first_seed}
        assert len(decides) >= settings.analyse.verdict.seeds, name
        assert decides == seeds, name


def test_trials_that_are_not_used_are_counted(tmp_path):
    trials = synthetic.trials_of({"beta2": [0.9, 0.95, 0.99, 0.999]}, epochs=60)
    lost = [(0, 0.999), (1, 0.99)]
    metrics = analyse(
        tmp_path,
        {"beta2": trials},
        shape=lambda grid, trial: "spike" if (trial.seed, trial.beta2) in lost else "oscillation",
    )
    claim = metrics["claims"]["fig4_norm"]
    assert (claim["used"], claim["planned"], claim["n"]) == (16, 32, 8)


def test_the_same_tables_give_the_same_bytes(tmp_path, results):
    analysis.run(synthetic.SETTINGS, results / "sweeps", tmp_path, scale="made-up")
    for name in ("metrics.json", "claims.json", "plots/norm_beta2.csv", "trials.parquet"):
        assert (tmp_path / name).read_bytes() == (results / name).read_bytes(), name


def test_a_lion_in_the_grid_is_a_series_and_no_evidence_on_adam(tmp_path):
    adam = synthetic.trials_of({"beta2": [0.9, 0.99, 0.999]}, epochs=60)
    lion = [trial.replace(rule="lion") for trial in adam]
    law = synthetic.as_in_the_paper
    turned = synthetic.the_other_way
    metrics = analyse(
        tmp_path,
        {"beta2": adam + lion},
        lambda trial, rng: turned(trial, rng) if trial.rule == "lion" else law(trial, rng),
    )
    assert verdicts(metrics)["fig4_norm"] == "agrees"
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    _, means = series.effect_table(trials, "beta2", "beta2")
    assert list(means["series"].unique()) == ["rule adam", "rule lion"]
    curves = pd.read_csv(tmp_path / "plots" / "norm_beta2.csv")["curve"]
    assert list(curves.unique()) == ["adam", "rule lion"]


def test_one_epoch_is_enough_not_to_crash(tmp_path):
    analyse(tmp_path, {"beta1": synthetic.trials_of({"beta1": [0.5, 0.9]}, epochs=1)})
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    assert trials["peak_perturbed_one_norm"].isna().all()
    assert trials["best_test_accuracy"].notna().all()


def test_missing_seeds_leave_the_seeds_that_are_whole(tmp_path):
    trials = synthetic.trials_of({"beta2": [0.9, 0.95, 0.99, 0.999]}, epochs=60)
    kept = [t for t in trials if t.seed < 5 or t.beta2 == 0.9]
    claim = analyse(tmp_path, {"beta2": kept})["claims"]["fig4_norm"]
    assert (claim["n"], claim["verdict"]) == (5, "agrees")


@pytest.mark.parametrize(
    ("grids", "shape"),
    [
        ({"beta2": synthetic.trials_of({"beta2": [0.99]}, epochs=40)}, "oscillation"),
        ({"beta2": synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40)}, "divergence"),
        ({"beta2": synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=1)}, "oscillation"),
    ],
    ids=["one value", "all diverged", "one seed"],
)
def test_bad_input_is_inconclusive_and_no_crash(tmp_path, grids, shape):
    metrics = analyse(tmp_path, grids, shape=lambda grid, trial: shape)
    found = verdicts(metrics)
    assert {found[key] for key in CLAIMS_OF_TRENDS} == {"inconclusive"}


def test_nan_in_a_history_does_not_spread(tmp_path):
    grids = {"beta2": synthetic.trials_of({"beta2": [0.9, 0.95, 0.99]}, epochs=60)}
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    path = tmp_path / "sweeps" / "beta2" / "histories.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[30:35], ["perturbed_one_norm", "test_accuracy"]] = np.nan
    table.loc[table.index[70], "train_loss"] = np.nan
    table.to_parquet(path, index=False)
    metrics = analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    assert sorted(trials["not_finite"])[-2:] == [1, 5]
    assert (trials["regime"] == "divergence").sum() == 1
    assert metrics["claims"]["fig4_norm"]["verdict"] == "agrees"
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)


def test_a_trial_without_history_has_diverged(tmp_path):
    synthetic.write_sweeps(tmp_path / "sweeps", small())
    path = tmp_path / "sweeps" / "beta2" / "histories.parquet"
    table = pd.read_parquet(path)
    table[table["trial"] != table["trial"].iloc[0]].to_parquet(path, index=False)
    analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    assert len(trials) == 4
    assert (trials["regime"] == "divergence").sum() == 1


def test_no_tables_is_one_line_with_the_mend(tmp_path):
    with pytest.raises(DataError, match=r"sweeps: no tables of a grid, .*dvc repro"):
        analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")


def test_half_a_grid_is_named(tmp_path):
    synthetic.write_sweeps(tmp_path / "sweeps", small())
    (tmp_path / "sweeps" / "beta2" / "trials.parquet").unlink()
    with pytest.raises(DataError, match=r"beta2/trials\.parquet: is missing"):
        analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")


def test_a_grid_that_the_scale_does_not_name_counts_no_more(tmp_path):
    grids = small() | {"renamed": synthetic.trials_of({"beta2": [0.5]}, epochs=40, seeds=2)}
    synthetic.write_sweeps(tmp_path / "sweeps", grids, synthetic.as_in_the_paper)
    metrics = analysis.run(
        synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up", grids=["beta2"]
    )
    assert metrics["trials"]["total"] == 4
    for name in ("trials", "histories", "curves"):
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert set(table["grid"]) == {"beta2"}
    found = analysis.leftovers(tmp_path / "sweeps", ["beta2"])
    assert found == [tmp_path / "sweeps" / "renamed"]


def test_leftovers_alone_are_no_tables(tmp_path):
    synthetic.write_sweeps(tmp_path / "sweeps", small(), synthetic.as_in_the_paper)
    with pytest.raises(DataError, match="no tables of a grid"):
        analysis.run(
            synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up", grids=["other"]
        )
