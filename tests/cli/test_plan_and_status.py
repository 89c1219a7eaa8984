"""What plan and status say of a ledger."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from made_trials import finish, start

from adambias.cli import status as overview
from adambias.cli.plan import in_words, print_plan, slots_here
from adambias.cli.status import print_status, watch_status
from adambias.config import DatasetSpec, Grid, Params, Resources, load_params
from adambias.data.manifest import prepared_shape
from adambias.data.preparation import expected_shape, prepare
from adambias.ledger import alive
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Look again for a moment only: no trial of these tests takes longer to report."""
    monkeypatch.setattr(alive, "PATIENCE", 2.0)


@pytest.fixture
def params(tmp_path, monkeypatch) -> Params:
    """The smoke scale in a folder of its own, where ``runs/`` is the ledger."""
    for name in ("ADAMBIAS_STORE", "ADAMBIAS_DATA"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(ROOT / "scales", tmp_path / "scales")
    (tmp_path / "params.yaml").write_text("scale: smoke\n")
    monkeypatch.chdir(tmp_path)
    found = load_params()
    for name, spec in found.scale.prepare.datasets.items():
        prepare(name, spec, found.data_root)
    return found


@pytest.fixture
def ledger(params) -> Ledger:
    found = Ledger.open(params.store)
    found.initialise()
    return found


@pytest.fixture
def jobs(params, ledger) -> list[Job]:
    return make_plan(params, ["beta2"], ledger).jobs


def report(ledger: Ledger, job: Job, *, age: float, epoch_seconds: float | None) -> None:
    """Leave a trial's report, ``age`` seconds old."""
    start(ledger, job, 3)
    ledger.save_progress(job.key, reported(age, epoch_seconds))


def reported(age: float, epoch_seconds: float | None) -> dict[str, object]:
    content = {"epoch": 3, "host": "node7", "seconds_per_epoch": epoch_seconds}
    return {**content, "updated": time.time() - age}


def line_of(job: Job, shown: str) -> str:
    (line,) = [line for line in shown.splitlines() if job.key in line]
    return line


def test_every_state_is_told(params, ledger, jobs, capsys):
    finish(ledger, jobs[0])
    report(ledger, jobs[1], age=1, epoch_seconds=0.1)
    report(ledger, jobs[2], age=1, epoch_seconds=0.1)
    ledger.store.write(f"{jobs[2].key}/error.txt", b"a reason")

    print_status(params, ["beta2"])

    shown = capsys.readouterr().out
    assert " done " in line_of(jobs[0], shown)
    assert " running on node7   3/8 " in line_of(jobs[1], shown)
    assert " failed " in line_of(jobs[2], shown)
    assert " pending " in line_of(jobs[3], shown)
    assert "1 done, 1 failed, 1 pending, 1 running" in shown


def test_what_a_grid_sweeps_is_told_though_it_be_the_default(params, ledger, capsys):
    grid = Grid(axes={"rule": ("adam", "lion"), "beta2": (0.99, 0.999)})
    scale = dataclasses.replace(params.scale, grids={**params.scale.grids, "mine": grid})
    params = dataclasses.replace(params, scale=scale)

    print_plan(params, ["mine"], listing=True)
    print_status(params, ["mine"])

    shown = capsys.readouterr().out
    for job in make_plan(params, ["mine"], ledger).jobs:
        words = f"rule={job.trial.rule} .*beta2={job.trial.beta2}"
        assert len(re.findall(f"{job.key} .*{words}", shown)) == 2


def test_a_machine_runs_as_many_trials_as_it_has_cores_and_gpus_for():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert slots_here(Resources()) == 1
        assert slots_here(Resources(cpus_per_trial=0.25)) == 4
        assert slots_here(Resources(cpus_per_trial=0.25, max_concurrent=3)) == 3
        gpus = torch.cuda.device_count()
        assert slots_here(Resources(cpus_per_trial=0.001, gpus_per_trial=0.25)) == max(1, 4 * gpus)
    finally:
        os.sched_setaffinity(0, before)


def test_slots_beyond_the_trials_that_are_left_make_nothing_faster(params, ledger, jobs, capsys):
    for job in jobs[:2]:
        finish(ledger, job, seconds_per_image=0.5)

    print_plan(params, ["beta2"], slots=100)

    # 16 epochs of 60 images are left in two trials, half a second each.
    assert "beta2 4 2 0 0 2 8.0 min 4.0 min" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0 s"), (0.26, "0.3 s"), (51, "51 s"), (480, "8.0 min"), (5400, "1.5 h")),
        *((86400 * 3, "3.0 days"), (374_077.8 * 3600, "42.7 years"), (1e12, "31,688 years")),
    ],
)
def test_times_are_in_units_that_one_can_picture(seconds, words):
    assert in_words(seconds) == words


def test_the_time_of_a_folder_of_images_is_known_once_it_is_prepared(params, capsys):
    spec = DatasetSpec(source="image_folder", path=str(params.root / "images"))
    assert expected_shape(spec) is None
    assert expected_shape(dataclasses.replace(spec, train_size=300)) == (300, 3, 32, 32)
    assert prepared_shape("digits", params.data_root) == (60, 1, 8, 8)
    sets = dict.fromkeys(params.scale.prepare.datasets, spec)
    scale = dataclasses.replace(
        params.scale, prepare=dataclasses.replace(params.scale.prepare, datasets=sets)
    )

    print_plan(dataclasses.replace(params, scale=scale), ["beta2"])

    shown = " ".join(capsys.readouterr().out.split())
    assert "beta2 4 0 0 0 4 unknown unknown" in shown
    assert "4 trials are of a kind never measured, or on data of a size that only their" in shown


def test_what_looks_like_markup_is_shown_as_it_is(params, jobs, capsys, monkeypatch):
    shown_as = "rule=own.rule:smile:[/x]"
    for module in ("plan", "status"):
        monkeypatch.setattr(f"adambias.cli.{module}.describe", lambda *given: shown_as)

    print_plan(params, ["beta2"], listing=True)
    print_status(params, ["beta2"])

    assert capsys.readouterr().out.count(shown_as) == 2 * len(jobs)


@pytest.mark.parametrize(
    ("age", "epoch_seconds", "state"),
    [
        (50, 0.1, "running"),
        (70, 0.1, "interrupted"),
        (500, 200.0, "running"),
        (700, 200.0, "interrupted"),
        (500, None, "running"),
    ],
)
def test_a_trial_of_slow_epochs_runs_though_it_reports_rarely(
    params, ledger, jobs, capsys, age, epoch_seconds, state
):
    report(ledger, jobs[0], age=age, epoch_seconds=epoch_seconds)

    print_status(params, ["beta2"])

    assert f" {state} " in line_of(jobs[0], capsys.readouterr().out)


@pytest.mark.parametrize("off", [-600.0, 600.0])
def test_a_trial_runs_whose_reports_change_though_its_clock_is_minutes_off(
    params, ledger, jobs, capsys, off
):
    report(ledger, jobs[0], age=-off, epoch_seconds=0.1)
    report(ledger, jobs[1], age=-off, epoch_seconds=0.1)
    ended = threading.Event()

    def train() -> None:
        while not ended.wait(0.2):
            ledger.save_progress(jobs[0].key, reported(-off, 0.1))

    worker = threading.Thread(target=train)
    worker.start()
    try:
        print_status(params, ["beta2"])
    finally:
        ended.set()
        worker.join()

    shown = capsys.readouterr().out
    assert " running on node7 " in line_of(jobs[0], shown)
    assert " interrupted " in line_of(jobs[1], shown)


def test_watching_ends_when_every_trial_is_finished(params, ledger, jobs, capsys, monkeypatch):
    for job in jobs[:2]:
        finish(ledger, job)
    left = iter(jobs[2:])
    monkeypatch.setattr(overview.time, "sleep", lambda _: finish(ledger, next(left)))

    watch_status(params, ["beta2"])

    assert next(left, None) is None
    assert capsys.readouterr().out.strip().splitlines()[-1] == "4 done"


def test_watching_says_that_data_are_not_prepared(params, ledger, jobs, capsys, monkeypatch):
    shutil.rmtree(params.data_root)

    def tired(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(overview.time, "sleep", tired)
    with pytest.raises(KeyboardInterrupt):
        watch_status(params, ["beta2"])

    assert "data digits: is not prepared as this scale asks" in capsys.readouterr().out


def test_a_plan_tells_counts_time_and_what_is_odd(params, ledger, jobs, capsys):
    finish(ledger, jobs[0], seconds_per_image=0.5)
    start(ledger, jobs[1], 4)
    ledger.store.write("notes[bold].txt", b"mine")
    ledger.store.write(f"{jobs[2].key}/done.json", b"{")

    print_plan(params, ["beta2", "beta1"], slots=2)

    shown = " ".join(capsys.readouterr().out.split())
    # 20 epochs of 60 images are left in beta2, half a second each.
    assert "beta2 4 1 0 1 2 10.0 min 5.0 min" in shown
    assert "all, each trial once 6 1 0 1 4" in shown
    assert "speeds measured on a processor, 2 cores" in shown
    assert f"{jobs[2].key}/done.json: is damaged: the trial counts as unfinished" in shown
    assert "notes[bold].txt is no trial and left alone" in shown
