"""One training, by everything that determines its result but the data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import AtLeastOne, Decay, OneOf, Positive, Range, validate

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
WITH_WEIGHT_DECAY = ("adamw", "lion")
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
        The network; see :mod:`adambias.networks.build`.
    rule : str
        An update rule of :mod:`adambias.law.rules`, or ``package.module:factory`` for one's own.
    h : float
        Step size.
    beta1, beta2, epsilon, epsilon_placement, bias_correction, weight_decay
        Hyperparameters of the rule (the paper's beta, rho, epsilon; equation 2.1). A weight decay
        above 0 is for the rules that have one, and adamw needs one.
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
        Epochs between measurements of the memory correction on the network; 0 is never. It needs
        the full batch in fixed blocks, and bias correction.
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
        self._refuse_lost_weight_decay()
        if self.correction_every:
            self._refuse_unmeasurable_correction()

    def _refuse_lost_weight_decay(self) -> None:
        """Refuse what would train one rule's steps under another rule's key."""
        if self.rule == "adamw" and self.weight_decay == 0:
            allowed = "must be > 0 for adamw, which without it is adam: take rule = 'adam'"
            raise ConfigError("weight_decay", self.weight_decay, allowed)
        takes_it = ":" in self.rule or self.rule in WITH_WEIGHT_DECAY
        if self.weight_decay and not takes_it:
            allowed = f"must be 0 for {self.rule}: only {' and '.join(WITH_WEIGHT_DECAY)} have one"
            raise ConfigError("weight_decay", self.weight_decay, allowed)

    def _refuse_unmeasurable_correction(self) -> None:
        """Refuse a correction whose gradient, memory and Hessian are of different losses."""
        if not self.bias_correction:
            raise ConfigError(
                "bias_correction", False, "must be true where correction_every is set"
            )
        if self.batch_size is not None:
            allowed = "must be left out where correction_every is set: the law is the full batch's"
            raise ConfigError("batch_size", self.batch_size, allowed)
        if self.blocks != "fixed":
            raise ConfigError(
                "blocks", self.blocks, "must be 'fixed' where correction_every is set"
            )

    def replace(self, **changes: Any) -> Trial:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


TRIAL_FIELDS = {f.name: f.default for f in dataclasses.fields(Trial)}
"""Every field of a trial, with its default."""
