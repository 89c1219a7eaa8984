"""A rule and all its flows from one start, by the kinds that tables call them.

The kinds are ``rule`` and :data:`adambias.core.flows.FLOW_NAMES`.
"""

from __future__ import annotations

from torch import Tensor

from adambias.law.arguments import Losses
from adambias.law.convergence import flows_of
from adambias.law.integration import integrate, iterate
from adambias.law.rules import UpdateRule

RULE = "rule"


def paths_of(
    rule: UpdateRule, loss: Losses, start: Tensor, h: float, n_steps: int
) -> dict[str, Tensor]:
    """Return the paths of a rule and of every flow that follows it.

    Parameters
    ----------
    rule, loss
        As in :func:`adambias.iterate`. Mini-batches have no moment flow.
    start : Tensor, shape (p,) or (B, p)
        Where all of them start.
    h : float
        Step size.
    n_steps : int
        Number of steps.

    Returns
    -------
    dict
        Paths ``(n_steps + 1, ...)`` by kind, the rule's first.
    """
    # With the info a path that diverged is no warning: its rows are NaN, as tables say.
    paths = {RULE: iterate(rule, loss, start, h, n_steps, return_info=True)[0]}
    for name, flow in flows_of(rule, loss, h).items():
        paths[name] = integrate(flow, start, h, n_steps, return_info=True)[0]
    return paths


def distances(paths: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return each path's Euclidean distance from the rule's at equal n, by kind."""
    return {kind: (path - paths[RULE]).norm(dim=-1) for kind, path in paths.items()}
