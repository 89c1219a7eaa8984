"""What the stage ``analyse`` goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from adambias.config.claims import CLAIMS, ClaimSpec, Verdict
from adambias.core.errors import ABSENT, ConfigError
from adambias.core.validation import (
    AtLeastOne,
    Fraction,
    Pair,
    Positive,
    Range,
    Validated,
    is_name,
)

Regime = Literal["oscillation", "spike", "divergence"]
REGIMES: tuple[Regime, ...] = ("oscillation", "spike", "divergence")
"""What a training can be told to be, from the calmest to the wildest."""


@dataclass(frozen=True, kw_only=True)
class Regimes(Validated):
    """Thresholds between oscillation, spike and divergence; see :mod:`adambias.analysis.regimes`.

    Parameters
    ----------
    settle_fraction : float
        First part of a training in which rises of the loss are start-up, not leaps.
    tail_fraction : float
        Last part of a training, which tells whether it has diverged.
    divergence_level : float
        A training whose loss ends above this multiple of the loss at its start has diverged.
    spike_factor : float
        A leap rises at least this many times above the lowest loss before it,
    spike_level : float
        and at least to this fraction of the loss at the start.
    spikes : int
        Number of spikes from which a training is in the spike regime.
    """

    settle_fraction: Annotated[float, Fraction] = 0.1
    tail_fraction: Annotated[float, Range(above=0, at_most=1)] = 0.1
    divergence_level: Annotated[float, Positive] = 1.0
    spike_factor: Annotated[float, Range(above=1)] = 10.0
    spike_level: Annotated[float, Positive] = 0.001
    spikes: Annotated[int, AtLeastOne] = 1


@dataclass(frozen=True, kw_only=True)
class Analyse(Validated):
    """Settings of the stage ``analyse``.

    Parameters
    ----------
    initial_fraction : float
        First part of a training, after which the highest norm is looked for.
    late_fraction : float
        Last part of a training, over whose evaluations the test accuracy is averaged.
    loss_window : (float, float)
        Training losses between which norms are compared at equal progress, as fractions of the
        loss at the start, the smaller first.
    loss_levels : int
        Parts of equal ratio that a range of losses is divided into.
    floor_fraction : float
        A norm counts, epoch by epoch or loss by loss, where its excess over p√ε is above this
        fraction of p√ε; below that it is the flat end of a training.
    hill_decades : float
        Least rise and fall of the smoothed norm, in powers of ten, that count as a hill.
    curve_points : int
        Most points of a curve that is kept for the figures.
    level : float
        Coverage of the confidence intervals; one less it is the chance of a wrong verdict that a
        scale's trained claims share.
    test_units : dict of int
        By dataset, how many independent units its test images come from: the images, or the
        pictures that several of them are cut from. Without, claims about its test accuracy are
        not testable.
    regimes, verdict
        Thresholds and rules, stated before the data are seen.
    claims : dict of ClaimSpec
        Claims of one's own by their keys, judged after the paper's.
    """

    initial_fraction: Annotated[float, Fraction] = 0.25
    late_fraction: Annotated[float, Range(above=0, at_most=1)] = 0.25
    loss_window: Annotated[tuple[float, ...], Pair] = (0.2, 0.7)
    loss_levels: Annotated[int, Range(at_least=2)] = 8
    floor_fraction: Annotated[float, Range(at_least=0)] = 0.1
    hill_decades: Annotated[float, Positive] = 0.1
    curve_points: Annotated[int, Range(at_least=10)] = 400
    level: Annotated[float, Range(above=0, below=1)] = 0.95
    test_units: dict[str, Annotated[int, AtLeastOne]] = field(default_factory=dict)
    regimes: Regimes = field(default_factory=Regimes)
    verdict: Verdict = field(default_factory=Verdict)
    claims: dict[str, ClaimSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.loss_window
        if not 0 < low < high <= 1:
            allowed = "must be two fractions of the loss at the start, 0 < smaller < larger <= 1"
            raise ConfigError("loss_window", list(self.loss_window), allowed)
        for key in self.claims:
            if key in CLAIMS:
                allowed = "is a claim of the paper, give yours a key of its own"
                raise ConfigError(f"claims.{key}", ABSENT, allowed)
            if not is_name(key):
                raise ConfigError(f"claims.{key}", ABSENT, "the key must be letters, digits and _")

    @property
    def all_claims(self) -> dict[str, ClaimSpec]:
        """The paper's claims, then one's own."""
        return CLAIMS | self.claims
