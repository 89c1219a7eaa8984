"""What figures and their captions say of the claims that they show, from ``claims.json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from adambias.config.claims import PAPER_RULE, claims_of
from adambias.figures.tables import Tables

_UNDECIDED = {"inconclusive": "unresolved", "not testable": "not testable"}


def readings(tables: Tables, key: str, between: str = ", ") -> dict[str, str]:
    """Say which way a claim goes and which way it goes here, by statistic, the deciding one first.

    ``between`` stands between the two. Claims are judged on the paper's rule alone, see
    :func:`whose`.
    """
    claim = _claims(tables).get(key)
    if claim is None:
        return {}
    every = {claim["decided_by"]: claim, **claim["readings"]}
    return {
        name: f"claimed: {reading['claimed']}{between}here: {_found(reading)}"
        for name, reading in every.items()
    }


def whose(tables: Tables, grids: Iterable[str]) -> str:
    """Say whose trainings the claims on some grids are judged on, nothing where all are."""
    trials = tables.frame("trials.parquet", ["grid", "rule"])
    rules = trials.loc[trials["grid"].isin(list(grids)), "rule"]
    return "" if (rules == PAPER_RULE).all() else f"of {PAPER_RULE} alone"


def of_figure(tables: Tables, figure: str) -> str:
    """Say for a caption what a figure's claims say and what was found, and why if unresolved.

    The numbers are those of the deciding statistic, with their interval.
    """
    claims, specs = _claims(tables), claims_of(figure)
    said = "; ".join(
        f"{spec.label}, {next(iter(readings(tables, key).values()))}{_numbers(claims[key])}"
        for key, spec in specs.items()
        if key in claims
    )
    judged = whose(tables, (grid for spec in specs.values() for grid in spec.grids))
    return f"{judged}: {said}" if judged else said


def loss_window(tables: Tables, figure: str) -> tuple[float, float] | None:
    """Return the training losses between which norms are compared, as fractions of the start.

    They stand in the words of a claim's statistic alone; None if those do not give them.
    """
    claims = _claims(tables)
    words = " ".join(claims[key]["statistic"] for key in claims_of(figure) if key in claims)
    found = re.search(r"between (\S+) and (\S+) of its start", words)
    return (float(found[1]), float(found[2])) if found else None


def _claims(tables: Tables) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in tables.json("claims.json")}


def _found(reading: Mapping[str, Any]) -> str:
    """Name the direction that was found, but only where the verdict rests on it."""
    verdict = reading["verdict"]
    return _UNDECIDED.get(verdict, f"{reading['found']} ({verdict})")


def _numbers(claim: Mapping[str, Any]) -> str:
    """Return a claim's number with its interval, and the reason where it is undecided."""
    value, low, high = (claim[name] for name in ("value", "low", "high"))
    number = ""
    if value is not None:
        bounds = "" if low is None or high is None else f" [{low:.2g}, {high:.2g}]"
        number = f", {value:.2g}{bounds}".replace("-", "−")
    return number + (f" – {claim['reason']}" if claim["verdict"] in _UNDECIDED else "")
