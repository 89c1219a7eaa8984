"""Sweeps on one Ray that runs already in this process, as in a notebook."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import change, tables

import adambias
from adambias.cli import doctor
from adambias.config import SEMANTICS_VERSION, load_params
from adambias.core.errors import AdambiasError, SweepError
from adambias.ledger.ledger import Ledger
from adambias.sweep import run as sweep
from adambias.sweep.cluster import quoted_python

RULE = "from adambias.rules import adam\n\n\ndef rule(beta2):\n    return adam(beta2=beta2)\n"
BUG = "def rule(beta2):\n    raise KeyError('a bug')\n"


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[None]:
    """Start Ray; its workers find the bucket's credentials and a module with a bug."""
    import ray

    folder = tmp_path_factory.mktemp("modules")
    (folder / "broken_rule.py").write_text(BUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        patch.syspath_prepend(str(folder))
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env=quoted_python(),
        )
        yield
        ray.shutdown()


def test_a_sweep_into_a_bucket_ends_with_the_tables_of_one_into_a_folder(
    project: Path, undisturbed: dict[str, bytes], s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(project, "resources", checkpoint_seconds=1)  # A save is a dozen requests.
    store = s3.format("sweep")
    monkeypatch.setenv("ADAMBIAS_STORE", store)

    sweep.run(load_params(), ["beta2"], track=False)

    assert tables(project, "beta2", store=store) == undisturbed
    assert not (project / "runs").exists()
    assert Ledger.open(store).foreign() == []


def test_a_bug_stops_the_sweep_after_the_error_budget_with_the_first_trace(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(project, "trial", rule="broken_rule:rule")
    change(project, "resources", error_budget=1)

    with pytest.raises(SweepError, match=r"4 of 4 trials are not finished, .*KeyError: 'a bug'"):
        sweep.run(load_params(), ["tiny"], track=False)

    assert "the first trial to fail, " in caplog.text
    assert "in rule\n    raise KeyError('a bug')" in caplog.text
    assert len(list(Path("runs").glob("*/error.txt"))) < 4


def test_more_bugs_ahead_than_the_error_budget_do_not_stop_a_sweep(project: Path) -> None:
    broken = {"base": {"rule": "broken_rule:rule"}, "axes": {"seed": [0, 1]}}
    own = {"base": {"epochs": 300, "eval_every": 150}, "axes": {"seed": [0]}}
    change(project, "grids", tiny=own, broken=broken)
    change(project, "resources", error_budget=1)

    plan = sweep.run(load_params(), ["tiny"], ahead=["broken"], track=False)

    assert not plan.pending
    assert list(Path("runs").glob("*/error.txt"))


def test_workers_find_a_rule_beside_the_parameters_before_one_of_the_current_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "rule_of_this_project.py").write_text(RULE)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "rule_of_this_project.py").write_text(BUG)
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(str(project))
    change(project, "trial", rule="rule_of_this_project:rule")

    assert not sweep.run(load_params(project / "params.yaml"), ["tiny"], track=False).pending


def test_a_ray_that_could_start_no_worker_from_this_python_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/mein Prüfstand/python")
    with pytest.raises(
        SweepError, match=r"^Ray runs already, and could start no worker with /mein"
    ):
        sweep.run(load_params(), ["tiny"], track=False)


def test_doctor_joins_the_cluster_and_compares_it_with_what_a_trial_asks_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    monkeypatch.setenv("RAY_ADDRESS", address)
    check = doctor.CHECKS["cluster"]

    assert list(check(load_params())) == [f"RAY_ADDRESS = {address}: 2 CPUs and 0 GPUs on 1 node"]
    change(project, "resources", gpus_per_trial=64)
    with pytest.raises(AdambiasError, match=r"^resources\.gpus_per_trial = 64: no node of the"):
        list(check(load_params()))


def test_tunes_own_files_of_killed_drivers_are_cleared_and_those_of_living_ones_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adambias.sweep.on_ray import _scratch

    monkeypatch.setattr(tempfile, "tempdir", str(project))
    killed, living, other = (project / n for n in ("adambias-tune-1", "adambias-tune-2", "mine"))
    for folder in (killed, living, other):
        (folder / "sweep").mkdir(parents=True)
        for path in (folder / "sweep", folder):
            os.utime(path, (0, 0))
    (living / "sweep" / "state.json").write_text("{}")

    with _scratch(str(project / "runs")) as scratch:
        assert Path(scratch).parent == project
        assert [folder.exists() for folder in (killed, living, other)] == [False, True, True]
    assert not Path(scratch).exists()


def test_a_node_that_cannot_read_the_ledger_says_so(project: Path) -> None:
    import ray

    from adambias.sweep.cluster import _check_node

    Path("file").write_text("no folder")

    version, semantics, problem = ray.get(_check_node.remote(str(project / "file/runs"), "probe"))

    assert (version, semantics) == (adambias.__version__, SEMANTICS_VERSION)
    assert problem.startswith(f"ADAMBIAS_STORE = {project}/file/runs: cannot be read (Not a dir")


def test_a_folder_that_cannot_be_used_ends_its_trial_and_none_beside_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, "resources", retries=1, error_budget=2, trials_per_process=2)
    change(project, "grids", tiny={"axes": {"seed": [0, 1]}})
    params = load_params()
    job, other = sweep.make_plan(params, ["tiny"], Ledger.open(params.store)).jobs
    (project / "runs").mkdir()
    (project / "runs" / job.key).write_text("a file where the trial's folder has to be")

    with pytest.raises(SweepError, match=r"^1 of 2 trials are not finished, 1 failed"):
        sweep.run(load_params(), ["tiny"], track=False)

    said = capsys.readouterr().err
    assert f"trial {job.key} failed: FolderError: {project}/runs/{job.key}: cannot be " in said
    assert "goes on from its last checkpoint" not in said
    assert "Traceback" not in said
    assert Ledger.open(params.store).finished([job.key, other.key]) == {other.key}


@pytest.mark.parametrize(
    ("resource", "amount", "largest"), [("gpus_per_trial", 64, 0), ("cpus_per_trial", 3, 2)]
)
def test_a_request_no_node_can_meet_is_refused_before_anything_runs(
    project: Path, resource: str, amount: int, largest: int
) -> None:
    change(project, "resources", **{resource: amount})

    with pytest.raises(SweepError) as caught:
        sweep.run(load_params(), ["tiny"], track=False)

    said = f"resources.{resource} = {amount}: no node of the cluster has more than {largest} "
    assert str(caught.value).startswith(said)
    assert not list(Path("runs").glob("*/trial.json"))
