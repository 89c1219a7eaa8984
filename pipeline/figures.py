"""Stage ``figures``: every figure, from tables only."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.figures import run as figures


def main() -> None:
    """Draw what the tables allow."""
    figures.run(load_scale().scale.figures, "results", "figures", workers=cores())


if __name__ == "__main__":
    run_stage(main)
