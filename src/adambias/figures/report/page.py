"""The report: one page that needs nothing beside itself, with claims, figures and provenance.

What the page says stands in ``page.html``, how it looks in ``page.css``; here are the values.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from adambias.analysis.claims.claim import by_kind, count_verdicts
from adambias.config import Analyse, ClaimSpec
from adambias.config.analysis import REGIMES
from adambias.core.errors import DataError
from adambias.core.files import write_text
from adambias.core.provenance import git_state
from adambias.figures.report import preregistration, rows
from adambias.figures.report.findings import findings, of_the_edge

PACKAGES = (
    *("adambias", "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow"),
    *("scikit-learn", "matplotlib", "seaborn", "ray", "mlflow", "dvc"),
)
EXPLORER = Path(__file__).with_name("explorer.html")
LARGE_SVG = 150_000
"""Bytes from which a figure is embedded as PNG."""


def run(
    results_dir: str | Path,
    figures_dir: str | Path,
    out_path: str | Path,
    *,
    scale: str,
    analyse: Analyse | None = None,
    commands: Sequence[tuple[str, str]] | None = None,
    explorer: bool = False,
) -> Path:
    """Write the report.

    Parameters
    ----------
    results_dir : path
        Holds ``trials.parquet`` and ``claims.json``.
    figures_dir : path
        Holds ``figures.json`` and the pictures.
    out_path : path
        The page, ``reports/index.html``.
    scale : str
        Name of the scale.
    analyse : Analyse, optional
        The rules that verdicts were given by, printed on the page.
    commands : sequence of (str, str), optional
        What makes the page again, each with what it does; by default those of ``dvc repro``.
    explorer : bool
        Whether to write ``explorer.html`` beside the page and link to it: a page that computes an
        optimizer and its flows as one moves their settings.

    Returns
    -------
    Path
        ``out_path``.

    Raises
    ------
    DataError
        If one of the files is missing.
    """
    results, pictures, out = Path(results_dir), Path(figures_dir), Path(out_path)
    trials = pd.read_parquet(_needed(results / "trials.parquet"))
    claims = json.loads(_needed(results / "claims.json").read_text(encoding="utf-8"))
    figures = json.loads(_needed(pictures / "figures.json").read_text(encoding="utf-8"))
    settings = analyse or Analyse()
    rules = {name: v for name, v in dataclasses.asdict(settings).items() if name != "claims"}
    page = _template().render(
        scale=scale,
        trainings=_trainings(trials),
        **_claims(claims, settings.all_claims, {figure["name"] for figure in figures}),
        findings=findings(claims, figures),
        of_the_edge=list(of_the_edge(claims)),
        preregistered=preregistration.stated(results),
        figures=[figure | _picture(figure["name"], pictures) for figure in figures],
        regimes=list(REGIMES),
        grids=list(_grids(trials)),
        analyse=rules,
        thresholds=dict(_flat(rules)),
        commands=commands or _commands(scale),
        explorer=EXPLORER.name if explorer else "",
        versions={
            **_without_commit(out),
            "Python": platform.python_version(),
            **dict(_installed(PACKAGES)),
        },
    )
    write_text(page, out)
    if explorer:
        write_text(EXPLORER.read_text(encoding="utf-8"), out.with_name(EXPLORER.name))
    return out


def _without_commit(page: Path) -> dict[str, str]:
    """Say why the code's commit is not known, if so; where it is, Git knows the page too."""
    folder = next(parent for parent in page.absolute().parents if parent.is_dir())
    unknown = git_state(folder).get("unknown")
    return {"commit of the code": f"unknown: {unknown}"} if unknown else {}


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: is missing, run the stages before the report: dvc repro")
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # A misspelt value stops the stage.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        **{"estimate": rows.estimate, "found": rows.found, "readings": rows.readings},
        **{"counted": rows.counted, "seeds": rows.seeds},
    }
    return environment.get_template("page.html")


def _claims(
    claims: Sequence[rows.Row], specs: Mapping[str, ClaimSpec], drawn: set[str]
) -> dict[str, Any]:
    """Return the claims on networks and the computed checks, their verdicts counted apart."""
    shown = {key: spec.figure for key, spec in specs.items() if spec.figure in drawn}
    kinds = {
        kind: [{**claim, "figure": shown.get(claim["key"])} for claim in members]
        for kind, members in by_kind(claims).items()
    }
    # A scale need not have every grid of the paper: what was never tried has no verdict here.
    absent = [claim for claim in kinds["trained"] if claim["planned"] == 0]
    kinds["trained"] = [claim for claim in kinds["trained"] if claim not in absent]
    return {
        **kinds,
        "absent": absent,
        "score": {kind: count_verdicts(members) for kind, members in kinds.items()},
        "measures": _measures(kinds["trained"]),
    }


def _measures(claims: Iterable[rows.Row]) -> list[tuple[str, str]]:
    """Return the names of the readings beside deciding ones, each with what it measures."""
    pairs = ((name, row["statistic"]) for claim in claims for name, row in rows.readings(claim))
    return list(dict.fromkeys(pairs))


def _trainings(trials: pd.DataFrame) -> dict[str, Any]:
    """Return how many trainings there were, of what and where; a trial counts once."""
    once = trials.drop_duplicates("trial")
    return {
        "trials": len(once),
        "models": sorted(once["model"].unique()),
        "datasets": sorted(once["dataset"].unique()),
        "machines": sorted(trials["machine"].dropna().unique()) if "machine" in trials else [],
    }


def _picture(name: str, folder: Path) -> dict[str, Any]:
    """Return a figure's picture for a screen and for a telephone, and its greatest width."""
    svg, narrow = folder / f"{name}.svg", folder / "narrow" / f"{name}.png"
    small = svg.is_file() and svg.stat().st_size <= LARGE_SVG
    return {
        "wide": _embed(_needed(svg if small else folder / f"{name}.png")),
        "narrow": _embed(narrow) if narrow.is_file() else None,
        "widest": _widest(svg),
    }


def _embed(path: Path) -> str:
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _widest(svg: Path) -> int | None:
    """Return the pixels beyond which a figure of one column would be blown up."""
    if not svg.is_file():
        return None
    with svg.open(encoding="utf-8") as file:
        points = re.search(r'<svg [^>]*?width="([\d.]+)pt"', file.read(20_000))
    return round(float(points[1]) * 1.7) if points else None


def _grids(trials: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for name, group in trials.groupby("grid", sort=True):
        counts = group["regime"].value_counts()
        yield {
            "name": name,
            "trials": len(group),
            "regimes": {regime: int(counts.get(regime, 0)) for regime in REGIMES},
            "seeds": group["seed"].nunique(),
            "epochs": int(group["epochs_done"].sum()),
        }


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of a section with its full name."""
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            several = isinstance(value, list | tuple)
            yield f"{prefix}{name}", ", ".join(map(str, value)) if several else value


def _commands(scale: str) -> tuple[tuple[str, str], ...]:
    return (
        ("dvc repro", "every stage that is out of date"),
        (f"dvc exp run -S scale={scale}", "this scale"),
        ("dvc metrics diff <experiment>", "its numbers beside these"),
        ("dvc plots diff HEAD <experiment>", "its curves over these"),
    )


def _installed(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
