"""From ``params.yaml`` and ``scales/<scale>.yaml`` to frozen, validated dataclasses."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from adambias.checks import Decay, NotEmpty, OneOf, Positive, Range, build, validate
from adambias.errors import ABSENT, ConfigError, choose_from

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
AtLeastOne = Range(at_least=1)
Fraction = Range(at_least=0, below=1)


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


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Where a dataset comes from and which part of it is used; see :mod:`adambias.data`."""

    source: Literal["digits", "cifar10", "cifar100", "image_folder"]
    path: str | None = None
    train_size: Annotated[int | None, AtLeastOne] = None
    test_size: Annotated[int | None, AtLeastOne] = None
    label_noise: Annotated[float, Fraction] = 0.0
    seed: Annotated[int, Range(at_least=0)] = 0

    def __post_init__(self) -> None:
        validate(self)
        if (self.source == "image_folder") != (self.path is not None):
            raise ConfigError(
                "path", self.path, "is needed by source image_folder, and by no other"
            )


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Datasets to prepare, by name."""

    datasets: Annotated[dict[str, DatasetSpec], NotEmpty()]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Figure 1: the penalised function F(x) in one dimension.

    Parameters
    ----------
    epsilon : float
        Perturbation.
    pairs : tuple of (beta1, beta2)
        One curve each.
    span : float
        F is drawn for x in [-span, span].
    """

    epsilon: Annotated[float, Positive]
    pairs: Annotated[tuple[Annotated[tuple[float, ...], Decay], ...], NotEmpty()]
    span: Annotated[float, Positive]

    def __post_init__(self) -> None:
        validate(self)
        for pair in self.pairs:
            if len(pair) != 2:
                raise ConfigError("pairs", list(pair), "must be a pair [beta1, beta2]")


@dataclass(frozen=True, kw_only=True)
class Fan:
    """Trajectories of Adam from one start, over one of beta1, beta2 and h.

    Parameters
    ----------
    beta1, beta2, h : tuple of float
        One of them holds several values, the other two hold one.
    epsilon : float
        Numerical stability, inside the root.
    horizon : float
        Length of time n·h.
    """

    beta1: Annotated[tuple[float, ...], NotEmpty(), Decay]
    beta2: Annotated[tuple[float, ...], NotEmpty(), Decay]
    h: Annotated[tuple[float, ...], NotEmpty(), Positive]
    epsilon: Annotated[float, Positive]
    horizon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        validate(self)
        if sum(len(values) > 1 for values in (self.beta1, self.beta2, self.h)) != 1:
            raise ConfigError("beta1", list(self.beta1), "one of beta1, beta2, h must hold several")

    @property
    def varied(self) -> Literal["beta1", "beta2", "h"]:
        """Name of what differs between the trajectories."""
        return "beta1" if len(self.beta1) > 1 else "beta2" if len(self.beta2) > 1 else "h"


@dataclass(frozen=True, kw_only=True)
class FlowCase:
    """Adam and both its flows, at one choice of everything.

    Parameters
    ----------
    title : str
        What the case shows.
    beta1, beta2, epsilon, h
        Adam's hyperparameters, epsilon inside the root, and the step size.
    horizon : float
        Length of time n·h.
    """

    title: str
    beta1: Annotated[float, Decay]
    beta2: Annotated[float, Decay]
    epsilon: Annotated[float, Positive]
    h: Annotated[float, Positive]
    horizon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class OrderCase:
    """Where and how finely the orders of the flows are measured on one loss.

    Parameters
    ----------
    horizon : float
        Length of time T.
    steps : tuple of int
        Numbers of steps over the horizon, at least two; h = T / steps.
    horizons : dict
        Another horizon for some rules, by their label.
    hyperparameters : dict
        Of every rule here, over those of all losses.
    rules : tuple of str
        Labels of the rules to measure; none means all.
    """

    horizon: Annotated[float, Positive]
    steps: Annotated[tuple[int, ...], AtLeastOne]
    horizons: dict[str, float] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        validate(self)
        if len(self.steps) < 2:
            raise ConfigError("steps", list(self.steps), "must hold at least two numbers of steps")


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of convergence: every rule on every loss.

    Parameters
    ----------
    hyperparameters : dict
        Of every rule; each takes what it knows.
    rules : dict
        By label, ``rule`` and hyperparameters of its own.
    losses : dict
        By name, :class:`OrderCase`; the names are those of :data:`adambias.bilinear.LOSSES`.
    """

    hyperparameters: dict[str, Any]
    rules: Annotated[dict[str, dict[str, Any]], NotEmpty()]
    losses: Annotated[dict[str, OrderCase], NotEmpty()]

    def __post_init__(self) -> None:
        validate(self)
        for name, case in self.losses.items():
            for label in (*case.rules, *case.horizons):
                if label not in self.rules:
                    raise ConfigError(f"losses.{name}", label, choose_from(self.rules, label))


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """Errors of both flows against Adam over a grid of decays, at one step size.

    Parameters
    ----------
    size : int
        Values of beta1 and of beta2, equally spaced in log(1 - beta).
    largest : float
        Largest decay; the smallest is 0.
    epsilon, h, horizon
        Adam's epsilon, inside the root; the step size; the length of time n·h.
    """

    size: Annotated[int, Range(at_least=2)]
    largest: Annotated[float, Range(above=0, below=1)]
    epsilon: Annotated[float, Positive]
    h: Annotated[float, Positive]
    horizon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Table1:
    """Table 1 from the law: what is penalised, for small and for large epsilon.

    Parameters
    ----------
    small, large : float
        The two epsilons.
    pairs : tuple of (beta1, beta2)
        One on each side of beta1 = beta2.
    points : int
        Points at which the law's correction is compared with the gradients of the norms.
    """

    small: Annotated[float, Positive]
    large: Annotated[float, Positive]
    pairs: Annotated[tuple[Annotated[tuple[float, ...], Decay], ...], NotEmpty()]
    points: Annotated[int, AtLeastOne]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Bilinear:
    """Settings of the stage ``bilinear``: the law on the model of Section 5, figures 1 to 3.

    Parameters
    ----------
    x, y : float
        The model, E = (y - x theta1 theta2)^2 / 2.
    start : tuple of float
        Where every trajectory starts.
    penalty, fans, paths, orders, atlas, table1
        What is computed; ``fans`` are figures 2 and 3, by panel.
    """

    x: float
    y: float
    start: Annotated[tuple[float, ...], NotEmpty()]
    penalty: Penalty
    fans: Annotated[dict[str, Fan], NotEmpty()]
    paths: Annotated[dict[str, FlowCase], NotEmpty()]
    orders: Orders
    atlas: Atlas
    table1: Table1

    def __post_init__(self) -> None:
        validate(self)
        if len(self.start) != 2:
            raise ConfigError("start", list(self.start), "must be two numbers")


@dataclass(frozen=True, kw_only=True)
class NetOrder:
    """One rule whose flows' orders are measured on the network.

    Parameters
    ----------
    rule : str
        Its name.
    hyperparameters : dict
        Its hyperparameters.
    horizon : float
        Length of time T.
    """

    rule: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    horizon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class NetRun:
    """One rule that is followed over a long time on the network, with both flows.

    Parameters
    ----------
    rule, hyperparameters
        As in :class:`NetOrder`.
    h : float
        Step size.
    n_steps : int
        Number of steps.
    """

    rule: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    h: Annotated[float, Positive]
    n_steps: Annotated[int, AtLeastOne]

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class NetFlow:
    """Settings of the stage ``netflow``: the law on a real network, in float64.

    Parameters
    ----------
    dataset : str
        A prepared dataset; its first ``images`` training images are one full batch.
    images : int
        Number of images.
    widths : tuple of int
        Channels of the residual network's stages, one block each, without normalisation.
    activation : str
        A smooth one.
    seed : int
        Of the initial weights.
    steps : tuple of int
        Numbers of steps over the horizon, at least two; h = horizon / steps.
    orders : dict
        Rules whose orders are measured, by label.
    runs : dict
        Rules followed over a long time, by label.
    """

    dataset: str
    images: Annotated[int, AtLeastOne]
    widths: Annotated[tuple[int, ...], NotEmpty(), AtLeastOne]
    activation: Literal["gelu", "softplus", "tanh"]
    seed: Annotated[int, Range(at_least=0)] = 0
    steps: Annotated[tuple[int, ...], AtLeastOne]
    orders: Annotated[dict[str, NetOrder], NotEmpty()]
    runs: Annotated[dict[str, NetRun], NotEmpty()]

    def __post_init__(self) -> None:
        validate(self)
        if len(self.steps) < 2:
            raise ConfigError("steps", list(self.steps), "must hold at least two numbers of steps")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A set of trials: the product of ``axes`` over ``base``, less ``exclude``, plus ``trials``.

    Parameters
    ----------
    title : str
        What the grid is for, for people.
    base : dict
        Fields every trial of the grid shares, over the scale's ``trial`` section.
    axes : dict of list
        Values of each varied field; the grid holds their product.
    exclude : tuple of dict
        Combinations left out: a trial that matches every field of an entry.
    trials : tuple of dict
        Further trials, each over ``base``.
    horizon : float, optional
        Training time n·h; sets ``epochs`` to ``round(horizon / h)``, to compare step sizes at
        equal time.
    """

    title: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    exclude: tuple[dict[str, Any], ...] = ()
    trials: tuple[dict[str, Any], ...] = ()
    horizon: Annotated[float | None, Positive] = None

    def __post_init__(self) -> None:
        validate(self)
        for name, values in self.axes.items():
            if not values:
                raise ConfigError(f"axes.{name}", [], "must not be empty, give at least one value")
        if not self.axes and not self.trials:
            raise ConfigError("axes", {}, "the grid is empty, give axes or trials")
        self._refuse_unknown_fields()

    def _refuse_unknown_fields(self) -> None:
        sections = {"base": self.base, "axes": self.axes}
        sections |= {f"exclude[{i}]": entry for i, entry in enumerate(self.exclude)}
        sections |= {f"trials[{i}]": entry for i, entry in enumerate(self.trials)}
        for section, entries in sections.items():
            for name, value in entries.items():
                if name not in TRIAL_FIELDS:
                    allowed = f"unknown key, {choose_from(TRIAL_FIELDS, name)}"
                    raise ConfigError(f"{section}.{name}", value, allowed)
                if name == "epochs" and self.horizon is not None:
                    raise ConfigError(f"{section}.epochs", value, "leave it out: horizon sets it")

    @property
    def size(self) -> int:
        """Number of combinations, before ``exclude``; needs no expansion."""
        product = math.prod(len(v) for v in self.axes.values()) if self.axes else 0
        return product + len(self.trials)

    def check(self, defaults: Mapping[str, Any]) -> None:
        """Try every value once, without expanding the product.

        Raises
        ------
        ConfigError
            Naming ``axes.<field>``, ``base.<field>`` or ``trials[i].<field>``.
        """
        first = {name: values[0] for name, values in self.axes.items()}
        places = {name: f"base.{name}" for name in self.base} | {n: f"axes.{n}" for n in first}
        for name, values in self.axes.items():
            for value in values:
                self._trial({**defaults, **self.base, **first, name: value}, places)
        for i, entry in enumerate(self.trials):
            places = {n: f"base.{n}" for n in self.base} | {n: f"trials[{i}].{n}" for n in entry}
            self._trial({**defaults, **self.base, **entry}, places)
        for i, entry in enumerate(self.exclude):
            places = {name: f"exclude[{i}].{name}" for name in entry}
            self._trial({**defaults, **self.base, **first, **entry}, places)

    def expand(self, defaults: Mapping[str, Any]) -> Iterator[Trial]:
        """Yield the trials, in the order of the axes; a trial met twice is yielded twice."""
        if self.axes:
            for values in itertools.product(*self.axes.values()):
                point = dict(zip(self.axes, values, strict=True))
                trial = self._trial({**defaults, **self.base, **point}, {})
                if not any(_matches(trial, entry) for entry in self.exclude):
                    yield trial
        for entry in self.trials:
            yield self._trial({**defaults, **self.base, **entry}, {})

    def _trial(self, values: Mapping[str, Any], places: Mapping[str, str]) -> Trial:
        values = dict(values)
        if self.horizon is not None:
            h = values.get("h")
            if not isinstance(h, int | float) or h <= 0:
                raise ConfigError(places.get("h", "h"), h, "must be a number > 0")
            values["epochs"] = max(1, round(self.horizon / h))
        try:
            return build(Trial, values)
        except ConfigError as error:
            key = places.get(error.key, f"trial.{error.key}")
            raise ConfigError(key, error.value, error.allowed) from None


def _matches(trial: Trial, entry: Mapping[str, Any]) -> bool:
    return all(getattr(trial, name) == value for name, value in entry.items())


@dataclass(frozen=True, kw_only=True)
class NetworkCorrection:
    """Settings of the stage ``network_correction``: where the memory correction is measured.

    Parameters
    ----------
    dataset : str
        A prepared dataset; its first ``images`` training images are one full batch.
    images : int
        Number of images.
    every : int
        Epochs between measurements; epoch 0, at which nothing is remembered, has none.
    grid : Grid
        The trainings.
    """

    dataset: str
    images: Annotated[int, AtLeastOne]
    every: Annotated[int, AtLeastOne]
    grid: Grid

    def __post_init__(self) -> None:
        validate(self)
        try:
            self.grid.check(self._fixed)
        except ConfigError as error:
            raise error.within("grid.") from None

    @property
    def _fixed(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "correction_every": self.every}

    def trials(self) -> Iterator[Trial]:
        """Yield the trainings, in the order of the grid's axes."""
        return self.grid.expand(self._fixed)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a trial asks of the cluster and how much trouble a sweep bears; no part of a key.

    Parameters
    ----------
    cpus_per_trial, gpus_per_trial : float
        A fraction of a GPU packs several trials on one.
    max_concurrent : int or None
        Most trials at a time; None is as many as fit.
    retries : int
        Times a trial is restarted after its worker, node or store was lost.
    error_budget : int
        Failing trials (a bug, not bad luck) after which the sweep stops.
    checkpoint_seconds : float
        Seconds between checkpoints of a trial, the most that a lost worker costs.
    keep_states : bool
        Keep the last state of finished trials, so that more epochs can be added to them.
    train_ahead : bool
        Let the first stage ``sweep@<grid>`` that trains go on with what the other grids lack, so
        that Ray starts once for a whole ``dvc repro``.
    """

    cpus_per_trial: Annotated[float, Positive] = 1.0
    gpus_per_trial: Annotated[float, Range(at_least=0)] = 0.0
    max_concurrent: Annotated[int | None, AtLeastOne] = None
    retries: Annotated[int, Range(at_least=0)] = 3
    error_budget: Annotated[int, AtLeastOne] = 3
    checkpoint_seconds: Annotated[float, Range(at_least=0)] = 30.0
    keep_states: bool = False
    train_ahead: bool = False

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Regimes:
    """Thresholds between oscillation, spike and divergence; see :mod:`adambias.regimes`.

    Parameters
    ----------
    settle_fraction : float
        First part of a training in which excursions of the loss are start-up, not spikes.
    tail_fraction : float
        Last part of a training, whose median loss tells where it ended.
    divergence_level : float
        A training whose loss ends above this multiple of the loss at its start has diverged.
    spike_window : int
        Epochs before an epoch whose median loss is the level that a spike rises from.
    spike_factor : float
        A spike rises at least this many times above that level,
    spike_level : float
        and at least to this fraction of the loss at the start.
    spikes : int
        Number of spikes from which a training is in the spike regime.
    """

    settle_fraction: Annotated[float, Fraction] = 0.1
    tail_fraction: Annotated[float, Range(above=0, at_most=1)] = 0.1
    divergence_level: Annotated[float, Positive] = 1.0
    spike_window: Annotated[int, AtLeastOne] = 25
    spike_factor: Annotated[float, Range(above=1)] = 10.0
    spike_level: Annotated[float, Positive] = 0.01
    spikes: Annotated[int, AtLeastOne] = 1

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """How confidence intervals are made; see :mod:`adambias.trends`.

    Parameters
    ----------
    level : float
        Coverage that is aimed at.
    resamples, seed : int
        Number of bootstrap resamples of the seeds, and the generator's seed.
    """

    level: Annotated[float, Range(above=0, below=1)] = 0.95
    resamples: Annotated[int, AtLeastOne] = 10_000
    seed: Annotated[int, Range(at_least=0)] = 0

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The rule that turns an estimate into agrees, disagrees or inconclusive.

    A claim is decided if the interval excludes zero and the estimate is at least as large as the
    smallest effect below, on the claimed side (agrees) or on the other (disagrees).

    Parameters
    ----------
    seeds : int
        Fewest seeds to decide on.
    norm_effect : float
        Smallest change of the norm across a grid, as a fraction of its mean excess over the floor.
    accuracy_effect : float
        Smallest change of the test accuracy across a grid, a fraction of the test images.
    share_effect : float
        Smallest distance of a share from one half, for claims about most of something.
    order_tolerance : float
        Largest distance of an observed order from the order that the theory says.
    rank_correlation : float
        Smallest rank correlation along a computed, not sampled, set of trajectories.
    """

    seeds: Annotated[int, Range(at_least=2)] = 2
    norm_effect: Annotated[float, Range(at_least=0)] = 0.05
    accuracy_effect: Annotated[float, Range(at_least=0)] = 0.002
    share_effect: Annotated[float, Range(at_least=0, at_most=0.5)] = 0.1
    order_tolerance: Annotated[float, Positive] = 0.15
    rank_correlation: Annotated[float, Range(above=0, at_most=1)] = 0.8

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Analyse:
    """Settings of the stage ``analyse``.

    Parameters
    ----------
    initial_fraction : float
        First part of a training, after which the top of the norm's hill is looked for.
    hill_decades : float
        Least rise and fall of the norm, in powers of ten, that count as a hill.
    curve_points : int
        Most points of a curve that is kept for the figures.
    regimes, interval, verdict
        Thresholds and rules, stated before the data are seen.
    """

    initial_fraction: Annotated[float, Fraction] = 0.25
    hill_decades: Annotated[float, Positive] = 0.01
    curve_points: Annotated[int, Range(at_least=10)] = 400
    regimes: Regimes = field(default_factory=Regimes)
    interval: Interval = field(default_factory=Interval)
    verdict: Verdict = field(default_factory=Verdict)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Settings of the stage ``figures``.

    Parameters
    ----------
    formats : tuple of {"png", "svg", "pdf"}
        Files of each figure; PDF is sized for a two-column paper, the others for a screen.
    narrow : bool
        Also draw each figure for a telephone, with its panels below each other.
    floor_share : float
        Share of p√ε in the mean norm from which the excess over it gets a panel of its own.
    """

    formats: Annotated[tuple[Literal["png", "svg", "pdf"], ...], NotEmpty()] = ("png", "svg", "pdf")
    narrow: bool = True
    floor_share: Annotated[float, Range(at_least=0, at_most=1)] = 0.5

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A scale file: the settings of every stage."""

    prepare: Prepare
    bilinear: Bilinear
    netflow: NetFlow | None = None
    network_correction: NetworkCorrection | None = None
    trial: dict[str, Any] = field(default_factory=dict)
    grids: Annotated[dict[str, Grid], NotEmpty()]
    resources: Resources = field(default_factory=Resources)
    analyse: Analyse
    figures: Figures

    def __post_init__(self) -> None:
        validate(self)
        for name, value in self.trial.items():
            if name not in TRIAL_FIELDS:
                allowed = f"unknown key, {choose_from(TRIAL_FIELDS, name)}"
                raise ConfigError(f"trial.{name}", value, allowed)
        for name, grid in self.grids.items():
            try:
                grid.check(self.trial)
            except ConfigError as error:
                where = "" if error.key.startswith("trial.") else f"grids.{name}."
                raise error.within(where) from None
            self._refuse_unprepared_grid(name, grid)
        for section in ("netflow", "network_correction"):
            settings = getattr(self, section)
            if settings is not None:
                self._refuse_unprepared({f"{section}.dataset": settings.dataset})

    def _refuse_unprepared_grid(self, name: str, grid: Grid) -> None:
        used = {"trial": self.trial, f"grids.{name}.base": grid.base}
        used |= {f"grids.{name}.trials[{i}]": entry for i, entry in enumerate(grid.trials)}
        wanted = {f"{where}.dataset": v["dataset"] for where, v in used.items() if "dataset" in v}
        self._refuse_unprepared(wanted)
        for dataset in grid.axes.get("dataset", ()):
            self._refuse_unprepared({f"grids.{name}.axes.dataset": dataset})

    def _refuse_unprepared(self, wanted: Mapping[str, str]) -> None:
        for key, dataset in wanted.items():
            if dataset not in self.prepare.datasets:
                raise ConfigError(key, dataset, choose_from(self.prepare.datasets, dataset))

    def grid(self, name: str) -> Grid:
        """Return one grid by name.

        Raises
        ------
        ConfigError
            If there is no grid of this name.
        """
        if name not in self.grids:
            raise ConfigError("grid", name, choose_from(self.grids, name))
        return self.grids[name]


@dataclass(frozen=True, kw_only=True)
class Params:
    """Everything ``params.yaml`` says: the scale's name, its settings, and their folder."""

    name: str
    scale: Scale
    root: Path

    @property
    def data_root(self) -> Path:
        """Folder of the prepared datasets: ``ADAMBIAS_DATA``, else ``data`` beside the file."""
        return Path(os.environ.get("ADAMBIAS_DATA") or self.root / "data").absolute()


def load_params(path: str | Path = "params.yaml", scale: str | None = None) -> Params:
    """Read and validate the parameters.

    Parameters
    ----------
    path : path
        The file with the ``scale`` switch; scale files lie beside it in ``scales/``.
    scale : str, optional
        Use this scale instead of the one the file names.

    Raises
    ------
    ConfigError
        With one line that names the file, the key, its value and what is allowed.
    """
    path = Path(path)
    switch = _read_yaml(path)
    for key in switch:
        if key != "scale":
            raise ConfigError(
                f"{path}: {key}", switch[key], "unknown key, the file holds only scale"
            )
    name = scale or switch.get("scale")
    folder = path.parent / "scales"
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"{path}: scale", name, choose_from(known, name))
    file = folder / f"{name}.yaml"
    settings = build(Scale, _read_yaml(file), f"{file}: ")
    return Params(name=str(name), scale=settings, root=path.parent.resolve())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), ABSENT, "no such file, run from the project's root") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "unknown"
        allowed = f"is not valid YAML, line {line}: {error.problem}"
        raise ConfigError(str(path), ABSENT, allowed) from None
    except (YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(str(path), ABSENT, f"is not a text in YAML: {line}") from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), content, "must hold keys and values")
    return content
