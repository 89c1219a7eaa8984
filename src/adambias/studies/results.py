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
SETTINGS = (
    *("settings", "hyperparameters", "decays", "horizon", "step_sizes"),
    *("beta1", "beta2", "epsilon", "epsilon_value", "h"),
)
"""Entries that tell what was asked for."""


def write_results(content: Any, path: Path, *, digits: int = DIGITS) -> None:
    """Write a stage's JSON: settings as they are, what was computed with so many digits."""
    write_json(content, path, digits=digits, exact=SETTINGS)
