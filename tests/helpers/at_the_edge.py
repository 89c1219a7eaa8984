"""Made-up trainings that come to the edge of stability, and whose norm rises by an oscillation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adambias.analysis.summaries import summarise
from adambias.config import Analyse

PARAMETERS, EPSILON = 1000, 1e-8
FLOOR = PARAMETERS * EPSILON**0.5


def history(*, crosses=30, begins=30, top=1.0, share=0.9, epochs=81, every=5, level=50.0):
    """Return a training's columns.

    From the epoch ``begins`` on the excess rises from ``level`` by ten, and ``share`` of it is
    oscillation; the edge comes to ``top`` at the epoch ``crosses`` and stays there.
    """
    n = np.arange(epochs)
    risen = n > begins
    excess = level * np.where(risen, 10.0, 1.0) * np.where(n < 5, 2.0, 1.0)
    smooth = excess * np.where(risen, 1 - share, 1.0)
    measured = n % every == 0
    edge = np.minimum(0.3 + 0.7 * n / crosses, 1.0) * top if crosses else np.full(epochs, 0.5)
    loss = 2.0 * 0.97**n
    return {
        "epoch": n,
        "train_loss": loss,
        "train_loss_low": loss,
        "train_loss_high": loss,
        "train_accuracy": np.linspace(0, 1, epochs),
        "test_accuracy": np.linspace(0, 0.9, epochs),
        "perturbed_one_norm": FLOOR + excess,
        "smooth_loss_16": np.where(measured, loss, np.nan),
        "smooth_norm_16": np.where(measured, FLOOR + smooth, np.nan),
        "edge": np.where(measured, edge, np.nan),
    }


def tables(of, *, seeds=range(20, 25), beta1=(0.8, 0.98)):
    """Return trials and curves of the grid ``edge``: ``of(seed, beta1)`` gives a history's ways."""
    rows, curves = [], []
    for seed in seeds:
        for value in beta1:
            columns = history(**of(seed, value))
            trial = {
                **{"trial": f"{seed}-{value}", "grid": "edge", "rule": "adam", "seed": seed},
                **{"model": "resnet8", "dataset": "photos", "h": 1e-3, "norm": "batch"},
                **{"activation": "relu", "epsilon": EPSILON, "beta1": value, "beta2": 0.999},
                **{"parameters": PARAMETERS, "epochs": len(columns["epoch"]), "status": "finished"},
            }
            rows.append(trial | summarise(trial, columns, Analyse()))
            curves.append(pd.DataFrame(columns).assign(trial=trial["trial"], grid="edge"))
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True)


def stability(
    top=lambda rule, seed: 1.0,
    *,
    rules=("gradient_descent", "adam"),
    seeds=range(5),
    losses=("mse",),
):
    """Return the content of ``stability.json``: the edge of each training comes to ``top``."""
    rows = [
        {
            **{"grid": rule, "rule": rule, "h": 0.1, "beta1": 0.9, "seed": seed, "loss": loss},
            **{
                "beta2": 0.99,
                "dataset": "digits",
                "model": "mlp",
                "activation": "tanh",
                "epoch": [0, 20, 40, 60, 80],
            },
            "edge": [0.2, 0.6, *[top(rule, seed)] * 3],
        }
        for loss in losses
        for rule in rules
        for seed in seeds
    ]
    return {"settings": {}, "rows": rows}
