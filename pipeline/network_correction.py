"""Stage ``network_correction``: the law's memory correction against a network's own."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.data.dataset import load_dataset
from adambias.studies import network_correction


def main() -> None:
    """Chart the correction over networks and hyperparameters."""
    params = load_scale()
    settings = params.scale.network_correction
    data = load_dataset(settings.dataset, root=params.data_root)
    network_correction.run(settings, data, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
