"""The figures of the law, drawn from the smallest run of their stages."""

import dataclasses
import itertools
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

import adambias as ab
from adambias.config import Figures, load_params
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures import Tables, atlas, fig1, fig2, fig3, flows, order, paths, style
from adambias.figures import netflow as netflow_figure
from adambias.law.convergence import FLOWS, OrderReport
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


def test_the_flows_are_those_of_the_law():
    assert list(flows.ERRORS) == list(FLOWS)
    assert set(flows.ERRORS.values()) <= {field.name for field in dataclasses.fields(OrderReport)}


def looks(ax):
    """Return the kind of each flow that is drawn in a panel, by its line or its marks."""
    known = {to_hex(look["color"]): kind for kind, look in flows.LINES.items()}
    return [known[c] for line in ax.lines if (c := to_hex(line.get_color())) in known]


def test_the_orders_of_ten_rules_stand_apart(tmp_path):
    sizes = [0.6 / 40, 0.6 / 80, 0.6 / 160]
    case = {"loss": "bilinear", "step_sizes": sizes, "horizon": 0.6, "leading_errors": sizes}
    case |= {name: [h**2 for h in sizes] for name in list(flows.ERRORS.values())[1:]}
    case |= flows.ORDERS | {"decays": [0.3, 0.5], "hyperparameters": {}}
    rows = [{**case, "rule": rule} for rule in ("adam", *(f"rule_{n}" for n in range(9)))]
    growing = [case | {"rule": "adam", "hyperparameters": {"rates": [10.0, 5.0]}}]
    batches = case | {"rule": "adam", "moment": None, "moment_errors": None}
    content = {"orders": [*rows, batches], "growing_memory": growing}
    (tmp_path / "bilinear.json").write_text(json.dumps(content))
    with style.use_style("screen"):
        figure = order.draw(Tables(tmp_path, Figures()))
    full, without, grown, every = figure.axes
    plt.close(figure)
    assert looks(full) == looks(grown) == looks(every) == list(flows.KINDS)
    assert looks(without) == list(flows.KINDS[:-1])
    assert grown.get_title(loc="left").endswith("1 − β₁ = 10 h, 1 − β₂ = 5 h")
    marks = [line for line in every.lines if line.get_linestyle() == "None"]
    assert len({line.get_marker() for line in marks}) == 4
    places = [place for line in marks for place in set(line.get_xdata())]
    assert len(places) == 40
    assert np.diff(sorted(places)).min() > 0.15
    assert all(set(line.get_ydata()) == {0} for line in marks)
    assert [label.get_text() for label in every.get_xticklabels()][1] == "rule 0"


def test_the_guides_touch_no_flow(drawn):
    for ax in drawn(order).axes[:-1]:
        low, high = (next(x for x in guides(ax) if x[0] == s)[1] for s in (2, 1))
        errors = [line.get_ydata() for line in ax.lines if line.get_marker() != "None"]
        x = ax.lines[0].get_xdata()
        for values in errors:
            assert (values > np.interp(x, *low)).all()
            assert (values < np.interp(x, *high)).all()


def guides(ax):
    """Return slope and line of the guides of a panel."""
    grey = [line for line in ax.lines if to_hex(line.get_color()) == to_hex(style.FAINT)]
    for line in grey:
        x, y = line.get_xdata(), line.get_ydata()
        yield round(np.log(y[1] / y[0]) / np.log(x[1] / x[0])), (x, y)


@pytest.mark.parametrize("module", [paths, netflow_figure], ids=["paths", "netflow"])
def test_every_flow_has_its_look_in_every_panel(drawn, module):
    figure = drawn(module)
    for ax in figure.axes:
        assert set(looks(ax)) == set(flows.KINDS)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[1:] == list(FLOW_NAMES.values())


def test_the_ratios_of_the_atlas_share_one_scale(drawn, tables):
    figure = drawn(atlas)
    maps = [ax.collections[0] for ax in figure.axes[:4]]
    error, *ratios = maps
    assert len({each.norm for each in ratios}) == len({id(each.cmap) for each in ratios}) == 1
    assert error.norm is not ratios[0].norm
    assert ratios[0].cmap(ratios[0].norm(0.0))[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.02)
    table = tables.frame("atlas.parquet")
    for each, name in zip(ratios, [f"{law}_ratio" for law in LAWS], strict=True):
        grid = table.pivot(index="beta2", columns="beta1", values=name)
        drawn_values = np.ma.filled(each.get_array(), np.nan)
        np.testing.assert_allclose(drawn_values, np.log10(grid.to_numpy()))


def test_captions_take_their_numbers_from_the_tables(tmp_path, tables):
    for name in ("bilinear.json", "netflow.json"):
        content = tables.json(name)
        for row in [*content["orders"], *content.get("growing_memory", [])]:
            row["moment"] = row["moment"] and 3.21
        for row in content.get("practical", []):
            row["distance"] = {"modified": 1.0, "moment": 0.037}.get(row["kind"])
        (tmp_path / name).write_text(json.dumps(content))
    changed = Tables(tmp_path, Figures())
    assert "moment flow 3.21 to 3.21" in order.caption(changed)
    said = netflow_figure.caption(changed)
    assert "moment flow 3.21 to 3.21" in said
    assert "moment flow 3.7% to 3.7%" in said
    assert "resummed memory unknown" in said


def test_a_map_of_better_laws_changes_what_is_said(tmp_path, tables):
    for name in ("bilinear.json", "atlas.parquet"):
        shutil.copy(tables.folder / name, tmp_path)
    table = tables.frame("atlas.parquet").assign(moment_ratio=1 / 250, modified_ratio=4.0)
    table.to_parquet(tmp_path / "atlas.parquet")
    said = atlas.caption(Tables(tmp_path, Figures()))
    assert "the moment flow on 100% of the map, by 250" in said
    assert "the modified flow on 0% of the map, by 0.25" in said


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
def test_colour_blind_readers_tell_the_flows_apart(seen_by):
    colours = [look["color"] for look in flows.LINES.values()]
    assert len(set(flows.MARKERS.values())) == len(colours) == 4
    assert nearest(colours, seen_by) > 10
    assert nearest(colours, np.eye(3)) > 20


def test_a_rainbow_would_not_do():
    assert nearest(style.sequence(10, "turbo"), SEEN_BY["protanopia"]) < 10


@pytest.mark.parametrize("module", [fig2, fig3], ids=["fig2", "fig3"])
def test_level_sets_take_few_vertices(tables, module, tmp_path):
    with style.use_style("screen"):
        (path,) = style.save(module.draw(tables), tmp_path / "figure", "words", ("svg",))
    assert path.stat().st_size < 600_000
    words = " ".join(ET.parse(path).getroot().itertext())
    assert all(word in words for word in ("minima", "smallest norm on the minima", "start"))
