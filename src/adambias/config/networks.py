"""What the stages ``reach``, ``cause`` and ``stability`` compute: short trainings of networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from adambias.config.grid import Grid
from adambias.config.trial import EDGE, Trial
from adambias.core.errors import ABSENT, ConfigError, choose_from
from adambias.core.flows import LAWS
from adambias.core.validation import AtLeastOne, Names, NotEmpty, Positive, Range, Validated


@dataclass(frozen=True, kw_only=True)
class ShortTrainings(Validated):
    """Short trainings on the first images of prepared datasets.

    Parameters
    ----------
    dataset : str
        A prepared dataset, for the grids whose ``base`` names none.
    images : int
        Training images, one full batch.
    steps : int
        Steps of each training.
    grids : dict of Grid
        The trainings, by name.
    base : dict
        Fields that all of them share.
    """

    dataset: str
    images: Annotated[int, AtLeastOne]
    steps: Annotated[int, Range(at_least=2)]
    grids: Annotated[dict[str, Grid], NotEmpty, Names()]
    base: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, grid in self.grids.items():
            try:
                grid.check(self._fixed)
            except ConfigError as error:
                raise error.within(f"grids.{name}.") from None

    @property
    def _fixed(self) -> dict[str, Any]:
        # A record is made before its step, so that the last step's result takes one more.
        epochs = self.steps + 1
        return {**self.base, "dataset": self.dataset, "epochs": epochs, "eval_every": epochs}

    def trials(self) -> Iterator[tuple[str, Trial]]:
        """Yield every training with its grid's name."""
        for name, grid in self.grids.items():
            for trial in grid.expand(self._fixed):
                yield name, trial

    @property
    def datasets(self) -> set[str]:
        """The datasets that the trainings are made on."""
        return {trial.dataset for _, trial in self.trials()}


@dataclass(frozen=True, kw_only=True)
class Reach(ShortTrainings):
    """Settings of the stage ``reach``: how far each law holds on networks.

    Parameters
    ----------
    within : dict of float
        By law, the change of the gradient, as a share of it, below which the law is said to hold:
        that over the memory, or within one step for the moment flow.
    """

    within: dict[str, Annotated[float, Positive]]

    def __post_init__(self) -> None:
        super().__post_init__()
        for law in self.within:
            if law not in LAWS:
                raise ConfigError(f"within.{law}", ABSENT, choose_from(LAWS, law))
        for law in LAWS:
            if law not in self.within:
                raise ConfigError(f"within.{law}", ABSENT, "is needed, give it a number")


@dataclass(frozen=True, kw_only=True)
class Cause(ShortTrainings):
    """Settings of the stage ``cause``: what the predicted memory term does to trainings.

    Parameters
    ----------
    late_fraction : float
        Last part of each training, over which norm and loss are averaged.
    test_images : int
        Test images for the accuracy.
    """

    late_fraction: Annotated[float, Range(above=0, at_most=1)]
    test_images: Annotated[int, AtLeastOne]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, grid in self.grids.items():
            for place in (grid.base, grid.axes, *grid.trials):
                if "memory" in place:
                    allowed = "leave it out: every training is made with every memory"
                    raise ConfigError(f"grids.{name}.memory", place["memory"], allowed)


@dataclass(frozen=True, kw_only=True)
class Stability(ShortTrainings):
    """Settings of the stage ``stability``: curvature over the threshold of stability.

    Parameters
    ----------
    every : int
        Steps between two measurements of the curvature.
    """

    every: Annotated[int, AtLeastOne]

    @property
    def _fixed(self) -> dict[str, Any]:
        return super()._fixed | {"measures": [EDGE], "measure_every": self.every}
