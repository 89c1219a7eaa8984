"""What the stages that check the law compute: ``bilinear`` and ``netflow``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from adambias.config.grid import Grid
from adambias.config.trial import Trial
from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import (
    AtLeastOne,
    Decay,
    Entries,
    Names,
    NotEmpty,
    Pair,
    Positive,
    Range,
    Validated,
)


@dataclass(frozen=True, kw_only=True)
class NetworkCorrection(Validated):
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
        super().__post_init__()
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


Decays = Annotated[tuple[float, ...], Pair, Decay]
"""beta1 and beta2."""


@dataclass(frozen=True, kw_only=True)
class Penalty(Validated):
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
    pairs: Annotated[tuple[Decays, ...], NotEmpty]
    span: Annotated[float, Positive]


@dataclass(frozen=True, kw_only=True)
class Fan(Validated):
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

    beta1: Annotated[tuple[float, ...], NotEmpty, Decay]
    beta2: Annotated[tuple[float, ...], NotEmpty, Decay]
    h: Annotated[tuple[float, ...], NotEmpty, Positive]
    epsilon: Annotated[float, Positive]
    horizon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(len(values) > 1 for values in (self.beta1, self.beta2, self.h)) != 1:
            raise ConfigError("beta1", list(self.beta1), "one of beta1, beta2, h must hold several")

    @property
    def varied(self) -> Literal["beta1", "beta2", "h"]:
        """Name of what differs between the trajectories."""
        return "beta1" if len(self.beta1) > 1 else "beta2" if len(self.beta2) > 1 else "h"


@dataclass(frozen=True, kw_only=True)
class FlowCase(Validated):
    """Adam and all its flows, at one choice of everything.

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


@dataclass(frozen=True, kw_only=True)
class OrderCase(Validated):
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
    steps: Annotated[tuple[int, ...], Entries(at_least=2), AtLeastOne]
    horizons: dict[str, float] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GrowingMemory(Validated):
    """Adam with 1 - beta in proportion to h: a memory fixed in time, which grows in steps.

    Parameters
    ----------
    horizon : float
        Length of time T.
    steps : tuple of int
        Numbers of steps over the horizon, at least two; h = T / steps.
    rates : (float, float)
        (1 - beta1) / h and (1 - beta2) / h, per unit of time.
    epsilon : float
        Numerical stability, inside the root.
    """

    horizon: Annotated[float, Positive]
    steps: Annotated[tuple[int, ...], Entries(at_least=2), AtLeastOne]
    rates: Annotated[tuple[float, ...], Pair, Positive]
    epsilon: Annotated[float, Positive]

    def __post_init__(self) -> None:
        super().__post_init__()
        most = min(self.steps) / self.horizon
        if max(self.rates) > most:
            allowed = f"must be at most {most:g}, or a decay at {min(self.steps)} steps is below 0"
            raise ConfigError("rates", list(self.rates), allowed)

    @property
    def step_sizes(self) -> tuple[float, ...]:
        """The step sizes h."""
        return tuple(self.horizon / steps for steps in self.steps)

    def decays(self, h: float) -> tuple[float, float]:
        """Return beta1 and beta2 at a step size."""
        first, second = (max(0.0, 1 - rate * h) for rate in self.rates)
        return first, second


@dataclass(frozen=True, kw_only=True)
class Orders(Validated):
    """Orders of convergence: every rule on every loss, and Adam as its memory grows.

    Parameters
    ----------
    hyperparameters : dict
        Of every rule; each takes what it knows.
    rules : dict
        By label, ``rule`` and hyperparameters of its own.
    losses : dict
        By name, :class:`OrderCase`; see :mod:`adambias.studies.problems`.
    growing : dict
        By the name of a loss, not mini-batches, :class:`GrowingMemory`.
    """

    hyperparameters: dict[str, Any]
    rules: Annotated[dict[str, dict[str, Any]], NotEmpty]
    losses: Annotated[dict[str, OrderCase], NotEmpty, Names()]
    growing: Annotated[dict[str, GrowingMemory], NotEmpty, Names()]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, case in self.losses.items():
            for label in (*case.rules, *case.horizons):
                if label not in self.rules:
                    raise ConfigError(f"losses.{name}", label, choose_from(self.rules, label))


@dataclass(frozen=True, kw_only=True)
class Atlas(Validated):
    """Errors of all flows against Adam over a grid of decays, at one step size.

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


@dataclass(frozen=True, kw_only=True)
class Table1(Validated):
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
    pairs: Annotated[tuple[Decays, ...], NotEmpty]
    points: Annotated[int, AtLeastOne]


@dataclass(frozen=True, kw_only=True)
class Bilinear(Validated):
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
    start: Annotated[tuple[float, ...], Pair]
    penalty: Penalty
    fans: Annotated[dict[str, Fan], NotEmpty, Names()]
    paths: Annotated[dict[str, FlowCase], NotEmpty, Names()]
    orders: Orders
    atlas: Atlas
    table1: Table1


@dataclass(frozen=True, kw_only=True)
class NetOrder(Validated):
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


@dataclass(frozen=True, kw_only=True)
class NetRun(Validated):
    """One rule that is followed over a long time on the network, with all its flows.

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


@dataclass(frozen=True, kw_only=True)
class Practical(Validated):
    """Adam at the settings where people train, with all its flows.

    Parameters
    ----------
    epsilon : float
        Numerical stability, inside the root.
    h : float
        Step size.
    n_steps : int
        Number of steps.
    pairs : tuple of (beta1, beta2)
        Decays, each pair a run.
    """

    epsilon: Annotated[float, Positive]
    h: Annotated[float, Positive]
    n_steps: Annotated[int, AtLeastOne]
    pairs: Annotated[tuple[Decays, ...], NotEmpty]


@dataclass(frozen=True, kw_only=True)
class NetFlow(Validated):
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
    practical : Practical
        Where people train.
    """

    dataset: str
    images: Annotated[int, AtLeastOne]
    widths: Annotated[tuple[int, ...], NotEmpty, AtLeastOne]
    activation: Literal["gelu", "softplus", "tanh"]
    seed: Annotated[int, Range(at_least=0)] = 0
    steps: Annotated[tuple[int, ...], Entries(at_least=2), AtLeastOne]
    orders: Annotated[dict[str, NetOrder], NotEmpty, Names()]
    runs: Annotated[dict[str, NetRun], NotEmpty, Names()]
    practical: Practical
