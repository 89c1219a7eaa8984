"""Stage ``reach``: how far each law holds on networks."""

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.data.dataset import load_dataset
from adambias.studies import reach


def main() -> None:
    """Follow optimizers and their flows over networks and hyperparameters."""
    params = load_scale()
    settings = params.scale.reach
    data = {name: load_dataset(name, root=params.data_root) for name in settings.datasets}
    reach.run(settings, data, "results", workers=cores())


if __name__ == "__main__":
    run_stage(main)
