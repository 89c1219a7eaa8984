"""Stage ``needs``: for each stage that reads data, which datasets it reads, by their digests."""

from pathlib import Path

from adambias.config import load_params
from adambias.core.entry import run_stage
from adambias.core.files import write_json
from adambias.data.manifest import prepared_digest


def main() -> None:
    """Write what each stage depends on in place of all that is prepared."""
    params = load_params()
    for stage, names in params.scale.needs().items():
        prepared = params.scale.prepare.datasets
        digests = {name: prepared_digest(name, prepared[name], params.data_root) for name in names}
        write_json(digests, Path("results/data") / f"{stage}.json")


if __name__ == "__main__":
    run_stage(main)
