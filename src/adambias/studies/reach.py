"""Stage ``reach``: how far each law holds on networks, and the number that tells it beforehand.

From the same weights an optimizer and all its flows go the same number of steps. What memory does
to the norm of the gradient is the optimizer's norm against that of its leading-order flow; what a
law predicts for it is the law's norm against that.

Every law takes the gradient to change little over some time: the moment flow over a step, the
others over the memory too. So the number that tells whether a law holds is the change of the
gradient along the leading-order flow, as a share of the gradient,

    r = h |Hessian f0|_1 / |g|_1     in one step, the most of it along the way,
    r lambda                         over the memory, lambda the mean age of the longest.

It is known without the optimizer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adambias.config import Reach, Trial
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.core.processes import run_all
from adambias.data.dataset import Dataset
from adambias.law.derivatives import gradient, slope
from adambias.law.flows import MEMORIES, leading_order_flow, memoryless
from adambias.law.losses import Loss
from adambias.law.memory import mean_age
from adambias.law.norms import log10_excess
from adambias.law.rules import UpdateRule
from adambias.studies import network_correction
from adambias.studies.paths import RULE, paths_of
from adambias.studies.results import PRACTICAL_DIGITS, write_results
from adambias.training.following import NetworkLoss
from adambias.training.objective import Objective
from adambias.training.trainer import rule_of

FIELDS = ("dataset", *network_correction.FIELDS)
"""Fields of a trial that tell the settings apart."""


def run(
    settings: Reach, data: Mapping[str, Dataset], out_dir: str | Path, *, workers: int = 1
) -> dict[str, Any]:
    """Compute the stage and write its file.

    Parameters
    ----------
    settings : Reach
        The scale's section ``reach``.
    data : mapping of Dataset
        The prepared datasets, by name.
    out_dir : path
        Folder for ``reach.json``: settings, and a row per setting, see :func:`measure`.
    workers : int
        Processes to compute in.

    Returns
    -------
    dict
        The content of ``reach.json``.
    """
    few = {name: each.first(settings.images) for name, each in data.items()}
    calls = {
        (grid, trial): partial(measure, trial, few[trial.dataset], settings.steps)
        for grid, trial in settings.trials()
    }
    rows = [
        {"grid": grid, **row}
        for (grid, _), row in run_all(
            calls, workers, "reach: how far each law holds on networks"
        ).items()
    ]
    found = {"settings": dataclasses.asdict(settings), "rows": rows}
    write_results(found, Path(out_dir) / "reach.json", digits=PRACTICAL_DIGITS)
    return found


@torch.no_grad()
def measure(trial: Trial, data: Dataset, steps: int) -> dict[str, Any]:
    """Follow one optimizer and all its flows from the weights that a trial begins with.

    Returns
    -------
    dict
        :data:`FIELDS` of the trial; ``r``, the change of the gradient in one step; ``age``, the
        mean age of the longest memory in the last step; ``<law>_number``, which tells whether the
        law reaches: r for the moment flow, r times the age for the others. At the end ``memory``,
        the optimizer's log10 norm less the leading-order flow's, and ``<law>_memory``, what the
        law has for it;
        ``<flow>_distance`` from the optimizer, which has gone ``travelled``. Of the last step
        ``<memory>_cosine`` and ``<memory>_length``, of what the law predicts that memory adds to
        it, against what it did. NaN where a path diverged.
    """
    objective = Objective(trial, data, torch.device("cpu"))
    loss, rule = NetworkLoss(objective), rule_of(trial, objective.flat.shapes)
    start = objective.theta.detach().clone()
    with objective.precision.arithmetic():
        paths = paths_of(rule, loss, start, trial.h, steps)
        ends = {kind: path[-1] for kind, path in paths.items()}
        logs = {kind: _log10_norm(loss, end, trial.epsilon) for kind, end in ends.items()}
        leading = paths["leading_order"]
        row = {name: getattr(trial, name) for name in FIELDS}
        row["r"] = max(
            change_in_a_step(rule, loss, leading[n], trial.h) for n in (0, steps // 2, steps)
        )
        row["age"] = max(float(mean_age(decay, steps - 1)) for decay in rule.decays)
        over_memory = row["r"] * row["age"]
        row |= {f"{law}_number": row["r"] if law == "moment" else over_memory for law in LAWS}
        row["memory"] = logs[RULE] - logs["leading_order"]
        row |= {f"{law}_memory": logs[law] - logs["leading_order"] for law in LAWS}
        row |= {f"{kind}_distance": _distance(ends[kind], ends[RULE]) for kind in FLOW_NAMES}
        row["travelled"] = _distance(ends[RULE], start)
        row |= _last_step(rule, loss, paths[RULE], trial.h)
    # Infinite is as good as missing, and JSON has no word for it.
    lost = {name for name, value in row.items() if value in (math.inf, -math.inf)}
    return row | dict.fromkeys(lost, math.nan)


def change_in_a_step(rule: UpdateRule, loss: Loss, theta: Tensor, h: float) -> float:
    """Return r = h |Hessian f0|_1 / |g|_1, at one place.

    Parameters
    ----------
    rule, loss, h
        As in :func:`adambias.modified_flow`.
    theta : Tensor, shape (p,)
        Where; r is infinite where that is not finite, or the gradient or its change is not.
    """
    if not bool(torch.isfinite(theta).all()):
        return math.inf
    g, product = slope(loss, theta)
    change = product(leading_order_flow(rule, loss)(theta)).abs().sum(dtype=torch.float64)
    share = float(h * change / g.abs().sum(dtype=torch.float64))
    return share if math.isfinite(share) else math.inf


def _log10_norm(loss: Loss, theta: Tensor, epsilon: float) -> float:
    """Return the log of the norm's excess, or NaN."""
    if not bool(torch.isfinite(theta).all()):
        return math.nan
    return log10_excess(gradient(loss, theta), epsilon)


def _distance(theta: Tensor, other: Tensor) -> float:
    return float((theta - other).double().norm())


def _last_step(rule: UpdateRule, loss: Loss, path: Tensor, h: float) -> dict[str, float]:
    """Compare what memory added to the last step with what the laws predict for it."""
    n, theta = len(path) - 2, path[-2]
    f0 = leading_order_flow(rule, loss)(theta)
    actual = (path[-1] - theta - h * f0).double()
    row = {}
    for memory in MEMORIES:
        predicted = (h * (memoryless(rule, loss, h, memory=memory)(theta, n) - f0)).double()
        lengths = predicted.norm() * actual.norm()
        row[f"{memory}_cosine"] = float(predicted @ actual / lengths)
        row[f"{memory}_length"] = float(predicted.norm() / actual.norm())
    return row
