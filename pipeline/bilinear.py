"""Stage ``bilinear``: the law against the optimizers on the bilinear model, figures 1 to 3."""

from adambias import bilinear
from adambias.config import load_params
from adambias.parallel import cores
from adambias.stage import run_stage


def main() -> None:
    """Compute trajectories, errors, orders and the atlas."""
    bilinear.run(load_params().scale.bilinear, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
