"""Stage ``figures``: every figure, from tables only."""

from adambias.config import load_params
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.figures import run as figures


def main() -> None:
    """Draw what the tables allow."""
    scale = load_params().scale
    figures.run(scale.figures, "results", "figures", names=scale.drawn, workers=cores())


if __name__ == "__main__":
    run_stage(main)
