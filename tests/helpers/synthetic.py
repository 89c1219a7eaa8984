"""Made-up tables with known trends, in the layout that the sweeps write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adambias.config import Analyse, Trial
from adambias.ledger.collect import CORRECTION_COLUMNS, HISTORY_COLUMNS

PARAMETERS = 77_754
FLOOR = PARAMETERS * 1e-8**0.5

SETTINGS = Analyse(test_units={"digits": 10**7})
"""A test set so large that its sampling error does not count."""

Numbers = tuple[float, float]
"""Top of the norm's hill above its floor, and best test accuracy."""


def as_in_the_paper(trial: Trial, rng: np.random.Generator) -> Numbers:
    """The norm rises with beta2 and falls with beta1; the accuracy does the opposite."""
    memory = np.log10((1 - trial.beta1) / (1 - trial.beta2))
    bias = memory * trial.h / 1e-3
    return 0.8 + 0.25 * bias + 0.02 * rng.normal(), 0.97 - 0.004 * memory + 4e-4 * rng.normal()


def the_other_way(trial: Trial, rng: np.random.Generator) -> Numbers:
    """Every trend of the paper turned round."""
    memory = np.log10((1 - trial.beta1) / (1 - trial.beta2))
    bias = memory * trial.h / 1e-3
    return 1.4 - 0.25 * bias + 0.02 * rng.normal(), 0.96 + 0.004 * memory + 4e-4 * rng.normal()


def noise(trial: Trial, rng: np.random.Generator) -> Numbers:
    """No trend at all."""
    return 1.0 + 0.1 * rng.normal(), 0.97 + 0.005 * rng.normal()


def history(
    epochs: int, top: float, accuracy: float, *, shape: str = "oscillation", eval_every: int = 10
) -> dict[str, np.ndarray]:
    """Return one training's columns: a falling loss and a norm with a hill."""
    n = np.arange(epochs)
    time = n / epochs
    loss = 2.3 * np.exp(-7 * time) * (1 + 0.1 * np.sin(1.9 * n)) + 1e-4
    if shape == "spike":
        loss[epochs // 2 :: max(epochs // 6, 2)] *= 60
    if shape == "nan":
        loss[epochs // 2] = np.nan
    if shape == "divergence":
        loss = 2.3 * np.exp(6 * time)
    hill = np.exp(-(((time - 0.45) / 0.12) ** 2))
    norm = FLOOR + top * (hill + 1.5 * np.exp(-time / 0.06)) + 0.01
    return history_of(n, loss, norm - FLOOR, accuracy, eval_every)


def history_of(
    n: np.ndarray, loss: np.ndarray, excess: np.ndarray, accuracy: float, eval_every: int
) -> dict[str, np.ndarray]:
    """Return one training's columns from its loss and the norm's excess over the floor."""
    time = n / len(n)
    seen = (n % eval_every == 0) | (n == len(n) - 1)
    test = np.where(seen, accuracy * (1 - np.exp(-9 * time)), np.nan)
    test[-1] = accuracy
    norm = FLOOR + excess
    return {
        "epoch": n,
        "train_loss": loss,
        "train_accuracy": 1 - np.exp(-8 * time),
        "test_loss": np.where(seen, loss * 1.3, np.nan),
        "test_accuracy": test,
        "perturbed_one_norm": norm,
        "one_norm": excess,
        "two_norm": norm / 90,
        "max_norm": norm / 900,
        "mean_abs_grad": excess / PARAMETERS,
    }


def trials_of(axes: Mapping[str, Iterable[Any]], *, seeds: int = 8, **base: Any) -> list[Trial]:
    """Return the trials of a grid, seed by seed."""
    points: list[dict[str, Any]] = [{"seed": seed} for seed in range(seeds)]
    for name, values in axes.items():
        points = [{**point, name: value} for point in points for value in values]
    whole = {"h": 1e-3, "epochs": 120, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, **base}
    return [Trial(**{**whole, **point}) for point in points]


def grids(*, seeds: int = 8, epochs: int = 120) -> dict[str, list[Trial]]:
    """Return a small version of every grid of the pipeline."""
    step = [
        trial.replace(h=h, beta2=beta2, epochs=max(1, round(epochs * 1e-3 / h)))
        for trial in trials_of({}, seeds=seeds, epochs=epochs)
        for beta2 in (0.5, 0.99)
        for h in (5e-4, 1e-3, 2e-3)
    ]
    common = {"seeds": seeds, "epochs": epochs}
    return {
        "beta2": trials_of({"beta2": [0.9, 0.95, 0.98, 0.99, 0.999]}, **common),
        "beta1": trials_of({"beta1": [0.5, 0.8, 0.9, 0.95]}, **common),
        "hills_beta2": trials_of({"beta2": [0.9, 0.98, 0.999]}, model="resnet14", **common),
        "hills_beta1": trials_of({"beta1": [0.5, 0.8, 0.9]}, model="resnet14", **common),
        "h": step,
        "regimes": trials_of(
            {"h": [1e-3, 4e-3], "beta2": [0.5, 0.9, 0.999], "beta1": [0.0, 0.5, 0.9, 0.99]},
            seeds=1,
            epochs=epochs,
        ),
    }


def regime_of(trial: Trial) -> str:
    """Say what a trial of the regime map is made to look like."""
    if trial.beta1 > 0.95 and trial.beta2 < 0.95:
        return "divergence"
    return "spike" if trial.beta2 > 0.99 and trial.beta1 < 0.6 else "oscillation"


def write_sweeps(
    folder: Path,
    trials: Mapping[str, list[Trial]],
    law: Callable[[Trial, np.random.Generator], Numbers] = as_in_the_paper,
    *,
    shape: Callable[[str, Trial], str] | None = None,
    offset: float = 0.15,
) -> Path:
    """Write ``<grid>/histories.parquet`` and ``trials.parquet`` for every grid.

    ``offset`` spreads the seeds apart, by the same amount for all trials of a seed.
    """
    shape = shape or (lambda grid, trial: regime_of(trial) if grid == "regimes" else "oscillation")
    for grid, members in trials.items():
        (folder / grid).mkdir(parents=True, exist_ok=True)
        rows, tables = [], []
        for number, trial in enumerate(members):
            key = f"{grid}{number:04d}".rjust(16, "0")[-16:]
            kind = shape(grid, trial)
            columns = _columns(trial, law, number, kind, offset)
            rows.append(_row(key, grid, trial, kind, len(columns["epoch"])))
            tables.append(pd.DataFrame(columns).assign(trial=key, grid=grid))
        _write(pd.concat(tables), folder / grid / "histories.parquet")
        pd.DataFrame(rows).to_parquet(folder / grid / "trials.parquet", index=False)
    return folder


def _columns(
    trial: Trial, law: Callable[..., Numbers], number: int, kind: str, offset: float
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([trial.seed, number])
    top, accuracy = law(trial, rng)
    top += offset * np.random.default_rng(trial.seed).normal()
    return history(trial.epochs, top, accuracy, shape=kind, eval_every=trial.eval_every)


def _row(key: str, grid: str, trial: Trial, kind: str, epochs: int) -> dict[str, Any]:
    return {
        "trial": key,
        "grid": grid,
        **trial.identity(),
        "data_digest": "0" * 64,
        "parameters": PARAMETERS,
        "status": "finished",
        "epochs_done": epochs,
        "machine": "made up",
    }


def _write(table: pd.DataFrame, path: Path) -> None:
    for name in (*HISTORY_COLUMNS, *CORRECTION_COLUMNS):
        if name not in table:
            table[name] = np.nan
    schema = pa.schema(HISTORY_COLUMNS | CORRECTION_COLUMNS)
    pq.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False), path)
