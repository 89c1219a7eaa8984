"""Stage ``cause``: what the predicted memory term does to a training."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.data.dataset import load_dataset
from adambias.studies import cause


def main() -> None:
    """Train with the term, without it, and with it taken away."""
    params = load_scale()
    settings = params.scale.cause
    data = {name: load_dataset(name, root=params.data_root) for name in settings.datasets}
    cause.run(settings, data, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
