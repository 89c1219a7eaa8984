"""Sweeps from Python: a list of trials into a ledger, and a ledger as one table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import adambias as ab
from adambias.config import Resources
from adambias.core.errors import ConfigError, SweepError
from adambias.ledger.ledger import Ledger


def test_a_list_of_trials_becomes_one_tidy_table(prepared, quick, few_digits):
    trials = [quick(beta1=beta1, epochs=3) for beta1 in (0.5, 0.9)]
    table = ab.sweep([*trials, trials[0]], prepared / "runs", root=prepared)
    assert len(table) == 6
    assert table["beta1"].tolist() == [0.5] * 3 + [0.9] * 3
    assert table["epoch"].tolist() == [0, 1, 2] * 2
    assert set(table["status"]) == {"finished"}
    expected = [r.train_loss for r in ab.train(trials[0], few_digits, device="cpu")]
    assert table["train_loss"].tolist()[:3] == expected
    assert "activation" not in table, "only what differs, and what tells a trial"


def test_what_is_finished_is_not_trained_again(prepared, quick, capfd):
    trial = quick(epochs=2)
    first = ab.sweep([trial], prepared / "runs", root=prepared)
    assert "done 1/1" in capfd.readouterr().err
    again = ab.sweep([trial, trial.replace(seed=1)], prepared / "runs", root=prepared)
    assert "done 1/2" in capfd.readouterr().err
    assert again[again["seed"] == 0].reset_index(drop=True).equals(first)
    ab.sweep([trial], prepared / "runs", root=prepared)
    assert capfd.readouterr().err == ""


def test_trials_without_a_commit_say_why(prepared, quick, monkeypatch, caplog):
    monkeypatch.chdir(prepared)
    ab.sweep([quick(epochs=1)], prepared / "runs", root=prepared)
    assert "no commit is recorded with the trials (not a git repository" in caplog.text
    ledger = Ledger.open(prepared / "runs")
    (key,) = ledger.keys()
    assert ledger.done(key)["git"]["unknown"].startswith("not a git repository")


def test_options_have_columns_of_their_own(prepared, quick):
    trials = [
        quick(model="mlp", norm="none", epochs=2, model_options={"width": width})
        for width in (4, 8)
    ]
    table = ab.sweep(trials, prepared / "runs", root=prepared)
    assert table["model_options.width"].tolist() == [4, 4, 8, 8]
    loaded = ab.load(prepared / "runs")
    assert sorted(loaded["model_options.width"]) == [4, 4, 8, 8]
    assert set(loaded["trial"]) == set(table["trial"])


def test_an_empty_ledger_is_an_empty_table(tmp_path):
    assert ab.load(tmp_path / "none").empty


def test_a_failing_trial_does_not_take_the_others_with_it(prepared, quick):
    trials = [quick(epochs=2, loss_options={"label_smoothing": 3}), quick(epochs=2)]
    with pytest.raises(SweepError, match=r"1 of 2 trials are not finished, 1 failed.*label_smooth"):
        ab.sweep(trials, prepared / "runs", root=prepared)
    assert len(ab.load(prepared / "runs")) == 2


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], "must hold at least one trial"),
        (["adam"], "must be a list of Trial"),
        ([{"h": 1e-3}], "must be a list of Trial"),
        ([ab.Trial(h=1e-3, epochs=1, dataset="mine")], "is not prepared in"),
        (
            [ab.Trial(h=1e-3, epochs=1, model_options={"depht": 3}, model="mlp", norm="none")],
            "model_options.depht = 3: mlp takes no such option, .*did you mean depth",
        ),
        (
            [ab.Trial(h=1e-3, epochs=1, measures=[{"name": "weight_norm", "k": 2}])],
            "measures weight_norm.k = 2",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(prepared, trials, words):
    with pytest.raises(ConfigError, match=words):
        ab.sweep(trials, prepared / "runs", root=prepared)
    assert not Ledger.open(prepared / "runs").keys()


def test_the_package_and_the_function_share_a_name():
    code = "import adambias as ab; ab.sweep([]) if False else None; print(callable(ab.sweep))\n"
    code += "import adambias.sweep.run; print(callable(ab.sweep), ab.sweep.run.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "adambias.sweep.run"]


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="Ray needs shared memory")
def test_on_ray_it_is_the_same_table(prepared, quick):
    trials = [quick(epochs=2, seed=seed) for seed in (0, 1)]
    inline = ab.sweep(trials, prepared / "one", root=prepared)
    resources = Resources(cpus_per_trial=1)
    on_ray = ab.sweep(trials, prepared / "two", root=prepared, executor="ray", resources=resources)
    assert on_ray.drop(columns="seconds").equals(inline.drop(columns="seconds"))


def test_the_data_that_were_loaded_are_trained_on_where_there_are_several_of_a_name(
    tmp_path, quick
):
    first = ab.load_dataset("digits", train_size=40, test_size=30, root=tmp_path)
    other = ab.load_dataset("digits", train_size=50, test_size=30, root=tmp_path)
    trial = quick(epochs=2)
    tables = {
        name: ab.sweep([trial], tmp_path / name, data=data, root=tmp_path)
        for name, data in (("first", first), ("other", [other]))
    }
    for name, data in (("first", first), ("other", other)):
        expected = [r.train_loss for r in ab.train(trial, data, device="cpu")]
        assert tables[name]["train_loss"].tolist() == expected
    assert set(tables["first"]["trial"]) != set(tables["other"]["trial"])
    with pytest.raises(ConfigError, match=r"^dataset = 'digits': is prepared in several ways"):
        ab.sweep([trial], tmp_path / "third", root=tmp_path)
    with pytest.raises(ConfigError, match="are not in"):
        ab.sweep([trial], tmp_path / "third", data=other, root=tmp_path / "elsewhere")


def test_code_edited_since_it_was_loaded_is_what_is_trained(prepared, quick, monkeypatch):
    """As in a notebook: the key is of the file, and so must be the training."""
    monkeypatch.syspath_prepend(str(prepared))
    file = prepared / "edited_rule.py"
    text = (
        "from adambias.law.rules import Moment, UpdateRule\n\n\n"
        "def rule():\n    return UpdateRule([Moment(0.0)], lambda m, theta: FACTOR * m, 'edited')\n"
    )
    trial = quick(rule="edited_rule:rule", epochs=3)
    losses = []
    for factor in ("1.0", "0.5"):
        file.write_text(text.replace("FACTOR", factor))
        table = ab.sweep([trial], prepared / "runs", root=prepared)
        losses.append(table["train_loss"].tolist())
    plain = quick(rule="gradient_descent", h=5e-4, epochs=3)
    expected = ab.sweep([plain], prepared / "runs", root=prepared)["train_loss"].tolist()
    assert losses[1] == pytest.approx(expected, rel=1e-6)
    assert losses[0][2] != losses[1][2]
    assert len(ab.load(prepared / "runs")["trial"].unique()) == 3
