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
from adambias.law.flows import leading_order_flow, modified_flow
from adambias.law.integration import integrate, iterate
from adambias.law.losses import Loss
from adambias.networks.resnet import BasicBlock, ResNet
from adambias.networks.style import ACTIVATIONS, NORMS, Style
from adambias.studies.results import NETWORK_DIGITS, write_results


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
        distances) and ``netflow.parquet`` (distances and losses over time).
    workers : int
        Processes to compute in.

    Returns
    -------
    dict
        The content of ``netflow.json``.
    """
    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    for name in settings.runs:
        calls["run", name] = partial(long_run, settings, data, name)
    for name in settings.orders:
        calls["order", name] = partial(order, settings, data, name)
    done = run_all(calls, workers)
    runs = pd.concat([done["run", name] for name in settings.runs], ignore_index=True)
    loss, start = network_loss(settings, data)
    summary = {
        "settings": dataclasses.asdict(settings),
        "parameters": start.numel(),
        "initial_loss": float(loss(start)),
        "orders": [done["order", name] for name in settings.orders],
        "runs": largest_distances(runs),
    }
    write_parquet(runs, Path(out_dir) / "netflow.parquet")
    write_results(summary, Path(out_dir) / "netflow.json", digits=NETWORK_DIGITS)
    return summary


def network_loss(settings: NetFlow, data: Dataset) -> tuple[Loss, Tensor]:
    """Return the network's loss as a function of one vector, and the initial vector ``(p,)``."""
    images = data.standardised(data.train_images[: settings.images], torch.float64)
    labels = data.train_labels[: settings.images]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = build(settings, images.shape[1], int(data.train_labels.max()) + 1)
    return losses.network(module, images, labels), losses.parameter_vector(module)


def build(settings: NetFlow, in_channels: int, classes: int) -> nn.Module:
    """Return the residual network, with PyTorch's initial weights."""
    style = Style(
        in_channels=in_channels,
        num_classes=classes,
        image_size=0,
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
    """Follow one rule and both its flows.

    Returns
    -------
    DataFrame
        Columns run, kind, n, t = nh, loss, distance (to the rule, at equal n) and travelled (the
        rule's distance from the start).
    """
    case = settings.runs[name]
    loss, start = network_loss(settings, data)
    rule = rules.make_rule(case.rule, **case.hyperparameters)
    path = iterate(rule, loss, start, case.h, case.n_steps)
    tracks = {"rule": path}
    for flow in (leading_order_flow(rule, loss), modified_flow(rule, loss, case.h)):
        tracks[flow.name] = integrate(flow, start, case.h, case.n_steps)
    travelled = (path - start).norm(dim=-1).numpy()
    return pd.concat(
        pd.DataFrame(
            {
                "run": name,
                "kind": kind,
                "n": range(len(track)),
                "t": [n * case.h for n in range(len(track))],
                "loss": [float(loss(theta)) for theta in track],
                "distance": (track - path).norm(dim=-1).numpy(),
                "travelled": travelled,
            }
        )
        for kind, track in tracks.items()
    )


def largest_distances(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per run and flow, the largest distance to the rule and how far the rule went."""
    flows = runs[runs["kind"] != "rule"]
    largest = flows.groupby(["run", "kind"], sort=False)[["distance", "travelled"]].max()
    return largest.reset_index().to_dict("records")  # type: ignore[return-value]
