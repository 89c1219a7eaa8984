"""``adambias follow``: an optimizer and its flows side by side on a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from adambias.cli.notes import open_console
from adambias.config import Params, Trial
from adambias.config.trial import TRIAL_FIELDS, gather, is_field, layered
from adambias.core.errors import ConfigError, choose_from
from adambias.core.files import write_parquet
from adambias.core.flows import FLOW_NAMES
from adambias.core.shown import shown
from adambias.core.validation import build
from adambias.data.dataset import load_dataset
from adambias.training.following import COLUMNS, OPTIMIZER, follow

SHOWN = 10
"""Steps that are printed."""


def trial_from(params: Params, assignments: Sequence[str]) -> Trial:
    """Return the scale's trial with some fields set, each as ``field=value`` in YAML."""
    fields = dict(params.scale.trial)
    for each in assignments:
        name, sign, text = each.partition("=")
        if not sign:
            raise ConfigError("--set", each, "must be FIELD=VALUE, such as beta1=0.9")
        if not is_field(name):
            raise ConfigError("--set", name, choose_from(TRIAL_FIELDS, name))
        try:
            fields = layered(fields, {name: YAML(typ="safe").load(text)})
        except YAMLError:
            raise ConfigError(f"--set {name}", text, "is not a YAML value") from None
    return build(Trial, gather(fields))


def run(
    params: Params,
    trial: Trial,
    laws: Sequence[str],
    *,
    out: Path | None,
    every: int,
    substeps: int,
    device: str | None,
) -> None:
    """Follow, print a table of what is seen, and write all rows to ``out``."""
    data, console = load_dataset(trial.dataset, root=params.data_root), open_console()
    rows: list[dict[str, Any]] = []
    steps = follow(trial, data, laws, every=every, substeps=substeps, device=device)
    title, seen = f"follow: {trial.model} on {trial.dataset}", len(range(0, trial.epochs, every))
    try:
        with shown(title, seen) as advance:
            for step in steps:
                rows += step
                for line in _blown_up(step):
                    console.print(line)
                advance()
    finally:
        # What was computed until Ctrl-C is kept too.
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        if out is not None and rows:
            write_parquet(table, out)
    console.print(_summary(table))
    if out is not None:
        console.print(f"{len(table)} rows in {out}")


def _blown_up(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["travelled"] != row["travelled"]:
            name = FLOW_NAMES.get(row["law"], row["law"])
            yield f"{name}: left the finite numbers at step {row['n']}"


def _summary(table: pd.DataFrame) -> Table:
    """Return loss and one-norm of the optimizer, and of each law over the optimizer's."""
    laws = [law for law in table["law"].unique() if law != OPTIMIZER]
    shown = Table(box=None, pad_edge=False)
    for title in ("step", "loss", "one-norm", *(f"{law}: loss, norm, distance" for law in laws)):
        shown.add_column(title, justify="right")
    steps = sorted(table["n"].unique())
    for n in steps[:: max(1, len(steps) // SHOWN)]:
        at = table[table["n"] == n].set_index("law")
        base = at.loc[OPTIMIZER]
        cells = [str(n), f"{base['train_loss']:.4g}", f"{base['one_norm']:.4g}"]
        for law in laws:
            if law not in at.index:
                cells.append("–")
                continue
            row = at.loc[law]
            loss, norm = (row[c] / base[c] - 1 for c in ("train_loss", "one_norm"))
            cells.append(f"{loss:+.1%} {norm:+.1%} {row['distance']:.3g}")
        shown.add_row(*cells)
    return shown
