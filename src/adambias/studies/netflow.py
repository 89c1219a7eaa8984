"""Stage ``netflow``: the law checked on a small network, as a function of one float64 vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from adambias.config import NetFlow
from adambias.core.files import write_parquet
from adambias.core.processes import run_all
from adambias.data.dataset import Dataset
from adambias.law import losses, rules
from adambias.law.convergence import observed_order
from adambias.law.derivatives import gradient
from adambias.law.losses import Loss
from adambias.law.norms import log10_excess
from adambias.networks.resnet import BasicBlock, ResNet
from adambias.networks.style import ACTIVATIONS, NORMS, Style
from adambias.studies.paths import RULE, distances, paths_of
from adambias.studies.results import NETWORK_DIGITS, PRACTICAL_DIGITS, rounded, write_results


def run(
    settings: NetFlow, data: Dataset, out_dir: str | Path, *, workers: int = 1
) -> dict[str, Any]:
    """Compute the stage and write its files.

    Parameters
    ----------
    settings : NetFlow
        The scale's section ``netflow``.
    data : Dataset
        The prepared dataset ``settings.dataset``.
    out_dir : path
        Folder for ``netflow.json`` (settings, number of parameters, observed orders, largest
        distances, also where people train) and ``netflow.parquet`` (distances and losses over
        time).
    workers : int
        Processes to compute in.

    Returns
    -------
    dict
        The content of ``netflow.json``.
    """
    calls: dict[tuple[Any, ...], Callable[[], Any]] = {}
    for pair in settings.practical.pairs:
        calls["practical", *pair] = partial(practical, settings, data, *pair)
    for name in settings.runs:
        calls["run", name] = partial(long_run, settings, data, name)
    for name in settings.orders:
        calls["order", name] = partial(order, settings, data, name)
    done = run_all(calls, workers, "netflow: the law along a network's training")
    runs = pd.concat([done["run", name] for name in settings.runs], ignore_index=True)
    loss, start = network_loss(settings, data)
    summary = {
        "settings": dataclasses.asdict(settings),
        "parameters": start.numel(),
        "initial_loss": float(loss(start)),
        "orders": [done["order", name] for name in settings.orders],
        "runs": largest_distances(runs),
        "practical": [row for p in settings.practical.pairs for row in done["practical", *p]],
    }
    write_parquet(runs, Path(out_dir) / "netflow.parquet")
    write_results(summary, Path(out_dir) / "netflow.json", digits=NETWORK_DIGITS)
    return summary


def network_loss(settings: NetFlow, data: Dataset) -> tuple[Loss, Tensor]:
    """Return the network's loss as a function of one vector, and the initial vector ``(p,)``."""
    images = data.standardised(data.train_inputs[: settings.images], torch.float64)
    labels = data.train_targets[: settings.images]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = build(settings, tuple(images.shape[1:]), int(data.train_targets.max()) + 1)
    return losses.network(module, images, labels), losses.parameter_vector(module)


def build(settings: NetFlow, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the residual network, with PyTorch's initial weights."""
    style = Style(
        input_shape=input_shape,
        outputs=classes,
        norm=NORMS["none"],
        activation=ACTIVATIONS[settings.activation],
        name_of_norm="none",
    )
    return ResNet(BasicBlock, [1] * len(settings.widths), settings.widths, style)


def order(settings: NetFlow, data: Dataset, label: str) -> dict[str, Any]:
    """Return the observed orders of one rule, with all settings."""
    case = settings.orders[label]
    rule = rules.make_rule(case.rule, **case.hyperparameters)
    step_sizes = [case.horizon / steps for steps in settings.steps]
    report = observed_order(rule, *network_loss(settings, data), case.horizon, step_sizes)
    return {
        "rule": label,
        "hyperparameters": case.hyperparameters,
        "horizon": case.horizon,
        **report.to_dict(),
    }


def long_run(settings: NetFlow, data: Dataset, name: str) -> pd.DataFrame:
    """Follow one rule and all its flows.

    Returns
    -------
    DataFrame
        Columns run, kind, n, t = nh, loss, distance (to the rule, at equal n) and travelled (the
        rule's distance from the start).
    """
    case = settings.runs[name]
    loss, start = network_loss(settings, data)
    rule = rules.make_rule(case.rule, **case.hyperparameters)
    paths = paths_of(rule, loss, start, case.h, case.n_steps)
    away = distances(paths)
    travelled = (paths[RULE] - start).norm(dim=-1).numpy()
    return pd.concat(
        pd.DataFrame(
            {
                "run": name,
                "kind": kind,
                "n": range(len(path)),
                "t": [n * case.h for n in range(len(path))],
                "loss": [float(loss(theta)) for theta in path],
                "distance": away[kind].numpy(),
                "travelled": travelled,
            }
        )
        for kind, path in paths.items()
    )


def largest_distances(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per run and flow, the largest distance to the rule and how far the rule went."""
    flows = runs[runs["kind"] != "rule"]
    largest = flows.groupby(["run", "kind"], sort=False)[["distance", "travelled"]].max()
    return largest.reset_index().to_dict("records")  # type: ignore[return-value]


def practical(settings: NetFlow, data: Dataset, beta1: float, beta2: float) -> list[dict[str, Any]]:
    """Follow Adam and all its flows where people train, with one pair of decays.

    Returns
    -------
    list of dict
        One per kind: beta1, beta2, kind, the largest distance to the rule, travelled (the rule's
        largest distance from the start), and log10_excess_change, over the run, of the excess of
        the perturbed one-norm over p sqrt(epsilon). NaN where a path diverged.
    """
    case = settings.practical
    loss, start = network_loss(settings, data)
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=case.epsilon)
    paths = paths_of(rule, loss, start, case.h, case.n_steps)
    before = log10_excess(gradient(loss, start), case.epsilon)
    travelled = (paths[RULE] - start).norm(dim=-1).max()
    rows = []
    for kind, away in distances(paths).items():
        after = log10_excess(gradient(loss, paths[kind][-1]), case.epsilon)
        found = {
            "distance": float(away.max()),
            "travelled": float(travelled),
            "log10_excess_change": after - before,
        }
        numbers = {name: rounded(value, PRACTICAL_DIGITS) for name, value in found.items()}
        rows.append({"beta1": beta1, "beta2": beta2, "kind": kind, **numbers})
    return rows
