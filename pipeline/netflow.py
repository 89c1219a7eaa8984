"""Stage ``netflow``: the law on a real network."""

import os

from adambias import netflow
from adambias.config import load_params
from adambias.data import load_dataset
from adambias.errors import ConfigError
from adambias.stage import run_stage


def main() -> None:
    """Follow the network's optimizers and their flows."""
    params = load_params()
    settings = params.scale.netflow
    if settings is None:
        raise ConfigError("netflow", None, "is missing from the scale's file")
    data = load_dataset(settings.dataset, root=params.data_root)
    netflow.run(settings, data, "results", workers=os.cpu_count() or 1)


if __name__ == "__main__":
    run_stage(main)
