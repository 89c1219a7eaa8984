"""Stage ``evidence@<scale>``: tables, verdicts, figures and report of trainings made elsewhere."""

import argparse
from pathlib import Path

from adambias.config import load_scale
from adambias.core.entry import run_stage
from adambias.core.processes import cores
from adambias.figures.report import evidence


def main() -> None:
    """Analyse the ledger kept under ``results/<scale>/``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scale")
    scale = parser.parse_args().scale
    params = load_scale(scale=scale)
    evidence.run(params, Path("results") / scale, workers=cores())


if __name__ == "__main__":
    run_stage(main)
