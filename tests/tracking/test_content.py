from __future__ import annotations

import json
import math

import numpy as np
import pytest
from made_ledgers import DIGEST, MEASURED, grid_of, history_of, jobs_of

from adambias.config import Grid, Trial, naming
from adambias.ledger.job import Job
from adambias.tracking.mlflow import content


@pytest.mark.parametrize(
    ("epochs", "eval_every"),
    [(1, 1), (300, 10), (500, 5), (501, 7), (4000, 5), (4000, 64), (9, 50)],
)
def test_thinning_keeps_to_the_limit_and_to_the_evaluated_epochs(epochs, eval_every):
    spacing = content.thinning(epochs, eval_every)
    drawn = set(range(0, epochs, spacing))
    evaluated = set(range(0, epochs, eval_every))
    assert len(drawn) <= content.MAX_POINTS
    assert drawn <= evaluated or evaluated <= drawn
    assert (spacing == 1) == (epochs <= content.MAX_POINTS)


def test_a_curve_only_grows_and_ends_with_the_last_epoch():
    job = jobs_of(grid_of(), epochs=1234, eval_every=4)[0]
    whole = content.curve_points(history_of(job), job.trial, finished=True)
    half = content.curve_points(history_of(job, 600), job.trial, finished=False)
    assert set(half) < set(whole)
    steps = sorted({p.step for p in whole if p.key == "training/train_loss"})
    assert steps[-1] == 1233
    assert len(steps) <= content.MAX_POINTS + 1
    assert set(np.diff(steps[:-1])) == {4}


def test_points_are_the_history_with_its_times():
    job = jobs_of(grid_of(), epochs=30)[0]
    history = history_of(job)
    points = content.curve_points(history, job.trial, finished=True)
    for point in points:
        assert point.value == history[point.key.split("/")[1]][point.step]
        assert point.elapsed == pytest.approx(50 * (point.step + 1), abs=1)
    assert {p.key for p in points} == set(map(content.curve_name, MEASURED))
    assert {p.step for p in points if p.key == "training/test_loss"} == {0, 10, 20, 29}


def test_non_finite_values_are_said_and_not_drawn():
    job = jobs_of(grid_of(), epochs=30)[0]
    history = history_of(job, 17)
    history.loc[15:, "train_loss"] = [math.inf, math.nan]
    history.loc[16, "perturbed_one_norm"] = -math.inf
    history.loc[10, "test_accuracy"] = math.nan  # an evaluated epoch
    history.loc[16, "test_loss"] = math.inf
    points = content.curve_points(history, job.trial, finished=True)
    assert all(math.isfinite(p.value) for p in points)
    assert max(p.step for p in points if p.key == "training/train_loss") == 14
    said = content.non_finite(history, job.trial)
    assert said == (
        "train_loss from epoch 15, test_loss from epoch 16, test_accuracy from epoch 10, "
        "perturbed_one_norm from epoch 16"
    )
    assert content.non_finite(history_of(job), job.trial) == ""


def test_summaries():
    job = jobs_of(grid_of(), epochs=40)[0]
    history = history_of(job)
    history.loc[2, "perturbed_one_norm"] = 1e6  # the start's, not the optimizer's
    history.loc[10, "perturbed_one_norm"] = 77.0
    found = {p.key: p.value for p in content.summary_points(history, job.trial, 0.25)}
    tests = [history["test_accuracy"][n] for n in (0, 10, 20, 30, 39)]
    assert found == {
        "best_test_accuracy": max(tests),
        "final_test_accuracy": tests[-1],
        "final_train_loss": history["train_loss"][39],
        "peak_perturbed_one_norm": 77.0,
        "seconds_per_epoch": pytest.approx(0.05),
    }


def test_summaries_of_a_training_that_diverged_at_once_are_left_out():
    job = jobs_of(grid_of(), epochs=40)[0]
    history = history_of(job, 1)
    history.loc[0, ["train_loss", "test_accuracy"]] = [math.nan, math.nan]
    found = {p.key for p in content.summary_points(history, job.trial, 0.25)}
    assert found == {"seconds_per_epoch"}


def test_names_tell_trials_apart_in_order():
    grid = grid_of()
    names = [content.label(j.trial, naming.defined(grid)) for j in jobs_of(grid)]
    assert names[1] == "beta2 0.99 seed 0"
    assert len(set(names)) == len(names)
    peers = Grid(axes={"rule": ["lion", "adam"], "seed": [0]})
    names = [content.label(j.trial, naming.defined(peers)) for j in jobs_of(peers)]
    assert names[0] == "rule lion seed 0"
    lion = Trial(rule="lion", h=1e-3, epochs=1)
    assert content.label(lion, ["h"]) == "lion h 0.001"


def test_group_key_forgets_the_seed_and_nothing_else():
    trial = Trial(h=1e-3, epochs=3, seed=0)
    key = content.group_key(Job.of(trial, DIGEST))
    assert content.group_key(Job.of(trial.replace(seed=5), DIGEST)) == key
    assert content.group_key(Job.of(trial.replace(beta1=0.5), DIGEST)) != key
    assert content.group_key(Job.of(trial, "6" * 64)) != key


def test_description_says_what_for_and_how_to_reproduce():
    grid = grid_of()
    text = content.sweep_description("laptop", "beta2", grid, jobs_of(grid), "#/runs/{}")
    assert text.startswith(
        "Norm against beta2 (figure 4). After the analysis: [figure](#/runs/figures/fig4.png), "
        "[table](#/runs/tables/trials.csv).\n"
    )
    assert "| beta2 | 0.9, 0.99 |" in text
    assert "| model | resnet8 |" in text
    assert "**4 trials**" in text
    assert "dvc repro sweep@beta2" in text
    assert text.index("dvc repro sweep@beta2") < text.index("| field"), "the rest is folded away"


def test_in_mlflows_order_the_norm_is_first_and_summaries_are_last():
    """It draws sections by what stands before the slash, in order, and those without it last."""
    names = [*map(content.curve_name, MEASURED), *content.SUMMARIES]
    drawn = sorted(names, key=lambda name: ("/" not in name, name))
    assert drawn[0] == "norm/perturbed_one_norm"
    assert drawn[-len(content.SUMMARIES) :] == sorted(content.SUMMARIES)


def test_the_charts_begin_with_the_norm_over_powers_of_ten():
    text = content.shared_view(grid_of(title="t" * 200))
    assert len(text) < 5000
    view = json.loads(text)
    first, *others = view["compareRunCharts"]
    assert (first["metricKey"], first["scaleType"]) == ("norm/perturbed_one_norm", "log")
    scales = {chart["metricKey"]: chart["scaleType"] for chart in others}
    assert scales["training/train_loss"] == "log"
    assert scales["training/test_accuracy"] == "linear"
    assert [s["name"] for s in view["compareRunSections"]] == ["norm", "training", "Model metrics"]


def test_parameters_fit_mlflow():
    job = jobs_of(grid_of())[0]
    found = content.parameters(job)
    assert found["batch_size"] == "full"
    assert found["h"] == "0.001"
    assert all(isinstance(v, str) and len(v) < 6000 for v in found.values())
    json.dumps(found)
