from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_trials import finish, job_of, opened, start

from adambias.config import SEMANTICS_VERSION, DatasetSpec, Grid, Params, Prepare, load_params
from adambias.core.errors import ConfigError, DataError
from adambias.data.manifest import prepared_digest
from adambias.data.preparation import prepare
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import count_trials, is_confirmed, make_plan
from adambias.ledger.speed import Rates, kind_of, remaining_work

ROOT = Path(__file__).parents[2]
DIGITS = DatasetSpec(source="digits", train_size=60, test_size=60)
DEFAULTS = {"dataset": "digits", "h": 1e-3, "epochs": 8}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    prepare("digits", DIGITS, root / "data")
    return root


@pytest.fixture
def root(prepared, tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("ADAMBIAS_DATA", raising=False)
    shutil.copytree(prepared, tmp_path / "project")
    return tmp_path / "project"


def params_of(root: Path, **grids: Grid) -> Params:
    smoke = load_params(ROOT / "params.yaml", "smoke").scale
    datasets = Prepare(datasets={**smoke.prepare.datasets, "digits": DIGITS})
    scale = dataclasses.replace(smoke, prepare=datasets, trial=DEFAULTS, grids=grids)
    return Params(name="smoke", scale=scale, root=root)


def jobs_of(params: Params, name: str) -> list[Job]:
    digest = prepared_digest("digits", DIGITS, params.data_root)
    return [Job.of(t, digest) for t in params.scale.grid(name).expand(params.scale.trial)]


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return opened(tmp_path / "store")


BETA2 = Grid(axes={"seed": [0, 1], "beta2": [0.9, 0.99]})


def test_a_fresh_ledger_leaves_everything_to_run(root, ledger):
    params = params_of(root, beta2=BETA2)

    plan = make_plan(params, ["beta2"], ledger)

    assert plan.grids["beta2"] == jobs_of(params, "beta2")
    assert plan.pending == plan.jobs
    assert plan.count(plan.jobs) == {"done": 0, "diverged": 0, "to resume": 0, "to run": 4}


def test_what_is_finished_is_subtracted_and_what_is_started_comes_first(root, location):
    params, ledger = params_of(root, beta2=BETA2), opened(location)
    first, second, third, fourth = jobs_of(params, "beta2")
    finish(ledger, first)
    finish(ledger, second, status="diverged")
    start(ledger, fourth, 3)

    plan = make_plan(params, ["beta2"], ledger)

    assert plan.pending == [fourth, third]
    assert plan.count(plan.jobs) == {"done": 1, "diverged": 1, "to resume": 1, "to run": 1}
    assert [plan.state(job) for job in plan.jobs] == ["done", "diverged", "to run", "to resume"]


def test_one_more_value_runs_only_its_own_trials(root, ledger):
    for job in jobs_of(params_of(root, beta2=BETA2), "beta2"):
        finish(ledger, job)
    more = Grid(title="renamed", axes={"beta2": [0.5, 0.9, 0.99], "seed": [1, 0]})

    plan = make_plan(params_of(root, other=more), ["other"], ledger)

    assert sorted((j.trial.beta2, j.trial.seed) for j in plan.pending) == [(0.5, 0), (0.5, 1)]


def test_a_trial_of_two_grids_runs_once(root, ledger):
    beta1 = Grid(axes={"seed": [0, 1], "beta1": [0.5, 0.9]}, base={"beta2": 0.99})
    params = params_of(root, beta2=BETA2, beta1=beta1)

    plan = make_plan(params, ["beta2", "beta1"], ledger)

    assert [len(jobs) for jobs in plan.grids.values()] == [4, 4]
    assert len(plan.jobs) == 6
    assert plan.repeated == 0


def test_a_trial_named_twice_in_a_grid_runs_once_and_is_counted(root, ledger):
    grid = Grid(axes={"seed": [0, 1, 1]}, trials=[{"seed": 0}, {"h": 0.001}])

    plan = make_plan(params_of(root, twice=grid), ["twice"], ledger)

    assert len(plan.grids["twice"]) == 2
    assert plan.repeated == 3


def test_what_a_rule_does_not_take_makes_no_trials_of_its_own(root, ledger):
    axes = {"rule": ["adam", "heavy_ball"], "beta2": [0.9, 0.99, 0.999], "beta1": [0.5, 0.9]}
    params = params_of(root, beta2=Grid(axes=axes))

    plan = make_plan(params, ["beta2"], ledger)

    trained = [(j.trial.rule, j.trial.beta1, j.trial.beta2) for j in plan.jobs]
    assert [each for each in trained if each[0] == "heavy_ball"] == [
        ("heavy_ball", 0.5, 0.9),
        ("heavy_ball", 0.9, 0.9),
    ]
    assert len(trained) == 2 * 3 + 2
    assert plan.twins == {"heavy_ball takes no beta2": 4}
    # The measured norm is perturbed by epsilon whatever the rule, so along it nothing is a twin.
    grid = Grid(base={"rule": "heavy_ball"}, axes={"epsilon": [1e-8, 1e-4]})
    assert len(make_plan(params_of(root, e=grid), ["e"], ledger).jobs) == 2


def test_an_exclusion_of_everything_is_refused(root, ledger):
    grid = Grid(axes={"seed": [0, 1]}, exclude=[{"model": "resnet8"}])

    with pytest.raises(ConfigError, match=r"^grids\.none\.exclude = \[.*\]: leaves no trial$"):
        make_plan(params_of(root, none=grid), ["none"], ledger)


def test_more_epochs_go_on_from_the_longest_state_that_was_kept(root, location):
    ledger = opened(location)
    params = params_of(root, short=Grid(trials=[{"epochs": e} for e in (4, 6, 7)]))
    for job, kept in zip(jobs_of(params, "short"), (True, True, False), strict=True):
        finish(ledger, job, state_kept=kept)
    longer = Grid(trials=[{"epochs": 8}, {"epochs": 5}, {"epochs": 3}, {"epochs": 8, "seed": 1}])

    plan = make_plan(params_of(root, longer=longer), ["longer"], ledger)

    four, six, _ = jobs_of(params, "short")
    to_8, to_5, _to_3, _other_seed = plan.grids["longer"]
    assert plan.extends == {to_8.key: six.key, to_5.key: four.key}
    assert plan.count(plan.jobs) == {"done": 0, "diverged": 0, "to resume": 2, "to run": 2}


def test_a_state_of_other_data_or_other_semantics_is_not_gone_on_from(root, ledger, monkeypatch):
    params = params_of(root, short=Grid(trials=[{"epochs": 4}]))
    other_data = job_of("e" * 64, dataset="digits", epochs=4)
    finish(ledger, other_data, state_kept=True)
    for module in ("job", "ledger"):
        monkeypatch.setattr(f"adambias.ledger.{module}.SEMANTICS_VERSION", SEMANTICS_VERSION + 1)
    finish(ledger, jobs_of(params, "short")[0], state_kept=True)
    monkeypatch.undo()

    plan = make_plan(params_of(root, longer=Grid(trials=[{}])), ["longer"], ledger)

    assert len(plan.recorded) == 2
    assert plan.extends == {}


class _Unexpanded(Grid):
    """A grid that must not be expanded."""

    def expand(self, defaults: object) -> Iterator[object]:
        raise AssertionError("a grid that was to be refused was expanded")


def million() -> Grid:
    return _Unexpanded(axes={n: list(range(1, 101)) for n in ("seed", "epochs", "eval_every")})


def test_a_million_trials_by_mistake_are_refused_without_expanding_them(root, ledger):
    params = params_of(root, huge=million(), beta2=BETA2)

    assert count_trials(params, ["huge"]) == 1_000_000
    with pytest.raises(ConfigError) as caught:
        make_plan(params, ["beta2", "huge"], ledger)
    assert str(caught.value) == (
        "grids.huge = '1,000,000 trials': is more than 10,000: confirm with --yes, or "
        "ADAMBIAS_YES=1 for dvc repro"
    )
    with pytest.raises(AssertionError, match="was expanded"):
        make_plan(params, ["huge"], ledger, confirmed=True)


@pytest.mark.parametrize(
    ("value", "confirmed"), [("", False), ("0", False), ("no", False), ("1", True), ("True", True)]
)
def test_the_environment_confirms_only_with_a_yes(value, confirmed, monkeypatch):
    monkeypatch.setenv("ADAMBIAS_YES", value)

    assert is_confirmed() is confirmed


def test_an_unclear_confirmation_is_refused(monkeypatch):
    monkeypatch.setenv("ADAMBIAS_YES", "perhaps")

    with pytest.raises(ConfigError, match=r"^ADAMBIAS_YES = 'perhaps': must be 1 or 0$"):
        is_confirmed()


def test_an_unknown_grid_is_refused(root, ledger):
    with pytest.raises(ConfigError, match=r"^grid = 'beta3': must be one of beta2 \(did you mean"):
        make_plan(params_of(root, beta2=BETA2), ["beta3"], ledger)


def test_data_that_are_not_prepared_are_refused_or_noted(root, ledger):
    params = params_of(root, beta2=BETA2)
    for job in jobs_of(params, "beta2"):
        finish(ledger, job)
    shutil.rmtree(root / "data")

    with pytest.raises(DataError, match="digits: is not prepared: run dvc repro prepare"):
        make_plan(params, ["beta2"], ledger)
    plan = make_plan(params, ["beta2"], ledger, strict=False)

    assert plan.unprepared == ("digits",)
    assert len(plan.pending) == 4


def test_a_truncated_done_json_is_run_again(root, ledger):
    params = params_of(root, beta2=BETA2)
    jobs = jobs_of(params, "beta2")
    for job in jobs:
        finish(ledger, job)
    ledger.store.write(f"{jobs[2].key}/done.json", b'{"key"')

    assert make_plan(params, ["beta2"], ledger).pending == [jobs[2]]


def test_the_estimate_takes_what_is_left_at_the_speed_that_was_measured(root, ledger, tmp_path):
    params = params_of(root, beta2=BETA2)
    jobs = jobs_of(params, "beta2")
    for job, speed in zip(jobs[:2], (1e-3, 3e-3), strict=True):
        finish(ledger, job, seconds_per_image=speed)
    start(ledger, jobs[2], 6)

    plan = make_plan(params, ["beta2"], ledger)
    work = list(remaining_work(plan, plan.jobs, ledger, {"digits": (60, 1, 8, 8)}))
    estimate = Rates(plan.recorded, tmp_path / "rates.json").estimate(work)

    assert sorted(images for _, images in work) == [2 * 60, 8 * 60]
    assert estimate.hours == pytest.approx(2e-3 * 10 * 60 / 3600)
    assert estimate.unknown == 0
    assert estimate.machines == ("a processor, 2 cores",)


def test_speeds_of_a_cpu_and_of_a_gpu_are_told_apart(root, ledger, tmp_path):
    plan = make_plan(params_of(root, beta2=BETA2), ["beta2"], ledger)
    work = list(remaining_work(plan, plan.jobs, ledger, {"digits": (60, 1, 8, 8)}))
    (kind,) = {kind for kind, _ in work}
    slow = {"kind": kind, "seconds_per_image": 1.0, "machine": "a processor", "device": "cpu"}
    fast = {"kind": kind, "seconds_per_image": 0.1, "machine": "a GPU", "device": "cuda"}

    both = Rates([slow, fast], tmp_path / "rates.json")
    slow_only = Rates([slow], tmp_path / "rates.json")

    assert both.estimate(work, "cpu").hours == pytest.approx(10 * both.estimate(work, "cuda").hours)
    assert both.estimate(work, "cuda").machines == ("a GPU",)
    assert slow_only.estimate(work, "cuda").machines == ("a processor (a CPU, not a GPU)",)
    assert slow_only.estimate(work, "cuda").unknown == 0


def test_a_trial_that_goes_on_from_a_shorter_one_is_estimated_by_the_difference(root, ledger):
    params = params_of(root, short=Grid(trials=[{"epochs": 6}]), longer=Grid(trials=[{}]))
    finish(ledger, jobs_of(params, "short")[0], state_kept=True)

    plan = make_plan(params, ["longer"], ledger)

    work = list(remaining_work(plan, plan.jobs, ledger, {"digits": (60, 1, 8, 8)}))
    assert [images for _, images in work] == [2 * 60]


def test_what_was_never_measured_is_said_to_be_unknown(root, ledger, tmp_path):
    plan = make_plan(params_of(root, beta2=BETA2), ["beta2"], ledger)
    work = list(remaining_work(plan, plan.jobs, ledger, {"digits": (60, 1, 8, 8)}))
    rates = tmp_path / "rates.json"

    assert Rates((), rates).estimate(work).unknown == 4
    kind = kind_of(plan.jobs[0].trial, (60, 1, 8, 8))
    rates.write_text(json.dumps([{"kind": kind, "seconds_per_image": 1.0, "machine": "m"}]))
    assert Rates((), rates).estimate(work).hours == pytest.approx(4 * 8 * 60 / 3600)
