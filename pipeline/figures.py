"""Stage ``figures``: every figure, from tables only."""

from adambias import figures
from adambias.config import load_params
from adambias.parallel import cores
from adambias.stage import run_stage


def main() -> None:
    """Draw what the tables allow."""
    figures.run(load_params().scale.figures, "results", "figures", workers=cores())


if __name__ == "__main__":
    run_stage(main)
