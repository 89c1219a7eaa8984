from pathlib import Path

import pytest
import synthetic

from adambias import analysis, figures
from adambias.config import Analyse, Figures


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every grid, with the paper's trends put in."""
    root = tmp_path_factory.mktemp("results")
    synthetic.write_sweeps(root / "sweeps", synthetic.grids())
    analysis.run(Analyse(), root / "sweeps", root, scale="made-up")
    return root


@pytest.fixture(scope="session")
def pictures(results: Path) -> Path:
    """Every figure that these results allow, without the paper's sizes."""
    out = results / "figures"
    figures.run(Figures(formats=("png", "svg")), results, out)
    return out
