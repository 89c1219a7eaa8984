"""Stage ``network_correction``: the law's memory correction against a network's own."""

import os

from adambias import network_correction
from adambias.config import load_params
from adambias.data import load_dataset
from adambias.errors import ConfigError
from adambias.stage import run_stage


def main() -> None:
    """Chart the correction over networks and hyperparameters."""
    params = load_params()
    settings = params.scale.network_correction
    if settings is None:
        raise ConfigError("network_correction", None, "is missing from the scale's file")
    data = load_dataset(settings.dataset, root=params.data_root)
    network_correction.run(settings, data, "results", workers=os.cpu_count() or 1)


if __name__ == "__main__":
    run_stage(main)
