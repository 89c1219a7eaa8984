"""The figures of the law, drawn from the smallest run of their stages."""

import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import adambias as ab
from adambias.config import Figures, load_params
from adambias.figures import Tables, atlas, fig1, fig2, fig3, order, paths, style
from adambias.figures import netflow as netflow_figure
from adambias.studies import bilinear, netflow

DRAWN = {
    "fig1": fig1,
    "fig2": fig2,
    "fig3": fig3,
    "order": order,
    "atlas": atlas,
    "paths": paths,
    "netflow": netflow_figure,
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    scale = load_params(Path(__file__).parents[2] / "params.yaml", "smoke").scale
    folder = tmp_path_factory.mktemp("law")
    bilinear.run(scale.bilinear, folder)
    data = ab.load_dataset("digits", train_size=60, test_size=60, root=folder)
    netflow.run(scale.netflow, data, folder)
    return Tables(folder, Figures())


@pytest.mark.parametrize("medium", ["paper", "narrow"])
@pytest.mark.parametrize("module", DRAWN.values(), ids=DRAWN)
def test_every_medium_has_its_width_and_no_text_outside(tables, module, medium):
    plt.switch_backend("agg")
    with style.use_style(medium):
        figure = module.draw(tables)
        figure.canvas.draw()
    width, box = figure.get_size_inches()[0], figure.get_tightbbox()
    plt.close(figure)
    assert width in (style.MEDIA[medium].column, style.MEDIA[medium].page)
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05


@pytest.mark.parametrize("module", [fig2, fig3], ids=["fig2", "fig3"])
def test_level_sets_take_few_vertices(tables, module, tmp_path):
    with style.use_style("screen"):
        (path,) = style.save(module.draw(tables), tmp_path / "figure", "words", ("svg",))
    assert path.stat().st_size < 600_000
    words = " ".join(ET.parse(path).getroot().itertext())
    assert all(word in words for word in ("minima", "smallest norm on the minima", "start"))
