"""From ``params.yaml`` and the files in ``scales/`` to frozen, validated dataclasses."""

from __future__ import annotations

from adambias.config.analysis import Analyse, Regimes
from adambias.config.claims import ClaimSpec, Verdict
from adambias.config.datasets import DatasetSpec, Prepare
from adambias.config.figures import Figures, FigureSpec
from adambias.config.files import ScaleFiles, scale_names
from adambias.config.grid import Grid
from adambias.config.networks import Cause, Reach, Stability
from adambias.config.resources import Resources
from adambias.config.scale import (
    Experiment,
    Params,
    PipelineParams,
    Scale,
    ScaleParams,
    load_params,
    load_scale,
)
from adambias.config.studies import (
    Atlas,
    Bilinear,
    Fan,
    FlowCase,
    GrowingMemory,
    NetFlow,
    NetOrder,
    NetRun,
    NetworkCorrection,
    OrderCase,
    Orders,
    Penalty,
    Practical,
    Table1,
)
from adambias.config.trial import SEMANTICS_VERSION, TRIAL_FIELDS, Trial

__all__ = [
    "SEMANTICS_VERSION",
    "TRIAL_FIELDS",
    "Analyse",
    "Atlas",
    "Bilinear",
    "Cause",
    "ClaimSpec",
    "DatasetSpec",
    "Experiment",
    "Fan",
    "FigureSpec",
    "Figures",
    "FlowCase",
    "Grid",
    "GrowingMemory",
    "NetFlow",
    "NetOrder",
    "NetRun",
    "NetworkCorrection",
    "OrderCase",
    "Orders",
    "Params",
    "Penalty",
    "PipelineParams",
    "Practical",
    "Prepare",
    "Reach",
    "Regimes",
    "Resources",
    "Scale",
    "ScaleFiles",
    "ScaleParams",
    "Stability",
    "Table1",
    "Trial",
    "Verdict",
    "load_params",
    "load_scale",
    "scale_names",
]
