"""A fixed small ledger and the tables it gives, number by number.

After a wanted change of the analysis, ``PYTHONPATH=tests/helpers python
tests/analysis/test_golden.py`` writes them anew; read the diff.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.config import Trial
from adambias.ledger.collect import write_tables
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("trials.csv", "norm_beta2.csv", "norm_h.csv", "hills_beta1.csv")
SHAPES = {(0.99, 0.5): "divergence", (0.5, 0.999): "spike"}


def _law(trial: Trial) -> tuple[float, float]:
    """Top of the hill and accuracy, without chance: seeds differ by known amounts."""
    memory = (1 - trial.beta1) / (1 - trial.beta2)
    top = 0.5 + 0.1 * (1 + 0.05 * trial.seed) * memory**0.5 * trial.h / 1e-3
    return top, 0.97 - 0.001 * memory**0.5 - 0.002 * trial.seed * trial.beta1


def _grids() -> dict[str, list[Trial]]:
    short = {"epochs": 40, "seeds": 6}
    return {
        "beta2": synthetic.trials_of({"beta2": [0.9, 0.99, 0.999]}, **short),
        "h": synthetic.trials_of({"beta2": [0.5, 0.99], "h": [1e-3, 2e-3]}, **short),
        "hills_beta1": synthetic.trials_of({"beta1": [0.5, 0.9]}, **short),
        "regimes": synthetic.trials_of(
            {"beta1": [0.5, 0.99], "beta2": [0.5, 0.999]}, epochs=40, seeds=1
        ),
    }


def _finish(ledger: Ledger, trial: Trial) -> tuple[Job, dict[str, object]]:
    job = Job.of(trial, "0" * 64)
    shape = SHAPES.get((trial.beta1, trial.beta2), "oscillation")
    columns = synthetic.history(trial.epochs, *_law(trial), shape=shape)
    ledger.open_trial(job)
    outcome = {
        "status": "diverged" if shape == "divergence" else "finished",
        "epochs": trial.epochs,
        "seconds": 2.0,
        "parameters": synthetic.PARAMETERS,
        "machine": "a processor, 2 cores",
        "history_sha256": ledger.save_history(job.key, pd.DataFrame(columns)),
    }
    ledger.finish(job.key, outcome)
    return job, outcome


def make(folder: Path) -> dict[str, object]:
    """Fill a ledger, collect its tables, analyse them, and return what is golden."""
    ledger = Ledger.open(str(folder / "runs"))
    ledger.initialise()
    for grid, trials in _grids().items():
        finished = [_finish(ledger, trial) for trial in trials]
        outcomes = {job.key: outcome for job, outcome in finished}
        write_tables(ledger, grid, [job for job, _ in finished], outcomes, folder / "sweeps" / grid)
    metrics = analysis.run(
        synthetic.SETTINGS, folder / "sweeps", folder / "results", scale="made-up"
    )
    table = pd.read_parquet(folder / "results" / "trials.parquet")
    plots = {name: pd.read_csv(folder / "results" / "plots" / name) for name in NAMES[1:]}
    chosen = table[["grid", "h", "beta1", "beta2", "seed", *table.loc[:, "regime":].columns]]
    return {"metrics.json": metrics, "trials.csv": chosen, **plots}


def write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
    GOLDEN.mkdir(exist_ok=True)
    for name in NAMES:
        made[name].to_csv(GOLDEN / name, index=False, float_format="%.10g")
    text = json.dumps(made["metrics.json"], indent=1, ensure_ascii=False)
    (GOLDEN / "metrics.json").write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_the_golden_ones(made, name, tmp_path):
    made[name].to_csv(tmp_path / name, index=False, float_format="%.10g")
    found, golden = pd.read_csv(tmp_path / name), pd.read_csv(GOLDEN / name)
    pd.testing.assert_frame_equal(found, golden, rtol=1e-6, atol=1e-9)


def test_numbers_and_verdicts_are_the_golden_ones(made):
    golden = json.loads((GOLDEN / "metrics.json").read_text(encoding="utf-8"))
    found = made["metrics.json"]
    assert (found["trials"], found["verdicts"]) == (golden["trials"], golden["verdicts"])
    assert found["claims"].keys() == golden["claims"].keys()
    for key, claim in golden["claims"].items():
        words, numbers = _split(claim)
        assert _split(found["claims"][key]) == (words, pytest.approx(numbers, rel=1e-5)), key


def _split(claim: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Return a claim's words and its numbers, those of its readings by their names too."""
    flat = {name: value for name, value in claim.items() if name != "readings"}
    for reading, values in claim.get("readings", {}).items():
        flat |= {f"{reading}.{name}": value for name, value in values.items()}
    words = {name: value for name, value in flat.items() if isinstance(value, str | list)}
    return words, {name: value for name, value in flat.items() if name not in words}


if __name__ == "__main__":
    write()
