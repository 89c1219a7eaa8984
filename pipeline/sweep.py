"""Stage ``sweep@<grid>``: run what the ledger lacks of a grid, then collect its tables."""

import argparse
from pathlib import Path

from adambias.config import load_params
from adambias.core.entry import run_stage
from adambias.ledger.collect import collect
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import is_confirmed
from adambias.sweep import run as sweep


def main() -> None:
    """Run one grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid")
    grid = parser.parse_args().grid
    params = load_params()
    ahead = params.scale.grids if params.scale.resources.train_ahead else ()
    plan = sweep.run(params, [grid], ahead=ahead, confirmed=is_confirmed())
    results = Path("results")
    collect(plan, Ledger.open(params.store), results / "sweeps", results / "times")


if __name__ == "__main__":
    run_stage(main)
