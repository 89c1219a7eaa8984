"""Sweeps as a user runs them: only what is missing runs, and the exit code tells the truth."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from processes import ROOT, SECONDS, adambias, asked, change, tables

from adambias.config import SEMANTICS_VERSION, load_params
from adambias.core.errors import LedgerError, StoreError, SweepError
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, make_plan
from adambias.sweep import run as sweep

MILLION = {"axes": {n: list(range(1, 101)) for n in ("seed", "epochs", "eval_every")}}


def run_inline(*grids: str) -> Plan:
    return sweep.run(load_params(), grids, executor="inline", track=False)


def written(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_finished_sweep_is_not_repeated_and_needs_no_ray(project: Path) -> None:
    plan = run_inline("tiny")
    assert plan.count(plan.jobs)["done"] == 4
    before = written(project / "runs")
    code = (
        "import sys; from adambias.sweep import run as sweep; "
        "from adambias.config import load_params; "
        "sweep.run(load_params(), ['tiny'], track=False); "
        "assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)"
    )
    again = subprocess.run(
        [*adambias()[:1], "-c", code], check=True, cwd=project, stderr=subprocess.PIPE, text=True
    )
    assert again.stderr == f"small: tiny  all 4 trials are in {project}/runs: nothing to train\n"
    assert before == written(project / "runs")


def test_one_more_value_runs_only_its_own_trials(project: Path) -> None:
    run_inline("tiny")
    before = written(project / "runs")
    change(project, "grids", tiny={"axes": {"beta2": [0.5, 0.9, 0.99], "seed": [0, 1]}})

    plan = run_inline("tiny")

    assert plan.count(plan.jobs)["done"] == 6
    after = written(project / "runs")
    changed = {path.parent.name for path in after if after[path] != before.get(path)}
    assert changed == {j.key for j in plan.jobs if j.trial.beta2 == 0.5} | {"runs"}


def test_more_epochs_go_on_from_a_kept_state_to_the_same_tables(
    project: Path, undisturbed: dict[str, bytes]
) -> None:
    change(project, "resources", keep_states=True)
    change(project, "trial", eval_every=50)
    change(project, "grids", tiny={"base": {"epochs": 100}, "axes": {"beta2": [0.9], "seed": [0]}})
    short = run_inline("tiny").jobs[0]

    extended = run_inline("beta2").jobs[0]

    log = (project / "runs" / extended.key / "log.txt").read_text()
    assert f"goes on from {short.key}/checkpoint.pt at epoch 100" in log
    assert tables(project, "beta2") == undisturbed


def test_other_grids_trained_ahead_do_not_decide_how_a_sweep_ends(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_bug(project)
    monkeypatch.syspath_prepend(str(project))
    change(project, "trial", rule="adam")
    broken = {"base": {"rule": "broken_rule:rule"}, "axes": {"seed": [0]}}
    change(project, "grids", broken=broken, two={"axes": {"beta2": [0.5], "seed": [0, 1]}})
    params = load_params()
    ledger = Ledger.open(params.store)

    plan = sweep.run(
        params, ["tiny"], ahead=["broken", "tiny", "two"], executor="inline", track=False
    )

    assert list(plan.grids) == ["tiny"]
    assert not plan.pending
    assert "1 trials of other grids failed: their own stages try them again" in caplog.text
    after = make_plan(params, ["two", "broken"], ledger)
    assert not after.lacks("two")
    assert after.lacks("broken")
    before = written(project / "runs")
    sweep.run(params, ["tiny"], ahead=["broken"], executor="inline", track=False)
    assert before == written(project / "runs"), "with nothing to run for itself it trains nothing"


def test_more_bugs_ahead_than_the_error_budget_do_not_stop_a_sweep(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bug(project)
    monkeypatch.syspath_prepend(str(project))
    change(project, "trial", rule="adam")
    broken = {"base": {"rule": "broken_rule:rule"}, "axes": {"seed": [0, 1, 2, 3, 4]}}
    change(project, "grids", broken=broken)
    params = load_params()
    ledger = Ledger.open(params.store)
    for job in make_plan(params, ["broken"], ledger).jobs:
        ledger.open_trial(job)
        ledger.save_checkpoint(job.key, b"of an earlier attempt, so that it would come first")

    plan = sweep.run(params, ["tiny"], ahead=["broken"], executor="inline", track=False)

    assert not plan.pending
    assert len(list(Path("runs").glob("*/error.txt"))) == 3, "the rest was left alone"


def test_a_rule_of_ones_own_is_trained_anew_after_a_change_of_its_code(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "from adambias.law.rules import adam\n\n\ndef rule():\n    return adam(beta1={})\n"
    Path("own_rule.py").write_text(rule.format(0.9))
    change(project, "trial", rule="own_rule:rule")
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    command = ("sweep", "--no-track", "tiny", "--executor", "inline")
    assert asked(*command).returncode == 0
    shown = asked("plan", "tiny", PYTHONSAFEPATH="1").stdout
    assert "rule own_rule:rule: has no file to be found" in shown

    Path("own_rule.py").write_text(rule.format(0.5))

    assert "1 pending" in asked("status", "tiny").stdout
    assert asked(*command).returncode == 0
    losses = {p.read_bytes() for p in Path("runs").glob("*/history.parquet")}
    assert len(losses) == 2
    assert "1 done" in asked("status", "tiny").stdout


def test_a_rule_beside_the_parameters_is_found_from_another_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "from adambias.rules import adam\n\n\ndef rule():\n    return adam(beta1=0.9)\n"
    (project / "rule_beside.py").write_text(rule)
    change(project, "trial", rule="rule_beside:rule")
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    given = ("tiny", "--params", str(project / "params.yaml"))

    done = asked("sweep", "--no-track", *given, "--executor", "inline")

    assert done.returncode == 0, done.stderr
    assert "no file to be found" not in (shown := asked("plan", *given).stdout), shown


@pytest.mark.parametrize(
    ("rule", "text", "said"),
    [
        ("rule_nowhere:rule", "", "has no file to be found: put it beside the parameters, put its"),
        (
            "rule_here:ruel",
            "def rule(): ...",
            "rule_here has no ruel, must be one of rule (did you mean rule?)",
        ),
        ("rule_here:rule", "def rule(: ...", "cannot be imported (invalid syntax"),
    ],
)
def test_a_rule_that_is_not_here_is_refused_before_ray_starts(
    project: Path, rule: str, text: str, said: str
) -> None:
    (project / "rule_here.py").write_text(text)
    change(project, "trial", rule=rule)

    done = asked("sweep", "--no-track", "tiny")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: rule = '{rule}': {said}"), done.stderr
    assert not (project / "runs").exists()


def write_bug(project: Path) -> None:
    (project / "broken_rule.py").write_text("def rule(beta2):\n    raise KeyError('a bug')\n")
    change(project, "trial", rule="broken_rule:rule")


def test_a_bug_stops_the_sweep_after_the_error_budget_with_the_first_trace(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_bug(project)
    monkeypatch.syspath_prepend(str(project))
    params = load_params()
    first = make_plan(params, ["tiny"], Ledger.open(params.store)).jobs[0].key

    with pytest.raises(SweepError, match=f"4 of 4 .* 3 failed, the first was .*{first}.*a bug"):
        run_inline("tiny")

    assert f"the first trial to fail, {first}:\nTraceback" in caplog.text
    assert "in rule\n    raise KeyError('a bug')" in caplog.text
    assert len(list(Path("runs").glob("*/error.txt"))) == 3


def test_a_place_that_cannot_be_a_store_is_refused_at_once(project: Path) -> None:
    (project / "a_file").write_text("")
    result = asked("sweep", "tiny", ADAMBIAS_STORE=f"{project}/a_file/runs")

    assert result.returncode == 1
    assert result.stderr.startswith(f"error: ADAMBIAS_STORE = {project}/a_file/runs: cannot be")
    assert len(result.stderr.splitlines()) == 1


def test_a_place_where_no_folder_can_be_made_is_named_with_the_mend(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAMBIAS_STORE", "/proc/adam")

    with pytest.raises(StoreError) as caught:
        run_inline("tiny")

    assert str(caught.value) == (
        "ADAMBIAS_STORE = /proc/adam: cannot be written (No such file or directory): make it "
        "writable, free room, or give another location"
    )


def test_what_does_not_belong_into_the_store_is_named_and_kept(project: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("job", "ledger"):
            patch.setattr(f"adambias.ledger.{module}.SEMANTICS_VERSION", SEMANTICS_VERSION + 1)
        run_inline("tiny")
    (project / "runs" / "notes.txt").write_text("mine")
    others = written(project / "runs")
    plan = run_inline("tiny")
    cut = project / "runs" / plan.jobs[0].key / "done.json"
    cut.write_bytes(cut.read_bytes()[:-9])

    shown = asked("plan", "tiny").stdout

    assert f"{cut}: is damaged: the trial counts as unfinished and is redone" in shown
    assert f"4 finished trials are of other semantics than {SEMANTICS_VERSION}" in shown
    assert "notes.txt is no trial and left alone" in shown
    again = asked("sweep", "--no-track", "tiny", "--executor", "inline")
    assert again.returncode == 0
    assert str(cut) in again.stderr
    assert "4 done, 0 diverged" in again.stdout
    kept = written(project / "runs")
    assert {p for p in others if p.name != "ledger.json" and kept.get(p) != others[p]} == set()


def test_a_folder_under_the_key_of_another_trial_fails_with_a_line_and_is_kept(
    project: Path,
) -> None:
    first, second = run_inline("tiny").jobs[:2]
    shutil.rmtree(project / "runs" / second.key)
    shutil.copytree(project / "runs" / first.key, project / "runs" / second.key)
    before = (project / "runs" / second.key / "history.parquet").read_bytes()

    with pytest.raises(SweepError, match=f"describes another trial than {second.key}"):
        run_inline("tiny")

    assert (project / "runs" / second.key / "history.parquet").read_bytes() == before


@pytest.mark.parametrize("trouble", ["a file", "no permission"])
def test_a_folder_that_cannot_be_used_is_its_own_trials_trouble(
    project: Path, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params()
    first, *rest = make_plan(params, ["tiny"], Ledger.open(params.store)).jobs
    folder = project / "runs" / first.key
    folder.parent.mkdir()
    if trouble == "a file":
        folder.write_text("where the trial's folder has to be")
    else:
        folder.mkdir(mode=0o000)
        if os.access(folder, os.R_OK):
            pytest.skip("nothing is forbidden to root")
    reason = {"a file": "Not a directory", "no permission": "Permission denied"}[trouble]

    with pytest.raises(SweepError, match=r"^1 of 4 trials are not finished, 1 failed") as caught:
        run_inline("tiny")

    assert f"{folder} (FolderError: {folder}: cannot be " in str(caught.value)
    line = f"{folder}: cannot be read ({reason}): ask its owner for permission, or take it out"
    assert Ledger.open(params.store).finished(job.key for job in rest) == {j.key for j in rest}
    for command in ("plan", "status"):
        shown = asked(command, "tiny")
        assert shown.returncode == 0, shown.stderr
        assert line in shown.stdout
        assert "3 done, 1 pending" in shown.stdout or command == "plan"


def test_two_trials_with_one_key_are_refused_before_anything_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adambias.ledger.job.trial_key", lambda trial, digest, source: "0" * 16)

    with pytest.raises(LedgerError, match=r"^key 0{16}: two trials have it, Trial\(.*two ledgers"):
        run_inline("tiny")

    assert not Path("runs").exists()


def test_no_to_the_question_about_many_trials_is_no_for_the_pipeline_too(project: Path) -> None:
    change(project, "grids", tiny=MILLION)
    command = [*adambias()[:1], str(ROOT / "pipeline" / "sweep.py"), "tiny"]

    done = subprocess.run(
        command,
        env={**os.environ, "ADAMBIAS_YES": "0"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert "is more than 10,000: confirm with --yes" in done.stderr


def test_a_sweep_of_another_folder_is_kept_and_shown_in_the_stores_of_that_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    params = ("--params", str(project / "params.yaml"))

    done = asked("sweep", "tiny", "--executor", "inline", *params)

    assert done.returncode == 0, done.stderr
    assert (project / "mlflow.db").exists()
    assert not list(Path.cwd().iterdir()), "ledger and MLflow store lie beside params.yaml"
    assert "1 done" in asked("status", "tiny", *params).stdout
    given = asked("status", "tiny", *params, ADAMBIAS_STORE="runs").stdout
    assert "1 pending" in given, "a relative path in the environment is of the working directory"
    again = sweep.run(load_params(project / "params.yaml"), ["tiny"], executor="inline")
    assert not again.pending
    assert not Path("mlflow.db").exists(), "it is found to be up to date there"
    shutil.rmtree(project / "data")
    shown = asked("sync", *params).stdout
    assert "data digits: is not prepared as this scale asks" in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("""mein Prüfstand it's "a" $HOME #b;a:b\\""", ""),
        ("a%20b", "has % or ? in its path, which SQLite's URI cannot hold: move the project, set "),
    ],
)
def test_a_sweep_at_an_odd_path_works_or_is_refused_before_it_trains(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    odd = project / name / "project"
    for made in ("params.yaml", "scales", "data"):
        odd.mkdir(parents=True, exist_ok=True)
        shutil.move(project / made, odd)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(odd)

    done = asked("sweep", "tiny", "--executor", "inline")

    assert done.returncode == bool(said), done.stderr
    assert f"{odd}: {said}" in done.stderr or not said
    made = {path.name for path in odd.iterdir()} - {"params.yaml", "scales", "data", "runs"}
    assert made == (set() if said else {"mlflow.db", "mlartifacts"})
    assert len(list(odd.glob("runs/*/done.json"))) == (not said)
    assert [path.name for path in odd.parent.iterdir()] == ["project"]


def test_a_grid_that_the_pipeline_leaves_out_is_named(project: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", project)
    note = f"grid tiny: is not in the matrix of {project}/dvc.yaml, so dvc repro leaves it out"

    assert note in asked("plan", "tiny").stdout
    assert "dvc.yaml" not in asked("plan", "beta2").stdout
    assert note in asked("sweep", "--no-track", "tiny", "--executor", "inline").stderr
    (project / "dvc.yaml").write_text("stages: {sweep: {cmd: python other.py}}")
    assert "dvc.yaml" not in asked("plan", "tiny").stdout


@pytest.mark.parametrize("command", ["plan", "status", "sweep"])
def test_a_million_trials_are_refused_in_a_moment_without_a_terminal(
    project: Path, command: str
) -> None:
    change(project, "grids", tiny=MILLION)

    result = asked(command, "tiny")

    assert result.returncode == 1
    assert result.stderr == (
        "error: grids.tiny = '1,000,000 trials': is more than 10,000: confirm with --yes, or "
        "ADAMBIAS_YES=1 for dvc repro\n"
    )


def test_a_million_trials_are_asked_about_on_a_terminal(project: Path) -> None:
    change(project, "grids", tiny=MILLION)
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(adambias("sweep", "tiny"), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"n\n")

    assert asking.wait(timeout=SECONDS) == 1
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "a grid holds 1,000,000 trials: go on? [y/N]" in shown
    assert not Path("runs").exists()
