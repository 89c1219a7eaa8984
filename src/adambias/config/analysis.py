"""Settings of the stages ``analyse`` and ``figures``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from adambias.core.validation import AtLeastOne, Fraction, NotEmpty, Positive, Range, validate


@dataclass(frozen=True, kw_only=True)
class Regimes:
    """Thresholds between oscillation, spike and divergence; see :mod:`adambias.analysis.regimes`.

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
    """How confidence intervals are made; see :mod:`adambias.analysis.trends`.

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
        Least rise and fall of the smoothed norm, in powers of ten, that count as a hill.
    curve_points : int
        Most points of a curve that is kept for the figures.
    regimes, interval, verdict
        Thresholds and rules, stated before the data are seen.
    """

    initial_fraction: Annotated[float, Fraction] = 0.25
    hill_decades: Annotated[float, Positive] = 0.1
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

    formats: Annotated[tuple[Literal["png", "svg", "pdf"], ...], NotEmpty] = ("png", "svg", "pdf")
    narrow: bool = True
    floor_share: Annotated[float, Range(at_least=0, at_most=1)] = 0.5

    def __post_init__(self) -> None:
        validate(self)
