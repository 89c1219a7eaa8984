"""Sweeps as a user runs them: nothing finished is lost, the exit code tells the truth."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from adambias import sweep
from adambias.config import load_params
from adambias.errors import SweepError
from adambias.ledger import Ledger

PYTHON = sys.executable
COMMAND = [PYTHON, "-m", "adambias.cli", "sweep", "--no-track"]


def _histories(ledger: Ledger) -> dict[str, pd.DataFrame]:
    return {key: ledger.history(key).drop(columns="seconds") for key in sorted(ledger.keys())}


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def undisturbed(project: Path) -> dict[str, pd.DataFrame]:
    params = load_params()
    os.environ["ADAMBIAS_STORE"] = str(project / "undisturbed")
    try:
        sweep.run(params, ["tiny"], executor="inline", track=False)
        return _histories(Ledger.open())
    finally:
        del os.environ["ADAMBIAS_STORE"]


def test_a_finished_sweep_is_not_repeated_and_needs_no_ray(project: Path) -> None:
    params = load_params()
    plan = sweep.run(params, ["tiny"], executor="inline", track=False)
    assert plan.count(plan.jobs)["done"] == 4
    before = {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}
    code = (
        "import sys; from adambias import sweep; from adambias.config import load_params; "
        "sweep.run(load_params(), ['tiny'], track=False); "
        "assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([PYTHON, "-c", code], check=True, cwd=project)
    assert before == {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}


def test_a_killed_driver_goes_on_to_the_same_histories(
    project: Path, undisturbed: dict[str, pd.DataFrame]
) -> None:
    chance = random.Random(0)
    inline = [*COMMAND, "--executor", "inline"]
    for _ in range(3):
        child = subprocess.Popen(inline, cwd=project, env=_environment(), stderr=subprocess.PIPE)
        time.sleep(2.5 + 2 * chance.random())
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(inline, cwd=project, env=_environment(), check=True)
    found = _histories(Ledger.open())
    assert found.keys() == undisturbed.keys()
    for key, table in undisturbed.items():
        pd.testing.assert_frame_equal(found[key], table, check_exact=True)


def test_an_interrupted_sweep_says_so(project: Path) -> None:
    text = Path("scales/tiny.yaml").read_text().replace("epochs: 6", "epochs: 5000")
    Path("scales/tiny.yaml").write_text(text)
    child = subprocess.Popen(
        [*COMMAND, "--executor", "inline"], cwd=project, env=_environment(), stderr=subprocess.PIPE
    )
    while not list(Path("runs").glob("*/trial.json")):
        assert child.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"interrupted" in errors
    assert b"Traceback" not in errors
    assert not list(Path("runs").glob("*/done.json"))


def test_a_failing_trial_fails_the_sweep_and_names_itself(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "broken_rule.py").write_text("def rule():\n    raise KeyError('a bug')\n")
    text = Path("scales/tiny.yaml").read_text()
    text = text.replace("model: resnet8", "model: resnet8\n  rule: 'broken_rule:rule'")
    Path("scales/tiny.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(project))
    with pytest.raises(SweepError, match=r"4 of 4 trials are not finished, 3 failed.*a bug"):
        sweep.run(load_params(), ["tiny"], executor="inline", track=False)


def test_an_unwritable_store_is_refused_at_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "a_file").write_text("")
    monkeypatch.setenv("ADAMBIAS_STORE", str(project / "a_file" / "runs"))
    result = subprocess.run(
        [*COMMAND, "--executor", "inline"], cwd=project, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ADAMBIAS_STORE = ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_ray_runs_a_grid_to_the_same_histories(
    project: Path, undisturbed: dict[str, pd.DataFrame]
) -> None:
    subprocess.run(COMMAND, cwd=project, env=_environment(), check=True, timeout=240)
    found = _histories(Ledger.open())
    for key, table in undisturbed.items():
        pd.testing.assert_frame_equal(found[key], table, check_exact=True)
    plan = sweep.run(load_params(), ["tiny"], track=False)
    sweep.collect(plan, Ledger.open(), project / "tables")
    assert len(pd.read_parquet(project / "tables/tiny/histories.parquet")) == 4 * 6
    done = json.loads(next(Path("runs").glob("*/done.json")).read_text())
    assert done["status"] == "finished"


def test_a_request_no_node_can_meet_is_refused(project: Path) -> None:
    text = Path("scales/tiny.yaml").read_text()
    text = text.replace("checkpoint_seconds: 0", "checkpoint_seconds: 0\n  gpus_per_trial: 64")
    Path("scales/tiny.yaml").write_text(text)
    result = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, timeout=240)
    assert result.returncode == 1
    assert "resources.gpus_per_trial = 64" in result.stderr
    assert not list(Path("runs").glob("*/trial.json"))
