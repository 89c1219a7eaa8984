"""Stage ``bilinear``: the law checked on small losses, and the data of figures 1 to 3."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from adambias.config import Atlas, Bilinear, Fan, FlowCase, Penalty
from adambias.core.files import write_parquet, write_text
from adambias.core.flows import LAWS
from adambias.core.processes import run_all
from adambias.core.registry import PROBLEMS
from adambias.law import losses, rules
from adambias.law.convergence import flows_of, observed_order
from adambias.law.derivatives import gradient
from adambias.law.integration import integrate, iterate
from adambias.law.norms import perturbed_one_norm
from adambias.law.rules import UpdateRule
from adambias.studies.paths import RULE, distances, paths_of
from adambias.studies.problems import start_of
from adambias.studies.results import write_results
from adambias.studies.table1 import table1_cells, table1_markdown

PENALTY_POINTS = 201
ROWS_PER_PATH = 400


def run(settings: Bilinear, out_dir: str | Path, *, workers: int = 1) -> dict[str, Any]:
    """Compute the stage and write its files.

    Parameters
    ----------
    settings : Bilinear
        The scale's section ``bilinear``.
    out_dir : path
        Folder for ``bilinear.json`` (settings, orders, those of growing memory, arrivals, figure
        1's curves), ``bilinear.parquet`` (trajectories), ``atlas.parquet``, ``table1.json``,
        ``table1.md``.
    workers : int
        Processes to compute in.

    Returns
    -------
    dict
        The content of ``bilinear.json``.
    """
    out = Path(out_dir)
    done = run_all(_calls(settings), workers, "bilinear: the law against the optimizers")
    fans, paths = (
        pd.concat(done[what, name] for name in cases)
        for what, cases in (("fan", settings.fans), ("path", settings.paths))
    )
    summary = {
        "settings": dataclasses.asdict(settings),
        "smallest_norm": smallest_norm_point(settings.x, settings.y),
        "penalty": penalty_curves(settings.penalty),
        "arrivals": arrivals(fans),
        "path_errors": path_errors(paths),
        "orders": [report for (what, *_), report in done.items() if what == "order"],
        "growing_memory": [done["growing", name] for name in settings.orders.growing],
    }
    table1 = table1_cells(settings.table1)
    write_parquet(pd.concat([fans, paths], ignore_index=True), out / "bilinear.parquet")
    write_parquet(done["atlas",], out / "atlas.parquet")
    write_results(table1, out / "table1.json")
    write_text(table1_markdown(table1), out / "table1.md")
    write_results(summary, out / "bilinear.json")
    return summary


def _calls(settings: Bilinear) -> dict[tuple[str, ...], Callable[[], Any]]:
    """Return all that takes time, by what and of which case."""
    calls: dict[tuple[str, ...], Callable[[], Any]] = {}
    calls["atlas",] = partial(atlas, settings.atlas, settings)
    for name, fan in settings.fans.items():
        calls["fan", name] = partial(fan_table, settings, name, fan)
    for name, case in settings.paths.items():
        calls["path", name] = partial(path_table, settings, name, case)
    for name in settings.orders.growing:
        PROBLEMS.factory(name)  # refused here, before hours are spent on the others
        calls["growing", name] = partial(growing_memory, settings, name)
    for each in _orders(settings):
        calls["order", *each] = partial(order, settings, *each)
    return calls


def penalty(
    x: NDArray[np.float64], beta1: float, beta2: float, epsilon: float
) -> NDArray[np.float64]:
    """Return F(x) of figure 1: in one dimension the bias is (h/2) d/dtheta F(E'(theta)).

    F(x) = C (sqrt(eps + x^2) - sqrt(eps)) + (1+rho)/(1-rho) eps (1/sqrt(eps) - 1/sqrt(x^2+eps)),
    with C = (1+beta)/(1-beta) - (1+rho)/(1-rho), beta = ``beta1`` and rho = ``beta2``.

    Parameters
    ----------
    x : ndarray
        Values of the derivative E'.
    beta1, beta2, epsilon : float
        Adam's hyperparameters, epsilon inside the root.

    Returns
    -------
    ndarray of the shape of x
    """
    first, second = (1 + beta1) / (1 - beta1), (1 + beta2) / (1 - beta2)
    root, at_zero = np.sqrt(x * x + epsilon), math.sqrt(epsilon)
    return (first - second) * (root - at_zero) + second * epsilon * (1 / at_zero - 1 / root)


def penalty_curves(settings: Penalty) -> dict[str, Any]:
    """Return the curves of figure 1."""
    x = np.linspace(-settings.span, settings.span, PENALTY_POINTS)
    curves = [
        {"beta1": b1, "beta2": b2, "values": penalty(x, b1, b2, settings.epsilon).tolist()}
        for b1, b2 in settings.pairs
    ]
    return {"epsilon": settings.epsilon, "x": x.tolist(), "curves": curves}


def smallest_norm_point(x: float, y: float) -> tuple[float, float]:
    """Return the minimum at which the gradient's one-norm is smallest as the loss goes to zero.

    At distance r = x theta1 theta2 - y from the minima the one-norm is |x r| (|theta1| + |theta2|),
    so it is smallest where theta1 = theta2.
    """
    side = math.sqrt(abs(y / x))
    return side, math.copysign(side, y / x)


def fan_table(settings: Bilinear, name: str, fan: Fan) -> pd.DataFrame:
    """Return Adam's trajectories of one panel of figure 2 or 3."""
    loss, start = losses.bilinear(x=settings.x, y=settings.y), start_of(settings)
    tables = []
    for value in getattr(fan, fan.varied):
        point = {"beta1": fan.beta1[0], "beta2": fan.beta2[0], "h": fan.h[0], fan.varied: value}
        rule = rules.adam(beta1=point["beta1"], beta2=point["beta2"], epsilon=fan.epsilon)
        n_steps = round(fan.horizon / point["h"])
        path = iterate(rule, loss, start, point["h"], n_steps)
        tables.append(_rows(name, "adam", path, point | {"epsilon": fan.epsilon}, settings))
    return pd.concat(tables)


def path_table(settings: Bilinear, name: str, case: FlowCase) -> pd.DataFrame:
    """Return Adam and all its flows, with the distance to Adam in column ``error``."""
    loss, start = losses.bilinear(x=settings.x, y=settings.y), start_of(settings)
    rule = rules.adam(beta1=case.beta1, beta2=case.beta2, epsilon=case.epsilon)
    paths = paths_of(rule, loss, start, case.h, round(case.horizon / case.h))
    errors = distances(paths)
    point = {"beta1": case.beta1, "beta2": case.beta2, "epsilon": case.epsilon, "h": case.h}
    return pd.concat(
        _rows(name, "adam" if kind == RULE else kind, path, point, settings, errors[kind])
        for kind, path in paths.items()
    )


def _rows(
    panel: str,
    kind: str,
    path: Tensor,
    point: dict[str, float],
    settings: Bilinear,
    error: Tensor | None = None,
) -> pd.DataFrame:
    """Return a trajectory as rows, thinned to at most `ROWS_PER_PATH` and its end."""
    n = np.arange(len(path))
    keep = (n % math.ceil(len(path) / ROWS_PER_PATH) == 0) | (n == n[-1])
    loss = losses.bilinear(x=settings.x, y=settings.y)
    norms = perturbed_one_norm(gradient(loss, path), point["epsilon"])
    table = pd.DataFrame(
        {
            "panel": panel,
            "kind": kind,
            **point,
            "n": n,
            "t": n * point["h"],
            "theta1": path[:, 0].numpy(),
            "theta2": path[:, 1].numpy(),
            "loss": torch.vmap(loss)(path).numpy(),
            "perturbed_one_norm": norms.numpy(),
            "error": math.nan if error is None else error.numpy(),
        }
    )
    return table[keep]


def arrivals(fans: pd.DataFrame) -> list[dict[str, Any]]:
    """Return where each trajectory of the fans ends.

    ``norm_factor`` is |theta1| + |theta2|, the gradient's one-norm per unit of distance from the
    minima: the smaller, the smaller the norm around that minimum.
    """
    keys = ["panel", "beta1", "beta2", "h", "epsilon"]
    ends = fans.groupby(keys, sort=False).tail(1)
    ends = ends.assign(norm_factor=ends["theta1"].abs() + ends["theta2"].abs())
    columns = [*keys, "theta1", "theta2", "loss", "norm_factor"]
    return ends[columns].to_dict("records")  # type: ignore[return-value]


def path_errors(paths: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the largest distance from Adam of each flow."""
    flows = paths[paths["kind"] != "adam"]
    largest = flows.groupby(["panel", "kind"], sort=False)["error"].max().reset_index()
    return largest.to_dict("records")  # type: ignore[return-value]


def _orders(settings: Bilinear) -> Iterator[tuple[str, str]]:
    """Yield every loss with every rule whose orders are measured on it."""
    for name, case in settings.orders.losses.items():
        PROBLEMS.factory(name)  # refused here, before hours are spent on the others
        for label in case.rules or settings.orders.rules:
            yield name, label


def order(settings: Bilinear, loss_name: str, label: str) -> dict[str, Any]:
    """Return the observed orders of one rule on one loss."""
    loss, start = PROBLEMS.factory(loss_name)(settings)
    case, rule_settings = settings.orders.losses[loss_name], settings.orders.rules[label]
    hyperparameters = settings.orders.hyperparameters | case.hyperparameters | rule_settings
    name = str(hyperparameters.pop("rule", label))
    horizon = case.horizons.get(label, case.horizon)
    rule = rules.make_rule(name, **hyperparameters)
    report = observed_order(rule, loss, start, horizon, [horizon / k for k in case.steps])
    return {
        "loss": loss_name,
        "rule": label,
        "hyperparameters": hyperparameters,
        "decays": list(rule.decays),
        "horizon": horizon,
        **report.to_dict(),
    }


def growing_memory(settings: Bilinear, loss_name: str) -> dict[str, Any]:
    """Return the orders of Adam's flows while its memory grows to a fixed time as h falls.

    1 - beta is the rate of ``settings`` times h for both decays, so that in steps the memory grows
    as 1/h. The first-order law takes it to be short and has no order here.
    """
    case = settings.orders.growing[loss_name]

    def rule(h: float) -> UpdateRule:
        beta1, beta2 = case.decays(h)
        return rules.adam(beta1=beta1, beta2=beta2, epsilon=case.epsilon)

    loss, start = PROBLEMS.factory(loss_name)(settings)
    report = observed_order(rule, loss, start, case.horizon, case.step_sizes)
    return {
        "loss": loss_name,
        "rule": "adam",
        "hyperparameters": {"epsilon": case.epsilon, "rates": list(case.rates)},
        "decays": [list(case.decays(h)) for h in case.step_sizes],
        "horizon": case.horizon,
        **report.to_dict(),
    }


def atlas(settings: Atlas, model: Bilinear) -> pd.DataFrame:
    """Return the largest errors of all flows against Adam over a grid of (beta1, beta2).

    Returns
    -------
    DataFrame
        One row per pair: beta1, beta2, the error of each flow, such as leading_order_error, and the
        ratio of each law's to that of the leading-order flow, such as modified_ratio; NaN where a
        trajectory diverged.
    """
    axis = 1 - np.geomspace(1, 1 - settings.largest, settings.size)
    beta1, beta2 = (grid.reshape(-1) for grid in np.meshgrid(axis, axis, indexing="ij"))
    loss = losses.bilinear(x=model.x, y=model.y)
    rule = rules.adam(
        beta1=torch.from_numpy(beta1)[:, None],
        beta2=torch.from_numpy(beta2)[:, None],
        epsilon=settings.epsilon,
    )
    start = start_of(model).expand(len(beta1), 2).contiguous()
    n_steps = round(settings.horizon / settings.h)
    adam, _ = iterate(rule, loss, start, settings.h, n_steps, return_info=True)
    table = pd.DataFrame({"beta1": beta1, "beta2": beta2})
    for name, flow in flows_of(rule, loss, settings.h).items():
        path, _ = integrate(flow, start, settings.h, n_steps, return_info=True)
        table[f"{name}_error"] = torch.linalg.vector_norm(path - adam, dim=-1).amax(0).numpy()
    for law in LAWS:
        table[f"{law}_ratio"] = table[f"{law}_error"] / table["leading_order_error"]
    return table
