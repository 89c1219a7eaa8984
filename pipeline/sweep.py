"""Stage ``sweep@<grid>``: run what the ledger lacks of a grid, then collect its tables."""

import argparse
from pathlib import Path

from adambias import sweep
from adambias.config import load_params
from adambias.ledger import Ledger
from adambias.plan import is_confirmed
from adambias.stage import run_stage
from adambias.tables import collect


def main() -> None:
    """Run one grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid")
    grid = parser.parse_args().grid
    params = load_params()
    ahead = params.scale.grids if params.scale.resources.train_ahead else ()
    plan = sweep.run(params, [grid], ahead=ahead, confirmed=is_confirmed())
    collect(plan, Ledger.open(params.store), Path("results/sweeps"))


if __name__ == "__main__":
    run_stage(main)
