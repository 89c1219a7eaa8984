"""What a trial asks of the machines, and how many failures a sweep bears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from adambias.core.errors import ConfigError
from adambias.core.validation import AtLeastOne, Positive, Range, Validated, duration


@dataclass(frozen=True, kw_only=True)
class Resources(Validated):
    """What a trial asks of the cluster, and how many failures a sweep bears; not part of a key.

    Parameters
    ----------
    cpus_per_trial, gpus_per_trial : float
        A fraction of a GPU packs several trials on one; more than one GPU is a whole number.
    trials_per_process : int
        Trials that a process trains side by side, on what one trial asks for: those that differ in
        seed and hyperparameters alone. Small networks then fill a GPU; a CPU gains nothing.
    max_concurrent : int or None
        Most processes with trials at a time; None is as many as fit.
    retries : int
        Times a trial is restarted after its worker, node or store was lost.
    error_budget : int
        Failing trials (a bug, not bad luck) after which the sweep stops.
    checkpoint_seconds : float
        Seconds between checkpoints of a trial, the most that a lost worker costs.
    keep_states : bool
        Keep the last state of finished trials, so that more epochs can be added to them.
    train_ahead : bool
        Let the first stage ``sweep@<grid>`` that has trials to train also train those of the other
        grids, so that Ray starts once for a whole ``dvc repro``.
    time : str or None
        Time after which a sweep starts nothing more and ends, as ``9m`` or ``1h30m``; what runs
        is kept as a checkpoint. None is no limit.
    """

    cpus_per_trial: Annotated[float, Positive] = 1.0
    gpus_per_trial: Annotated[float, Range(at_least=0)] = 0.0
    trials_per_process: Annotated[int, AtLeastOne] = 1
    max_concurrent: Annotated[int | None, AtLeastOne] = None
    retries: Annotated[int, Range(at_least=0)] = 3
    error_budget: Annotated[int, AtLeastOne] = 3
    checkpoint_seconds: Annotated[float, Range(at_least=0)] = 30.0
    keep_states: bool = False
    train_ahead: bool = False
    time: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus_per_trial > 1 and not self.gpus_per_trial.is_integer():
            allowed = "must be below 1, a part of one GPU, or a whole number"
            raise ConfigError("gpus_per_trial", self.gpus_per_trial, allowed)
        if self.time is not None:
            duration("time", self.time)
