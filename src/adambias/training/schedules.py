"""What the step size is multiplied by over a training.

A schedule is a function of the step n, from 0, and the number of steps N of the whole training; it
gives the factor of h in step n. A training of more epochs under a schedule is another training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from adambias.config import Trial
from adambias.core.errors import ConfigError
from adambias.core.registry import SCHEDULES
from adambias.core.validation import Range, integer

Schedule: TypeAlias = Callable[[int, int], float]
_SHARE = Range(at_least=0, at_most=1)


def constant(*, warmup: int = 0) -> Schedule:
    """Return h throughout, after ``warmup`` steps that lead up to it in equal parts."""
    return _after(warmup, lambda share: 1.0)


def linear(*, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Return a straight line from h after ``warmup`` steps to ``final`` h at the last."""
    _within(final)
    return _after(warmup, lambda share: 1 - (1 - final) * share)


def cosine(*, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Return half a cosine from h after ``warmup`` steps to ``final`` h at the last.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: Stochastic gradient descent with warm restarts.
    """
    _within(final)
    return _after(warmup, lambda share: final + (1 - final) * (1 + math.cos(math.pi * share)) / 2)


def steps(*, at: Sequence[float], factor: float = 0.1) -> Schedule:
    """Return h, multiplied by ``factor`` once more from each of the shares ``at`` of all steps."""
    places = [at] if isinstance(at, int | float) else list(at)
    for share in places:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise ConfigError("schedule_options.at", at, "must be shares of all steps, in (0, 1)")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor > 0:
        raise ConfigError("schedule_options.factor", factor, "must be a number > 0")
    return lambda n, total: float(factor ** sum(n >= share * total for share in places))


def _within(final: float) -> None:
    if isinstance(final, bool) or not isinstance(final, int | float) or not _SHARE.holds(final):
        raise ConfigError("schedule_options.final", final, f"must be a number {_SHARE}")


def _after(warmup: int, shape: Callable[[float], float]) -> Schedule:
    warmup = integer("schedule_options.warmup", warmup, 0)

    def factor(n: int, total: int) -> float:
        if n < warmup:
            return (n + 1) / (warmup + 1)
        return shape((n - warmup) / max(total - 1 - warmup, 1))

    return factor


def schedule_of(trial: Trial) -> Schedule:
    """Return the schedule of a trial.

    Raises
    ------
    ConfigError
        If the factory does not take an option, or returns no function.
    """
    found: Schedule = SCHEDULES.make(
        trial.schedule, options=trial.schedule_options, key="schedule_options"
    )
    if not callable(found):
        allowed = f"{SCHEDULES.must}, not {type(found).__name__}"
        raise ConfigError("schedule", trial.schedule, allowed)
    return found
