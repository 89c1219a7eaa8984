"""Stage ``analyse``: the tables of all grids, trends with intervals, a verdict per claim."""

import shlex

from adambias.analysis import run as analysis
from adambias.config import load_params
from adambias.core.entry import run_stage


def main() -> None:
    """Merge and analyse the grids' tables."""
    params = load_params()
    scale, sweeps = params.scale, "results/sweeps"
    for folder in analysis.leftovers(sweeps, scale.grids):
        remove = shlex.join(["rm", "-rf", str(folder), f"results/times/{folder.name}.parquet"])
        print(
            f"{folder}: no grid of scale {params.name} is called {folder.name}, so it does not "
            f"count; remove it with {remove}"
        )
    analysis.run(
        *(scale.analyse, sweeps, "results"),
        scale=params.name,
        grids=scale.grids,
        law=scale.of_law,
    )


if __name__ == "__main__":
    run_stage(main)
