"""Where each dataset comes from, and which part of it is used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from adambias.core.errors import ConfigError
from adambias.core.options import Options
from adambias.core.registry import SOURCES, is_own
from adambias.core.validation import AtLeastOne, Names, NotEmpty, Range, Validated

NEED_PATH = ("image_folder", "arrays")
"""Sources that read a file or folder of one's own."""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Validated):
    """Where a dataset comes from and which part of it is used; see :mod:`adambias.data.dataset`.

    Parameters
    ----------
    source : str
        See :mod:`adambias.data.sources`; ``package.module:factory`` for one's own.
    path : str, optional
        The tree or archive of an ``image_folder``, the file of ``arrays``, a text in place of the
        one that ``text`` has; a source of one's own may take one.
    train_size, test_size : int, optional
        Inputs in a subset of each split, stratified by class.
    label_noise : float
        Fraction of the training labels replaced by another class; with 1 all are drawn at random.
    seed : int
        Of the choice and order of the inputs, and of the label noise.
    options : mapping
        Options of the source, by the names of its own parameters.
    base : str
        Folder that a relative ``path``, and ``downloads``, are in. No setting of the preparation,
        and not for a file to give: it is the folder of the parameters, by default the current one.
    """

    source: Annotated[str, SOURCES.choice]
    path: str | None = None
    train_size: Annotated[int | None, AtLeastOne] = None
    test_size: Annotated[int | None, AtLeastOne] = None
    label_noise: Annotated[float, Range(at_least=0, at_most=1)] = 0.0
    seed: Annotated[int, Range(at_least=0)] = 0
    options: Options = field(default_factory=Options)
    base: str = field(default="", compare=False, metadata={"given": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        # A source of one's own may take a path or not.
        needed, given = self.source in NEED_PATH, self.path is not None
        if not is_own(self.source) and needed != given and self.source != "text":
            words = " and ".join(NEED_PATH)
            raise ConfigError("path", self.path, f"is needed by sources {words}, text may have one")

    def located(self) -> DatasetSpec:
        """Return it as its source gets it: with a ``path`` that does not hang on where one is."""
        return self if self.path is None else replace(self, path=str(Path(self.base, self.path)))


@dataclass(frozen=True, kw_only=True)
class Prepare(Validated):
    """Datasets to prepare, by name."""

    datasets: Annotated[dict[str, DatasetSpec], NotEmpty, Names(dots=True)]
