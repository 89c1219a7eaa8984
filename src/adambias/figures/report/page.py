"""The report: one page that needs nothing beside itself, with claims, figures and provenance."""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import importlib.resources
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from adambias.analysis.trends import VERDICTS
from adambias.config import Analyse, ClaimSpec
from adambias.config.analysis import REGIMES
from adambias.core.errors import DataError
from adambias.core.files import write_text

PACKAGES = (
    *("adambias", "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow"),
    *("scikit-learn", "matplotlib", "seaborn", "ray", "mlflow", "dvc"),
)
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
    names = {figure["name"] for figure in figures}
    body = "".join(
        [
            _header(scale, claims, trials),
            "<main>",
            _claims(claims, _shown((analyse or Analyse()).all_claims, names)),
            *(_figures(figures, pictures)),
            _runs(trials),
            _rules(analyse or Analyse()),
            _reproduce(commands or _commands(scale)),
            _versions(trials),
            "</main>",
        ]
    )
    write_text(_page(f"adambias: {scale} scale", body), out)
    return out


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: is missing, run the stages before the report: dvc repro")
    return path


def _page(title: str, body: str) -> str:
    style = importlib.resources.files(__package__).joinpath("page.css").read_text("utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n<footer><p>Made from the tables of <code>results/</code>; the same tables give "
        "the same page.</p></footer>\n"
        "</body>\n</html>\n"
    )


def _header(scale: str, claims: Sequence[Mapping[str, Any]], trials: pd.DataFrame) -> str:
    counts = {word: sum(c["verdict"] == word for c in claims) for word in VERDICTS}
    score = "".join(
        f'<li><b class="{word}">{count}</b> {word}</li>' for word, count in counts.items()
    )
    sections = ("claims", "figures", "trials", "rules", "reproduce", "versions")
    links = "".join(f'<a href="#{name}">{name.capitalize()}</a>' for name in sections)
    once = trials.drop_duplicates("trial")
    data = ", ".join(sorted(once["dataset"].unique()))
    models = ", ".join(sorted(once["model"].unique()))
    computed = any(claim["of"] != "seeds" for claim in claims)
    law = ", and the law on small models" if computed else ""
    return (
        f"<header><h1>On the implicit bias of Adam: evidence at the {escape(scale)} scale</h1>"
        f"<p>{len(once)} full trainings of {escape(models)} on {escape(data)}{law}, held against "
        "what the paper says. Verdicts on its claims:</p>"
        f'<ul class="score">{score}</ul><nav aria-label="Sections">{links}</nav></header>'
    )


_HEADS = ("claim", "claimed", "found", "estimate", "interval", "n", "verdict")


def _claims(claims: Sequence[Mapping[str, Any]], figures: Mapping[str, str]) -> str:
    heads = "".join(f'<th scope="col">{_head(name)}</th>' for name in _HEADS)
    rows = "".join(_claim(claim, figures) for claim in claims)
    return (
        '<section id="claims"><h2>Claims</h2>'
        "<p>The direction that the paper or its theory claims beside the one found here. Trials "
        "that left the oscillation regime, or have no counterpart in the other seeds, are not "
        "used. A verdict follows the "
        '<a href="#rules">rule</a> stated in the parameters before the trainings.</p>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _claim(claim: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    source = escape(claim["source"])
    if figure := figures.get(claim["key"]):
        source = f'<a href="#figure-{figure}">{source}</a>'
    rank = claim["rank_correlation"]
    ranks = f"<small>rank correlation {_number(rank)}</small>" if _adds(rank, claim) else ""
    cells = {
        "claim": f"<div>{escape(claim['sentence'])}<small>{source}</small></div>",
        "claimed": escape(claim["claimed"]),
        "found": escape(claim["found"]),
        "estimate": (
            f"<div>{_number(claim['value'])}<small>{escape(claim['statistic'])}</small>{ranks}</div>"
        ),
        "interval": f"<div>{_interval(claim)}</div>",
        "n": f"<div>{_counted(claim['n'], claim['of'])}{_used(claim)}</div>",
        "verdict": (
            f'<div><span class="verdict {claim["verdict"]}">{claim["verdict"]}</span>'
            f"<small>{escape(claim['reason'])}</small></div>"
        ),
    }
    columns = "".join(
        f'<td data-label="{_head(name)}"{_class(name)}>{cell}</td>' for name, cell in cells.items()
    )
    return f'<tr id="claim-{escape(claim["key"])}">{columns}</tr>'


def _adds(rank: float | None, claim: Mapping[str, Any]) -> bool:
    """Tell whether a rank correlation is there and is not the estimate itself."""
    return rank is not None and rank != claim["value"]


_ONE = {
    "seeds": "seed",
    "cases": "case",
    "trajectories": "trajectory",
    "pairs of decays": "pair of decays",
}


def _counted(n: int, of: str) -> str:
    return escape(f"{n} {_ONE.get(of, of) if n == 1 else of}")


def _used(claim: Mapping[str, Any]) -> str:
    if claim["planned"] is None:
        return ""
    return f"<small>{claim['used']} of {claim['planned']} trials</small>"


def _head(name: str) -> str:
    return name if name == "n" else name.capitalize()


def _class(name: str) -> str:
    return ' class="number"' if name in {"interval", "n"} else ""


def _shown(claims: Mapping[str, ClaimSpec], drawn: set[str]) -> dict[str, str]:
    """Return the figure that shows each claim, where it was drawn."""
    return {key: spec.figure for key, spec in claims.items() if spec.figure in drawn}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _interval(claim: Mapping[str, Any]) -> str:
    if claim["low"] is None or claim["high"] is None:
        return "–"
    words = escape(claim["interval"].split(",")[0])
    return f"{_number(claim['low'])} to {_number(claim['high'])}<small>{words}</small>"


def _figures(figures: Iterable[Mapping[str, Any]], folder: Path) -> Iterator[str]:
    yield '<section id="figures"><h2>Figures</h2>'
    for figure in figures:
        settings = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
            for name, value in figure["settings"].items()
        )
        details = f"<details><summary>Settings</summary><dl>{settings}</dl></details>"
        yield (
            f'<figure id="figure-{escape(figure["name"])}"><h3>{escape(figure["title"])}</h3>'
            f"{_picture(figure, folder)}<figcaption>{escape(figure['caption'])}"
            f"{details if settings else ''}</figcaption></figure>"
        )
    yield "</section>"


def _picture(figure: Mapping[str, Any], folder: Path) -> str:
    name = figure["name"]
    wide = folder / f"{name}.svg"
    if not wide.is_file() or wide.stat().st_size > LARGE_SVG:
        wide = folder / f"{name}.png"
    narrow = folder / "narrow" / f"{name}.png"
    source = (
        f'<source media="(max-width: 760px)" srcset="{_embed(narrow)}">' if narrow.is_file() else ""
    )
    alt = escape(figure["alt"])
    limit = _widest(folder / f"{name}.svg")
    return f'<picture>{source}<img alt="{alt}"{limit} src="{_embed(_needed(wide))}"></picture>'


def _widest(svg: Path) -> str:
    """Keep a figure of one column from being blown up to the page's width."""
    if not svg.is_file():
        return ""
    with svg.open(encoding="utf-8") as file:
        points = re.search(r'<svg [^>]*?width="([\d.]+)pt"', file.read(20_000))
    return f' style="max-width:{float(points[1]) * 1.7:.0f}px"' if points else ""


def _embed(path: Path) -> str:
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _runs(trials: pd.DataFrame) -> str:
    rows = []
    for grid, group in trials.groupby("grid", sort=True):
        counts = group["regime"].value_counts()
        cells: dict[str, object] = {
            "grid": f"<code>{escape(str(grid))}</code>",
            "trials": len(group),
            **{str(regime): int(counts.get(regime, 0)) for regime in REGIMES},
            "seeds": group["seed"].nunique(),
            "epochs": f"{int(group['epochs_done'].sum()):,}",
            "hours": f"{group['seconds'].sum() / 3600:.2f}",
        }
        rows.append(
            "".join(f'<td data-label="{k.capitalize()}">{v}</td>' for k, v in cells.items())
        )
    heads = ("grid", "trials", *REGIMES, "seeds", "epochs", "hours")
    head = "".join(f'<th scope="col">{name.capitalize()}</th>' for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        '<section id="trials"><h2>Trials</h2><p>Every trial of every grid by the regime of its '
        "loss; a trial that several grids share counts in each. Hours are of training, summed "
        f"over trials.</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</section>"
    )


def _rules(settings: Analyse) -> str:
    def entries(section: Any, prefix: str = "") -> Iterator[str]:
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if field.name == "claims":
                continue
            if dataclasses.is_dataclass(value):
                yield from entries(value, f"{prefix}{field.name}.")
            else:
                yield f"<dt><code>{prefix}{field.name}</code></dt><dd>{escape(str(value))}</dd>"

    verdict = settings.verdict
    return (
        '<section id="rules"><h2>Rules</h2><p>A claim of a trend <b>agrees</b> if the '
        f"{settings.interval.level:.0%} interval of the change across the grid excludes zero on "
        "the claimed side and the change is at least the smallest that counts: "
        f"{verdict.norm_effect:g} of the mean excess over p√ε for the norm, "
        f"{verdict.accuracy_effect:g} for the accuracy. It <b>disagrees</b> if the same holds on "
        f"the other side. Everything else, and fewer than {verdict.seeds} seeds, is "
        "<b>inconclusive</b>. Each seed gives one slope; the interval is the wider of the "
        "bootstrap over seeds and Student's t. Only trials in the oscillation regime count.</p>"
        f"<details><summary>All thresholds, section <code>analyse</code></summary>"
        f"<dl>{''.join(entries(settings))}</dl></details></section>"
    )


def _commands(scale: str) -> tuple[tuple[str, str], ...]:
    return (
        ("make reproduce", "set up, then every stage that is out of date"),
        (f"dvc exp run -S scale={scale}", "this scale"),
        ("dvc metrics diff <experiment>", "its numbers beside these"),
        ("dvc plots diff HEAD <experiment>", "its curves over these"),
    )


def _reproduce(commands: Iterable[tuple[str, str]]) -> str:
    lines = "".join(
        f"<dt><code>{escape(command)}</code></dt><dd>{escape(words)}</dd>"
        for command, words in commands
    )
    return (
        '<section id="reproduce"><h2>Reproduce</h2><p>From the root of the project, on a machine '
        f'with Python, git and make:</p><dl class="commands">{lines}</dl>'
        "<p>Trainings that the ledger holds are not run again.</p></section>"
    )


def _versions(trials: pd.DataFrame) -> str:
    rows = [f"<dt>Python</dt><dd>{platform.python_version()}</dd>"]
    rows += [f"<dt>{name}</dt><dd>{escape(v)}</dd>" for name, v in _installed(PACKAGES)]
    machines = sorted(trials["machine"].dropna().unique()) if "machine" in trials else []
    trained = "; ".join(escape(str(machine)) for machine in machines) or "not recorded"
    return (
        '<section id="versions"><h2>Versions</h2><p>The analysis ran with these; the trainings '
        f"on: {trained}.</p><dl>{''.join(rows)}</dl></section>"
    )


def _installed(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
