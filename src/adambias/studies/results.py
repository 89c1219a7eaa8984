"""How the stages that check the law write what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adambias.core.files import DIGITS, write_json

NETWORK_DIGITS = 5
"""Digits that a network's numbers share between machines.

Its initial weights are drawn in float32, and a processor without fused multiply-add rounds half of
them to a neighbour: what follows differs by up to 9e-8 of its size.
"""
PRACTICAL_DIGITS = 3
"""Digits where h is not small against sqrt(epsilon).

There the first-order law multiplies such a difference by 1e5 within 30 steps, so that its own
numbers differ in the third digit, and the others by far less.
"""
SETTINGS = (
    *("settings", "hyperparameters", "decays", "horizon", "step_sizes"),
    *("beta1", "beta2", "epsilon", "epsilon_value", "h"),
)
"""Entries that tell what was asked for."""


def write_results(content: Any, path: Path, *, digits: int = DIGITS) -> None:
    """Write a stage's JSON: settings as they are, what was computed with so many digits."""
    write_json(content, path, digits=digits, exact=SETTINGS)


def rounded(value: float, digits: int) -> float:
    """Return a number with so many significant digits."""
    return float(f"{value:.{digits}g}")
