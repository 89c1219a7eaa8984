"""Where each dataset comes from, and which part of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from adambias.core.errors import ConfigError
from adambias.core.registry import SOURCES, is_own
from adambias.core.validation import AtLeastOne, Fraction, NotEmpty, Range, Validated


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Validated):
    """Where a dataset comes from and which part of it is used; see :mod:`adambias.data.dataset`.

    Parameters
    ----------
    source : str
        See :mod:`adambias.data.sources`; ``package.module:factory`` for one's own.
    path : str, optional
        The tree or archive of an ``image_folder``; a source of one's own may take one.
    train_size, test_size : int, optional
        Images in a stratified subset of each split.
    label_noise : float
        Fraction of the training labels replaced by another class.
    seed : int
        Of the choice and order of the images, and of the label noise.
    """

    source: Annotated[str, SOURCES.choice]
    path: str | None = None
    train_size: Annotated[int | None, AtLeastOne] = None
    test_size: Annotated[int | None, AtLeastOne] = None
    label_noise: Annotated[float, Fraction] = 0.0
    seed: Annotated[int, Range(at_least=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        # A source of one's own may take a path or not.
        if not is_own(self.source) and (self.source == "image_folder") != (self.path is not None):
            raise ConfigError(
                "path", self.path, "is needed by source image_folder, and by no other"
            )


@dataclass(frozen=True, kw_only=True)
class Prepare(Validated):
    """Datasets to prepare, by name."""

    datasets: Annotated[dict[str, DatasetSpec], NotEmpty]
