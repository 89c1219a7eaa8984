"""Schedules of the step size, and records of mini-batch trainings every so many epochs."""

from __future__ import annotations

import pytest
import torch

import adambias as ab
from adambias.core.errors import CheckpointError, ConfigError
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import _extensions
from adambias.training import checkpoint, schedules, trainer

OWN = """
def half():
    return lambda n, steps: 0.5


def growing(*, rate=0.1):
    return lambda n, steps: 1 + rate * n


def bad():
    return lambda n, steps: float("nan")


def number():
    return 1
"""


@pytest.fixture
def own(importable) -> str:
    return importable("own_schedule", OWN)


@pytest.mark.parametrize(
    ("name", "options", "torchs"),
    [
        ("cosine", {}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 9)),
        (
            "cosine",
            {"final": 0.2},
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 9, eta_min=0.2),
        ),
        (
            "linear",
            {"final": 0.1},
            lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=9),
        ),
        (
            "steps",
            {"at": [0.3, 0.6], "factor": 0.5},
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 6], gamma=0.5),
        ),
    ],
)
def test_they_are_torchs_over_ten_steps(name, options, torchs):
    factor = getattr(schedules, name)(**options)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, expected = torchs(optimizer), []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [factor(n, 10) for n in range(10)] == pytest.approx(expected, abs=1e-12)


def test_a_warm_up_leads_to_h_in_equal_parts():
    factor = schedules.cosine(warmup=4)
    assert [factor(n, 20) for n in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factor(19, 20) == pytest.approx(0)
    assert [schedules.constant(warmup=1)(n, 9) for n in range(3)] == [0.5, 1, 1]


def test_a_training_takes_its_steps(few_digits, quick, own):
    """Half of h throughout is another h; a schedule of steps is a change of h on the way."""
    halved = list(ab.train(quick(schedule=f"{own}:half"), few_digits, device="cpu"))
    plain = list(ab.train(quick(h=5e-4), few_digits, device="cpu"))
    assert [r.train_loss for r in halved] == [r.train_loss for r in plain]
    dropped = quick(schedule="steps", schedule_options={"at": [0.5], "factor": 0.1})
    begun = list(ab.train(dropped, few_digits, device="cpu"))
    whole = list(ab.train(quick(), few_digits, device="cpu"))
    assert [r.train_loss for r in begun[:4]] == [r.train_loss for r in whole[:4]]
    assert begun[4].train_loss != whole[4].train_loss


def test_the_edge_is_of_the_step_to_come(few_digits, quick, own):
    options = {"measures": ["preconditioned_sharpness"], "measure_every": 1}
    (first, *_), (other, *_) = (
        list(ab.train(quick(**options, **more), few_digits, device="cpu"))
        for more in ({}, {"schedule": f"{own}:half"})
    )
    assert other.edge == pytest.approx(first.edge / 2, rel=1e-12)


def test_mini_batches_have_a_step_of_their_own(few_digits, quick, own):
    """Two epochs of four batches are eight steps of the schedule."""
    trial = quick(
        batch_size=10, epochs=3, norm="group", schedule=f"{own}:growing", precision="fp64"
    )
    training = ab.train(trial, few_digits, device="cpu")
    seen = []
    step = training._optimizer.step
    training._optimizer.step = lambda: (
        seen.append(training._optimizer.param_groups[0]["lr"]),
        step(),
    )
    list(training)
    assert seen == pytest.approx([1e-3 * (1 + 0.1 * n) for n in range(12)])


def test_resumed_it_goes_on_and_extended_it_is_another_training(few_digits, quick):
    trial = quick(schedule="cosine", schedule_options={"warmup": 2})
    whole = list(ab.train(trial, few_digits, device="cpu"))
    training = ab.train(trial, few_digits, device="cpu")
    for _ in range(3):
        next(training)
    state = checkpoint.loads(checkpoint.dumps(training.state_dict()), trial=trial)
    resumed = list(ab.train(trial, few_digits, state=state, device="cpu"))
    assert [r.train_loss for r in resumed] == [r.train_loss for r in whole[3:]]
    longer = trial.replace(epochs=9)
    with pytest.raises(CheckpointError, match="epochs = 6, this trial has 9"):
        ab.train(longer, few_digits, state=state, device="cpu")


def test_a_plan_extends_no_training_under_a_schedule(quick):
    digest = "d" * 64
    for trial, extends in ((quick(), True), (quick(schedule="cosine"), False)):
        done = {
            "trial": trial.identity(), "data_digest": digest, "state_kept": True, "epochs": 6,
        }  # fmt: skip
        longer = Job.of(trial.replace(epochs=9), digest)
        assert bool(_extensions({"a" * 16: done}, [longer])) is extends


def test_records_every_so_many_epochs_are_those_of_every_epoch(few_digits, quick, tmp_path):
    options = {"batch_size": 10, "epochs": 8, "norm": "group", "blocks": "shuffled"}
    options |= {"eval_every": 3}
    every = list(ab.train(quick(**options), few_digits, device="cpu"))
    trial = quick(**options, record_every=3)
    training = ab.train(trial, few_digits, device="cpu")
    some = list(training)
    assert [r.epoch for r in some] == [0, 3, 6, 7]
    assert [r.train_loss for r in some] == [every[n].train_loss for n in (0, 3, 6, 7)]
    assert [r.perturbed_one_norm for r in some] == [
        every[n].perturbed_one_norm for n in (0, 3, 6, 7)
    ]
    assert training.next_epoch == 8
    assert training.status == "finished"
    assert training.history()["epoch"].tolist() == [0, 3, 6, 7]


def test_a_training_with_few_records_goes_on_from_its_checkpoint(few_digits, quick):
    trial = quick(
        batch_size=10, epochs=8, norm="group", blocks="shuffled", record_every=3, eval_every=3
    )
    whole = list(ab.train(trial, few_digits, device="cpu"))
    training = ab.train(trial, few_digits, device="cpu")
    next(training)
    assert training.next_epoch == 3
    state = checkpoint.loads(checkpoint.dumps(training.state_dict()), trial=trial)
    resumed = ab.train(trial, few_digits, state=state, device="cpu")
    assert [r.train_loss for r in resumed] == [r.train_loss for r in whole[1:]]
    assert [r.epoch for r in resumed.records] == [0, 3, 6, 7]


def test_swept_it_is_done_after_all_epochs(tmp_path, quick):
    ab.load_dataset("digits", train_size=40, test_size=30, root=tmp_path)
    trial = quick(batch_size=10, epochs=8, norm="group", record_every=5, eval_every=5)
    table = ab.sweep([trial], tmp_path / "runs", root=tmp_path)
    assert table["epoch"].tolist() == [0, 5, 7]
    ledger = Ledger.open(tmp_path / "runs")
    (key,) = ledger.keys()
    assert ledger.done(key)["epochs"] == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"schedule": "own_schedule:bad"},
            r"^schedule = .*must give a finite number >= 0, not nan",
        ),
        (
            {"schedule": "own_schedule:number"},
            r"a function of the step and the number of steps, not",
        ),
        ({"schedule_options": {"final": 2}}, r"^schedule_options.final = 2: constant takes no"),
        (
            {"schedule": "cosine", "schedule_options": {"final": 2}},
            r"^schedule_options.final = 2: must be a number >= 0 and <= 1",
        ),
        ({"schedule": "steps", "schedule_options": {"at": [3]}}, r"must be shares of all steps"),
        ({"schedule_options": {"warmup": -1}}, r"^schedule_options.warmup = -1"),
        ({"schedule": "steps"}, r"^schedule = 'steps': fails: .*missing .* 'at'"),
    ],
)
def test_bad_schedules_are_refused(few_digits, quick, own, changes, words):
    with pytest.raises(ConfigError, match=words):
        next(ab.train(quick(**changes), few_digits, device="cpu"))


def test_a_loss_that_stays_high_between_records_has_diverged(few_digits, quick, monkeypatch):
    monkeypatch.setattr(trainer, "DIVERGENCE_FACTOR", 0.0)
    trial = quick(batch_size=20, epochs=200, norm="group", record_every=20, eval_every=20)
    training = ab.train(trial, few_digits, device="cpu")
    assert [record.epoch for record in training] == [0, 20, 40, 60]
    assert training.status == "diverged"
