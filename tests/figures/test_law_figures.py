"""The figures of the law, drawn from the smallest run of their stages."""

import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

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


@pytest.fixture
def drawn(tables):
    """Draw a module on the screen."""

    def draw(module):
        plt.switch_backend("agg")
        with style.use_style("screen"):
            figure = module.draw(tables)
            figure.canvas.draw()
        return figure

    yield draw
    plt.close("all")


def test_the_curves_of_figure_1_fill_its_panels(drawn):
    far, near = drawn(fig1).axes
    low, high = far.get_ylim()
    heights = np.concatenate([line.get_ydata() for line in far.lines])
    assert np.ptp(heights) > 0.85 * (high - low)
    legend = far.get_legend().get_window_extent()
    for line in far.lines:
        assert not any(
            legend.contains(*at) for at in line.get_transform().transform(line.get_xydata())
        )
    bottom, top = near.get_ylim()
    humps = [line.get_ydata().max() for line in near.lines if len(line.get_xydata()) > 2]
    assert len(humps) == len(far.get_legend().get_texts())
    assert 0.05 < min(humps) / (top - bottom) < 0.5, "the flattest curve is seen to rise"


def test_ten_rules_have_each_its_colour_marker_and_place(tmp_path):
    sizes = [0.6 / 40, 0.6 / 80, 0.6 / 160]
    case = {"loss": "bilinear", "step_sizes": sizes, "horizon": 0.6}
    case |= {"modified_errors": [h**2 for h in sizes], "leading_errors": sizes}
    rows = [{**case, "rule": f"rule {number}"} for number in range(10)]
    (tmp_path / "bilinear.json").write_text(json.dumps({"orders": rows}))
    with style.use_style("screen"):
        figure = order.draw(Tables(tmp_path, Figures()))
    marked = [line for line in figure.axes[0].lines if line.get_marker() in order.MARKERS]
    plt.close(figure)
    solid, dashed = ([m for m in marked if m.get_linestyle() == kind] for kind in ("-", "--"))
    for look in (
        lambda m: to_hex(m.get_color()),
        lambda m: m.get_marker(),
        lambda m: m.get_xdata()[0],
    ):
        assert len({look(line) for line in solid}) == 10
        assert [look(line) for line in solid] == [look(line) for line in dashed]


SEEN_BY = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""From linear RGB to what is seen: Machado, Oliveira & Fernandes (2009), severity 1."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(1)


def nearest(colours, seen_by):
    """Return the smallest distance of two colours in CIELAB, as somebody sees them."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratios = np.clip(linear @ np.array(seen_by).T, 0, 1) @ TO_XYZ.T / WHITE
    f = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    lab = np.stack([116 * f[:, 1], 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    return min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2))


@pytest.mark.parametrize("seen_by", SEEN_BY.values(), ids=SEEN_BY)
def test_colour_blind_readers_tell_the_colours_of_ten_rules_apart(seen_by):
    assert len(order.PALETTE) == len(set(order.MARKERS)) == 10
    assert nearest(order.PALETTE, seen_by) > 10
    assert nearest(order.PALETTE, np.eye(3)) > 20


def test_a_rainbow_would_not_do():
    assert nearest(style.sequence(10, "turbo"), SEEN_BY["protanopia"]) < 10


@pytest.mark.parametrize("module", [fig2, fig3], ids=["fig2", "fig3"])
def test_level_sets_take_few_vertices(tables, module, tmp_path):
    with style.use_style("screen"):
        (path,) = style.save(module.draw(tables), tmp_path / "figure", "words", ("svg",))
    assert path.stat().st_size < 600_000
    words = " ".join(ET.parse(path).getroot().itertext())
    assert all(word in words for word in ("minima", "smallest norm on the minima", "start"))
