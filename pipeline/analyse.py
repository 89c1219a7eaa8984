"""Stage ``analyse``: the tables of all grids, trends with intervals, a verdict per claim."""

from adambias.analysis import run as analysis
from adambias.config import load_params
from adambias.core.entry import run_stage


def main() -> None:
    """Merge and analyse the grids' tables."""
    params = load_params()
    analysis.run(params.scale.analyse, "results/sweeps", "results", scale=params.name)


if __name__ == "__main__":
    run_stage(main)
