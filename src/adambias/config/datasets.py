"""Where each dataset comes from, and which part of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from adambias.core.errors import ConfigError
from adambias.core.validation import AtLeastOne, Fraction, NotEmpty, Range, validate


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Where a dataset comes from and which part of it is used; see :mod:`adambias.data.dataset`."""

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

    datasets: Annotated[dict[str, DatasetSpec], NotEmpty]

    def __post_init__(self) -> None:
        validate(self)
