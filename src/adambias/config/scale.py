"""A scale: ``params.yaml`` names one, ``scales/<scale>.yaml`` over ``common.yaml`` holds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from adambias.config.analysis import Analyse
from adambias.config.datasets import DatasetSpec, Prepare
from adambias.config.figures import Figures
from adambias.config.files import ScaleFiles, read_yaml, scale_names
from adambias.config.grid import Grid
from adambias.config.networks import Cause, Reach, Stability
from adambias.config.resources import Resources
from adambias.config.studies import Bilinear, NetFlow, NetworkCorrection
from adambias.config.trial import TRIAL_FIELDS, is_field
from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import Names, NotEmpty, Validated, build

ANALYSIS = "analysis"
"""The name that no grid may have: beside those of grids there is an experiment of the analysis."""
LAW = ("bilinear", "netflow", "network_correction", "reach", "cause", "stability")
"""Sections of the stages that compute the law; a scale has all of them or none."""


@dataclass(frozen=True, kw_only=True)
class Experiment(Validated):
    """Trainings, and what is made of them.

    Parameters
    ----------
    prepare : Prepare
        The datasets.
    trial : dict
        Fields that all trials begin with.
    grids : dict of Grid
        The trials, by grid.
    resources, analyse, figures
        What trials ask of the machines, and how they are analysed and drawn.
    """

    prepare: Prepare
    trial: dict[str, Any] = field(default_factory=dict)
    grids: Annotated[dict[str, Grid], NotEmpty, Names()]
    resources: Resources = field(default_factory=Resources)
    analyse: Analyse = field(default_factory=Analyse)
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.trial.items():
            if not is_field(name):
                allowed = f"unknown key, {choose_from(TRIAL_FIELDS, name)}"
                raise ConfigError(f"trial.{name}", value, allowed)
        for name, grid in self.grids.items():
            if name.lower() == ANALYSIS:
                allowed = "is what the experiment of the analysis is called in MLflow: take another"
                raise ConfigError("grids", name, allowed)
            try:
                grid.check(self.trial)
            except ConfigError as error:
                where = "" if error.key.startswith("trial.") else f"grids.{name}."
                raise error.within(where) from None
            self._refuse_unprepared_grid(f"grids.{name}", grid)
        self._refuse_unknown_grids()

    def _refuse_unknown_grids(self) -> None:
        """Refuse a claim or figure of one's own that is about a grid which is not there."""
        about = {f"analyse.claims.{key}": spec.grids for key, spec in self.analyse.claims.items()}
        about |= {f"figures.own.{name}": spec.grids for name, spec in self.figures.own.items()}
        for where, grids in about.items():
            for grid in grids:
                if grid not in self.grids:
                    raise ConfigError(f"{where}.grids", grid, choose_from(self.grids, grid))

    def _refuse_unprepared_grid(self, where: str, grid: Grid) -> None:
        used = {"trial": self.trial, f"{where}.base": grid.base}
        used |= {f"{where}.trials[{i}]": entry for i, entry in enumerate(grid.trials)}
        wanted = {f"{where}.dataset": v["dataset"] for where, v in used.items() if "dataset" in v}
        self._refuse_unprepared(wanted)
        for dataset in grid.axes.get("dataset", ()):
            self._refuse_unprepared({f"{where}.axes.dataset": dataset})

    def _refuse_unprepared(self, wanted: Mapping[str, str]) -> None:
        for key, dataset in wanted.items():
            if dataset not in self.prepare.datasets:
                raise ConfigError(key, dataset, choose_from(self.prepare.datasets, dataset))

    @property
    def of_law(self) -> bool:
        """Tell whether the law is computed beside the trainings."""
        return False

    @property
    def drawn(self) -> list[str]:
        """Names of the figures to draw: those of trainings, if they are for a grid that is here."""
        return [
            name
            for name, spec in self.figures.of_trainings.items()
            if not spec.grids or not self.grids.keys().isdisjoint(spec.grids)
        ]

    def needs(self) -> dict[str, list[str]]:
        """Return the datasets that each stage reads, by its name in ``dvc.yaml``."""
        return {
            f"sweep@{name}": sorted({trial.dataset for trial in grid.expand(self.trial)})
            for name, grid in self.grids.items()
        }

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
class Scale(Experiment):
    """The settings of every stage at one scale: trainings, and the law beside them."""

    bilinear: Bilinear
    netflow: NetFlow
    network_correction: NetworkCorrection
    reach: Reach
    cause: Cause
    stability: Stability
    analyse: Analyse
    figures: Figures

    def __post_init__(self) -> None:
        super().__post_init__()
        for section in ("netflow", "network_correction", "reach", "cause", "stability"):
            self._refuse_unprepared({f"{section}.dataset": getattr(self, section).dataset})
        for section in ("reach", "cause", "stability"):
            stage = getattr(self, section)
            for name, grid in stage.grids.items():
                self._refuse_unprepared_grid(f"{section}.grids.{name}", grid)

    @property
    def of_law(self) -> bool:
        """Tell whether the law is computed beside the trainings."""
        return True

    @property
    def drawn(self) -> list[str]:
        """Names of the figures to draw: all of them."""
        return list(self.figures.all_figures)

    def needs(self) -> dict[str, list[str]]:
        """Return the datasets that each stage reads, by its name in ``dvc.yaml``."""
        read = {
            "netflow": {self.netflow.dataset},
            "network_correction": {trial.dataset for trial in self.network_correction.trials()},
            **{name: getattr(self, name).datasets for name in ("reach", "cause", "stability")},
        }
        return {stage: sorted(names) for stage, names in read.items()} | super().needs()


@dataclass(frozen=True, kw_only=True)
class Params:
    """Everything a file of parameters says: its name, the settings, and their folder."""

    name: str
    scale: Experiment
    root: Path

    @property
    def data_root(self) -> Path:
        """Folder of the prepared datasets: ``ADAMBIAS_DATA``, else ``data`` beside the file."""
        return Path(os.environ.get("ADAMBIAS_DATA") or self.root / "data").absolute()

    @property
    def datasets(self) -> dict[str, DatasetSpec]:
        """The datasets to prepare, with the folder of the file for what their paths begin in."""
        named = self.scale.prepare.datasets.items()
        return {name: replace(spec, base=str(self.root)) for name, spec in named}

    @property
    def store(self) -> str:
        """Location of the ledger: ``ADAMBIAS_STORE``, else ``runs`` beside the file."""
        return os.environ.get("ADAMBIAS_STORE") or str(self.root / "runs")


@dataclass(frozen=True, kw_only=True)
class PipelineParams(Params):
    """Those of a pipeline: the scale that ``params.yaml`` switches to."""

    @property
    def data_root(self) -> Path:
        """As of any parameters; in a stage of DVC's it must be ``data``, the output that it keeps.

        Raises
        ------
        ConfigError
            If ``ADAMBIAS_DATA`` is elsewhere in a stage.
        """
        found = super().data_root
        if "DVC_STAGE" in os.environ and found.resolve() != (self.root / "data").resolve():
            allowed = "is not where DVC keeps the data of its stages, data/: unset it for dvc repro"
            raise ConfigError("ADAMBIAS_DATA", os.environ["ADAMBIAS_DATA"], allowed)
        return found


@dataclass(frozen=True, kw_only=True)
class ScaleParams(PipelineParams):
    """Those of a pipeline with the stages of the law."""

    scale: Scale


def load_params(path: str | Path = "params.yaml", scale: str | None = None) -> Params:
    """Read and validate the parameters.

    Parameters
    ----------
    path : path
        The file with the ``scale`` switch; scale files lie beside it in ``scales/``. Or, if it
        holds grids, one experiment, a file by itself.
    scale : str, optional
        Use this scale instead of the one the file names.

    Raises
    ------
    ConfigError
        With one line that names the file, the key, its value and what is allowed.
    """
    path = Path(path)
    _refuse_quotes(path)
    content = read_yaml(path)
    if "scale" in content or not {"prepare", "trial", "grids"} & content.keys():
        return _load_switched(path, content, scale)
    if scale is not None:
        raise ConfigError("scale", scale, f"leave it out: {path} is one experiment")
    try:
        settings = build(Experiment, content)
    except ConfigError as error:
        raise error.within(f"{path}: ") from None
    return Params(name=path.stem, scale=settings, root=path.parent.resolve())


def load_scale(path: str | Path = "params.yaml", scale: str | None = None) -> ScaleParams:
    """Read and validate the parameters of a pipeline with the stages of the law.

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
    params = _load_switched(path, read_yaml(path), scale, of_law=True)
    assert isinstance(params, ScaleParams)
    return params


def _load_switched(
    path: Path, switch: Mapping[str, Any], scale: str | None, *, of_law: bool = False
) -> PipelineParams:
    """Read the scale that a switch names; without a section of the law it is trainings alone."""
    for key in switch:
        if key != "scale":
            raise ConfigError(
                f"{path}: {key}", switch[key], "unknown key, the file holds only scale"
            )
    name = scale or switch.get("scale")
    known = scale_names(path)
    if name not in known:
        raise ConfigError(f"{path}: scale", name, choose_from(known, name))
    files = ScaleFiles(path, str(name))
    _refuse_quotes(files.own)
    settings, root = files.settings(), path.parent.resolve()
    try:
        if of_law or not settings.keys().isdisjoint(LAW):
            return ScaleParams(name=str(name), scale=build(Scale, settings), root=root)
        return PipelineParams(name=str(name), scale=build(Experiment, settings), root=root)
    except ConfigError as error:
        raise error.within(f"{files.holder(error.key)}: ") from None


def _refuse_quotes(path: Path) -> None:
    """Refuse a file whose name, which MLflow's runs are searched by, MLflow could not read."""
    if '"' in path.stem or not path.stem.isprintable():
        allowed = "a file's name must be printable and hold no quotation mark: rename it"
        raise ConfigError("FILE", str(path), allowed)
