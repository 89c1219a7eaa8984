"""Stage ``prepare``: the scale's datasets as verified arrays in ``data/``."""

from adambias.config import load_params
from adambias.core.entry import run_stage
from adambias.data.preparation import prepare


def main() -> None:
    """Prepare every dataset the scale names."""
    params = load_params()
    for name, spec in params.datasets.items():
        prepare(name, spec, params.data_root)


if __name__ == "__main__":
    run_stage(main)
