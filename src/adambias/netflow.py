"""Stage ``netflow``: the law on a real network, flattened to one vector, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from adambias import losses, rules
from adambias.config import NetFlow, NetRun
from adambias.data import Dataset
from adambias.flows import leading_order_flow, modified_flow
from adambias.integration import integrate, iterate, observed_order
from adambias.losses import Loss
from adambias.models import ACTIVATIONS, NORMS, ResNet, Style
from adambias.results import write_json, write_parquet


def run(settings: NetFlow, data: Dataset, out_dir: str | Path) -> dict[str, Any]:
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

    Returns
    -------
    dict
        The content of ``netflow.json``.
    """
    loss, start = network_loss(settings, data)
    runs = pd.concat(
        long_run(name, case, loss, start) for name, case in settings.runs.items()
    ).reset_index(drop=True)
    summary = {
        "settings": dataclasses.asdict(settings),
        "parameters": start.numel(),
        "initial_loss": float(loss(start)),
        "orders": list(orders(settings, loss, start)),
        "runs": largest_distances(runs),
    }
    write_parquet(runs, Path(out_dir) / "netflow.parquet")
    write_json(summary, Path(out_dir) / "netflow.json")
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


def orders(settings: NetFlow, loss: Loss, start: Tensor) -> Iterator[dict[str, Any]]:
    """Yield the observed orders of every rule, with all settings."""
    for label, case in settings.orders.items():
        rule = rules.make_rule(case.rule, **case.hyperparameters)
        step_sizes = [case.horizon / steps for steps in settings.steps]
        report = observed_order(rule, loss, start, case.horizon, step_sizes)
        yield {
            "rule": label,
            "hyperparameters": case.hyperparameters,
            "horizon": case.horizon,
            **dataclasses.asdict(report),
            "leading_order": report.leading_order,
            "modified": report.modified,
        }


def long_run(name: str, case: NetRun, loss: Loss, start: Tensor) -> pd.DataFrame:
    """Follow one rule and both its flows.

    Returns
    -------
    DataFrame
        Columns run, kind, n, t = nh, loss, distance (to the rule, at equal n) and travelled (the
        rule's distance from the start).
    """
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
