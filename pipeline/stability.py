"""Stage ``stability``: curvature over the threshold of stability."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.data.dataset import load_dataset
from adambias.studies import stability


def main() -> None:
    """Train with some rules and measure the curvature."""
    params = load_scale()
    settings = params.scale.stability
    data = {name: load_dataset(name, root=params.data_root) for name in settings.datasets}
    stability.run(settings, data, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
