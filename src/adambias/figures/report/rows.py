"""What the report and the tables of kept evidence say of the rows of ``claims.json``."""

from __future__ import annotations

from adambias.analysis.claims.claim import Row
from adambias.analysis.trends import spans

_NOT_FOUND = {"inconclusive": "unresolved", "not testable": "–"}
_ONES = {
    "cases": "case",
    "trajectories": "trajectory",
    "pairs of decays": "pair of decays",
}


def readings(claim: Row) -> list[tuple[str, Row]]:
    """Return a claim's other readings, each with its name; one without a name has its key's."""
    return [(row["name"] or key, row) for key, row in claim["readings"].items()]


def found(row: Row) -> str:
    """Return the direction that was found, but only where the verdict rests on it."""
    return str(_NOT_FOUND.get(row["verdict"], row["found"]))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits, a dash for one that is absent."""
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−")


def interval(row: Row, digits: int = 3) -> str:
    """Return the bounds of an estimate, nothing if it has none."""
    low, high = (number(row[bound], digits) for bound in ("low", "high"))
    return "" if "–" in (low, high) else f"[{low}, {high}]"


def estimate(row: Row, digits: int = 3) -> str:
    """Return an estimate with its interval: ``0.083 [0.052, 0.114]``."""
    return f"{number(row['value'], digits)} {interval(row, digits)}".rstrip()


def counted(row: Row) -> str:
    """Return how many of what an estimate rests on: ``12 cases``."""
    of = row["of"]
    return f"{row['n']} {_ONES.get(of, of) if row['n'] == 1 else of}"


def seeds(row: Row) -> str:
    """Return which seeds an estimate rests on: ``seeds 10 to 15``."""
    several = "s" if len(row["seeds"]) > 1 else ""
    return f"seed{several} {spans(row['seeds'])}" if row["seeds"] else "no seed"
