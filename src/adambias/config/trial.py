"""One training, by everything that determines its result but the data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from adambias.checks import AtLeastOne, Decay, OneOf, Positive, Range, validate
from adambias.errors import ConfigError, choose_from

SEMANTICS_VERSION = 1
"""Raised whenever a change of the code changes what a trial computes."""

RULE_NAMES = (
    "gradient_descent",
    "heavy_ball",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "nadam",
    "lion",
    "signum",
)
MODEL_NAMES = (
    "resnet8",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "paper_cnn",
    "vit_small",
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training, by everything that determines its result but the data.

    Parameters
    ----------
    dataset : str
        Name of a prepared dataset, a folder of ``data/``.
    model, norm, activation : str
        The network; see :mod:`adambias.models`.
    rule : str
        An update rule of :mod:`adambias.rules`, or ``package.module:factory`` for one's own.
    h : float
        Step size.
    beta1, beta2, epsilon, epsilon_placement, bias_correction, weight_decay
        Hyperparameters of the rule (the paper's beta, rho, epsilon; equation 2.1).
    epochs : int
        Number of recorded epochs; with full batches also the number of steps.
    seed : int
        Seed of the initial weights and, for shuffled blocks, of their order.
    batch_size : int or None
        Images in a mini-batch; None is the full batch.
    ghost_batch_size : int or None
        Images in one block of a batch, over which BatchNorm takes its statistics; None: all of it.
    blocks : {"fixed", "shuffled"}
        Whether the blocks stay the same, or are drawn anew each epoch as in the paper's code.
    precision : {"fp64", "fp32", "tf32", "bf16"}
        Arithmetic of the network; parameters and moments are at least fp32.
    eval_every : int
        Epochs between evaluations on the test images.
    bn_statistics : {"exact", "running"}
        Statistics BatchNorm evaluates with: exact over the training images, or running averages.
    correction_every : int
        Epochs between measurements of the memory correction on the network; 0 is never.
    """

    dataset: str = "digits"
    model: Annotated[str, OneOf(MODEL_NAMES)] = "resnet8"
    norm: Literal["batch", "group", "none"] = "batch"
    activation: Literal["relu", "gelu", "softplus", "tanh"] = "relu"
    rule: str = "adam"
    h: Annotated[float, Positive]
    beta1: Annotated[float, Decay] = 0.9
    beta2: Annotated[float, Decay] = 0.999
    epsilon: Annotated[float, Positive] = 1e-8
    epsilon_placement: Literal["inside", "outside"] = "inside"
    bias_correction: bool = True
    weight_decay: Annotated[float, Range(at_least=0)] = 0.0
    epochs: Annotated[int, AtLeastOne]
    seed: Annotated[int, Range(at_least=0)] = 0
    batch_size: Annotated[int | None, AtLeastOne] = None
    ghost_batch_size: Annotated[int | None, AtLeastOne] = None
    blocks: Literal["fixed", "shuffled"] = "fixed"
    precision: Literal["fp64", "fp32", "tf32", "bf16"] = "fp32"
    eval_every: Annotated[int, AtLeastOne] = 5
    bn_statistics: Literal["exact", "running"] = "exact"
    correction_every: Annotated[int, Range(at_least=0)] = 0

    def __post_init__(self) -> None:
        validate(self)
        if ":" not in self.rule and self.rule not in RULE_NAMES:
            allowed = f"{choose_from(RULE_NAMES, self.rule)}, or package.module:factory"
            raise ConfigError("rule", self.rule, allowed)

    def replace(self, **changes: Any) -> Trial:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


TRIAL_FIELDS = tuple(f.name for f in dataclasses.fields(Trial))
