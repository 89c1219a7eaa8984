"""Stage ``netflow``: the law on a real network."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.data.dataset import load_dataset
from adambias.studies import netflow


def main() -> None:
    """Follow the network's optimizers and their flows."""
    params = load_scale()
    settings = params.scale.netflow
    data = load_dataset(settings.dataset, root=params.data_root)
    netflow.run(settings, data, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
