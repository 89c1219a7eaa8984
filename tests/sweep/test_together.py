"""Trials that a process trains side by side are what they are alone."""

from __future__ import annotations

import dataclasses

import pytest
from python_sweeps import until_it_is_done, without_times

import adambias as ab
from adambias.config import DatasetSpec, Resources
from adambias.core.errors import StoreError, SweepError
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.sweep.assignment import Assignment, bundles
from adambias.sweep.together import Together


def assignments_of(trials):
    spec = DatasetSpec(source="digits", train_size=40, test_size=30)
    made = [Job.of(trial, "0" * 64) for trial in trials]
    where = {"store": "runs", "data_root": "data", "root": "."}
    return [Assignment(job=job, dataset=spec, **where) for job in made]


def test_a_bundle_holds_trials_that_differ_in_numbers_alone(quick):
    trials = [
        quick(seed=0),
        quick(seed=1, epochs=9),
        quick(seed=1, h=1e-4),
        quick(norm="group"),
        quick(beta1=0.5, epsilon=1e-4),
        quick(seed=2),
        quick(seed=2, epochs=9),
    ]
    made = assignments_of(trials)
    found = [[made.index(each) for each in bundle] for bundle in bundles(made, 3)]
    assert found == [[0, 2, 4], [1, 6], [3], [5]]
    assert [len(bundle) for bundle in bundles(made, 1)] == [1] * len(made)


# On Ray test_ray.py has a bundle too, in a sweep that something fails in.
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.soak)])
def test_side_by_side_their_tables_are_those_of_each_alone(prepared, quick, executor):
    changes = [{"seed": 0}, {"seed": 1}, {"beta1": 0.5}, {"seed": 3}, {"h": 3e3}, {"norm": "none"}]
    trials = [quick(epochs=60, eval_every=7, **change) for change in changes]
    alone = ab.sweep(trials, prepared / "alone", root=prepared)
    together = ab.sweep(
        trials, prepared / "together", root=prepared, executor=executor,
        resources=Resources(trials_per_process=3, checkpoint_seconds=0.2),
    )  # fmt: skip
    assert without_times(together).equals(without_times(alone))
    assert set(alone["status"]) == {"finished", "diverged"}
    log = Ledger.open(prepared / "together").text(together["trial"].iloc[0], "log.txt")
    assert "finished after 60 epochs" in log


@pytest.mark.soak  # three sweeps; separately they are stopped in test_interruptions.py
def test_stopped_and_gone_on_they_are_the_same_too(prepared, quick):
    trials = [quick(epochs=250, eval_every=50, seed=seed) for seed in range(3)]
    resources = Resources(trials_per_process=3, time="2s")
    table, said = until_it_is_done(
        lambda: ab.sweep(trials, prepared / "cut", root=prepared, resources=resources)
    )
    assert len(said) >= 2
    alone = ab.sweep(trials, prepared / "alone", root=prepared)
    assert without_times(table).equals(without_times(alone))


NETWORK = """
from torch import nn


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.passes = nn.Linear(64, 10), 0

    def forward(self, images):
        self.passes += 1
        if self.passes > 20 and float(self.layer.weight.sum()) > {0}:
            raise RuntimeError("this one fails")
        return self.layer(images.flatten(1))


def make(style):
    return Failing()
"""


def test_one_that_fails_ends_alone(prepared, quick, monkeypatch):
    import torch

    sums = []
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        sums.append(torch.nn.Linear(64, 10).weight.sum().item())
    between = (sorted(sums)[1] + sorted(sums)[2]) / 2
    (prepared / "failing_network.py").write_text(NETWORK.format(between))
    monkeypatch.syspath_prepend(str(prepared))
    made = {"model": "failing_network:make", "norm": "none", "h": 1e-9}
    trials = [quick(seed=seed, epochs=60, **made) for seed in range(3)]
    with pytest.raises(SweepError, match=r"1 of 3 trials are not finished, 1 failed.*this one"):
        ab.sweep(
            trials, prepared / "runs", root=prepared, resources=Resources(trials_per_process=3)
        )
    ledger = Ledger.open(prepared / "runs")
    done = {ledger.job(key).trial.seed for key in ledger.finished(ledger.keys())}
    assert done == {0, 1, 2} - {sums.index(max(sums))}


def test_a_store_that_is_lost_ends_all(prepared, quick, monkeypatch):
    (one, two) = assignments_of([quick(), quick(seed=1)])
    blocked = prepared / "file"
    blocked.write_text("no folder")
    lost = [dataclasses.replace(each, store=str(blocked / "runs")) for each in (one, two)]
    with pytest.raises(StoreError):
        Together(lost, fatal=(StoreError,)).advance(1.0)


def test_a_record_has_its_own_share_of_the_time(quick, few_digits):
    trainings = [ab.train(quick(seed=seed, epochs=30), few_digits, device="cpu") for seed in (0, 1)]
    for training in trainings:
        training.side_by_side = 2
    import time

    began = time.perf_counter()
    for _ in range(30):
        for training in trainings:
            training.start()
        for training in trainings:
            next(training)
    elapsed = time.perf_counter() - began
    told = sum(record.seconds for training in trainings for record in training.records)
    assert 0.5 * elapsed < told <= 1.01 * elapsed
