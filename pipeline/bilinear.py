"""Stage ``bilinear``: the law against the optimizers on the bilinear model, figures 1 to 3."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.studies import bilinear


def main() -> None:
    """Compute trajectories, errors, orders and the atlas."""
    bilinear.run(load_scale().scale.bilinear, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
