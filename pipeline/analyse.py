"""Stage ``analyse``: the tables of all grids, trends with intervals, a verdict per claim."""

from adambias import analysis
from adambias.config import load_params
from adambias.stage import run_stage


def main() -> None:
    """Merge and analyse the grids' tables."""
    analysis.run(load_params().scale.analyse, "results/sweeps", "results")


if __name__ == "__main__":
    run_stage(main)
