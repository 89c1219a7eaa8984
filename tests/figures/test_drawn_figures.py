import itertools
import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from adambias.analysis import run as analysis
from adambias.analysis.hills import tops_the_hill
from adambias.config import Analyse, Figures
from adambias.config.figures import QUANTITIES
from adambias.figures import (
    Tables,
    fig4,
    fig5,
    fig6,
    h,
    loss_curves,
    norm_accuracy,
    regime_map,
    style,
    words,
)
from adambias.figures import run as figures

DRAWN = {
    "fig4": fig4,
    "fig5": fig5,
    "fig6": fig6,
    "h": h,
    "regime_map": regime_map,
    "loss_curves": loss_curves,
    "norm_accuracy": norm_accuracy,
}


@pytest.fixture
def draw(results):
    """Draw a figure module in the style, on the screen or another medium."""
    plt.switch_backend("agg")

    def drawn(module, medium="screen", folder=results, settings=Figures()):  # noqa: B008
        with style.use_style(medium):
            figure = module.draw(Tables(folder, settings))
            figure.canvas.draw()
        return figure

    yield drawn
    plt.close("all")


def lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def areas(ax, gid):
    return [area for area in ax.collections if area.get_gid() == gid]


def inside_of(ax, tick):
    low, high = sorted(ax.get_xlim())
    return low <= tick.get_position()[0] <= high


def titles(axes):
    return [ax.get_title(loc="left") for ax in axes]


@pytest.fixture
def judged(results, tmp_path):
    """Copy the results, with other verdicts on claims and their readings."""

    def changed(verdicts):
        folder = shutil.copytree(results, tmp_path / "judged")
        rows = json.loads((folder / "claims.json").read_text())
        for row in rows:
            for reading, of in {**row["readings"], row["decided_by"]: row}.items():
                of["verdict"] = verdicts.get((row["key"], reading), of["verdict"])
        (folder / "claims.json").write_text(json.dumps(rows))
        return folder

    return changed


@pytest.mark.parametrize(
    ("module", "ticks"),
    [(fig4, ["0.9", "0.95", "0.98", "0.99", "0.999"]), (fig5, ["0.5", "0.8", "0.9", "0.95"])],
)
def test_figures_4_and_5_show_what_decides_first_with_seeds_mean_and_band(draw, module, ticks):
    axes = draw(module).axes
    assert [ax.get_ylabel() for ax in axes] == [
        "norm at equal progress\n(excess, powers of ten)",
        "highest norm\n(excess, powers of ten)",
        "late test accuracy\n(fraction)",
    ]
    for ax in axes:
        assert len(lines(ax, "seed")) == 8
        assert len(lines(ax, "mean")) == 1
        assert len(areas(ax, "band")) == 1
        assert [t.get_text() for t in ax.get_xticklabels()] == ticks


@pytest.mark.parametrize("module", [fig4, fig5, h], ids=["fig4", "fig5", "h"])
def test_no_band_is_cut_at_the_frame(draw, module):
    for ax in draw(module).axes:
        low, high = ax.get_ylim()
        for band in areas(ax, "band"):
            heights = band.get_paths()[0].vertices[:, 1]
            assert low < heights.min()
            assert heights.max() < high


@pytest.mark.parametrize("quantity", ["progress", "peak", "accuracy"])
def test_lines_of_seeds_differ_within_seeds_alone(draw, results, quantity):
    ax = draw(fig4).axes[["progress", "peak", "accuracy"].index(quantity)]
    middles = [line.get_ydata().mean() for line in lines(ax, "seed")]
    trials = pd.read_parquet(results / "trials.parquet").query("grid == 'beta2'")
    whole = trials.groupby("seed")[QUANTITIES[quantity]].mean()
    assert np.ptp(whole) > 1e-4
    assert middles == pytest.approx([whole.mean()] * 8)


def test_the_mean_is_that_of_the_table(draw, results):
    means = pd.read_parquet(results / "means.parquet").query("grid == 'beta2'")
    for ax, quantity in zip(draw(fig4).axes, ("progress", "peak", "accuracy"), strict=True):
        (mean,) = lines(ax, "mean")
        assert list(mean.get_ydata()) == pytest.approx(means[f"{quantity}_within"].tolist())
        assert [1 - x for x in mean.get_xdata()] == pytest.approx(means["value"].tolist())


def test_figure_4_has_the_papers_direction_beside_ours_and_says_n(draw):
    figure = draw(fig4)
    rises, falls = (f"claimed: {word}\nhere: {word} (agrees)" for word in ("rises", "falls"))
    assert titles(figure.axes) == [rises, rises, falls]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("one seed, shifted to the common mean", "mean over seeds, n = 8", "its 95 % interval")
    ]


def test_a_direction_stands_only_where_the_verdict_rests_on_it(draw, judged):
    folder = judged(
        {
            ("fig4_norm", "progress"): "inconclusive",
            ("fig4_norm", "peak"): "not testable",
            ("fig4_accuracy", "accuracy"): "disagrees",
        }
    )
    assert titles(draw(fig4, folder=folder).axes) == [
        "claimed: rises\nhere: unresolved",
        "claimed: rises\nhere: not testable",
        "claimed: falls\nhere: falls (disagrees)",
    ]
    caption = fig4.caption(Tables(folder, Figures()))
    assert re.search(
        r"norm, claimed: rises, here: unresolved, 0\.\d+ \[0\.\d+, 0\.\d+\] – ", caption
    )
    assert "here: rises" not in caption


def test_a_seed_without_a_number_at_some_value_is_not_drawn_and_the_caption_says_so(draw, tmp_path):
    trials = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=3)
    lacking = [t for t in trials if (t.seed, t.beta2) != (0, 0.9)]
    synthetic.write_sweeps(tmp_path / "sweeps", {"beta2": lacking})
    analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")
    figure = draw(fig4, folder=tmp_path)
    assert [len(lines(ax, "seed")) for ax in figure.axes] == [2, 2, 2]
    assert "mean over seeds, n = 2" in [t.get_text() for t in figure.legends[0].get_texts()]
    caption = fig4.caption(Tables(tmp_path, Figures()))
    assert "not drawn: 1 of 3 in (a), 1 of 3 in (b), 1 of 3 in (c)." in caption


def test_figure_6_has_the_norm_against_the_epoch_and_against_the_loss(draw, results):
    axes = draw(fig6).axes
    assert titles(axes) == [
        f"{reading}, claimed: {word}, here: {word} (agrees)"
        for reading in ("height of the hills", "at equal progress")
        for word in ("rises", "falls")
    ]
    sides = (("β₂", ["0.9", "0.98", "0.999"]), ("β₁", ["0.5", "0.8", "0.9"])) * 2
    for ax, (symbol, values) in zip(axes, sides, strict=True):
        assert ax.get_legend().get_title().get_text() == symbol
        assert [t.get_text() for t in ax.get_legend().get_texts()] == values
        assert len(lines(ax, "mean")) == 3
        assert len(areas(ax, "band")) == 3
        assert "n = 8" in [text.get_text() for text in ax.texts]
    for ax in axes[:2]:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "norm\n(powers of ten)")
        assert len(lines(ax, "seed")) == 24
    for ax in axes[2:]:
        assert ax.get_xlabel() == "training loss (fraction of its start)"
        assert ax.get_ylabel() == "norm at equal loss\n(excess, powers of ten)"
        assert (ax.get_xscale(), ax.xaxis_inverted()) == ("log", True)


def test_figure_6_marks_the_tops_of_the_hills(draw, results):
    trials = pd.read_parquet(results / "trials.parquet")
    for ax, grid in zip(draw(fig6).axes[:2], ("hills_beta2", "hills_beta1"), strict=True):
        hills = trials[(trials["grid"] == grid) & trials["has_hill"]]
        expected = sorted(zip(hills["hill_epoch"], np.log10(hills["hill_norm"]), strict=True))
        found = sorted(tuple(point) for marks in lines(ax, "hill") for point in marks.get_xydata())
        assert np.array(found) == pytest.approx(np.array(expected))


def test_figure_6_shades_the_losses_at_which_norms_are_compared(draw, results, tmp_path):
    settings = replace(synthetic.SETTINGS, loss_window=(0.1, 0.5))
    analysis.run(settings, results / "sweeps", tmp_path, scale="made-up")
    for folder, (low, high) in ((results, (0.2, 0.7)), (tmp_path, (0.1, 0.5))):
        (window,) = [p for p in draw(fig6, folder=folder).axes[3].patches if p.get_gid()]
        ends = sorted((window.get_x(), window.get_x() + window.get_width()))
        assert ends == pytest.approx([low, high])


def test_figure_6_says_which_panel_is_empty(draw, tmp_path):
    grids = {"hills_beta1": synthetic.trials_of({"beta1": [0.5, 0.9]}, epochs=40)}
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")
    for ax in draw(fig6, folder=tmp_path).axes[::2]:
        assert "hills_beta2" in " ".join(text.get_text() for text in ax.texts)


def test_each_side_of_the_step_size_figure_looks_the_same_in_every_panel(draw):
    figure = draw(h)
    sides = [("#0173b2", "o"), ("#d55e00", "s")]
    for ax in figure.axes:
        means = {line.get_label(): line for line in lines(ax, "mean")}
        assert list(means) == ["β₁ = 0.9, β₂ = 0.5", "β₁ = 0.9, β₂ = 0.99"]
        assert [(to_hex(m.get_color()), m.get_marker()) for m in means.values()] == sides
        seeds = {(to_hex(seed.get_color()), seed.get_marker()) for seed in lines(ax, "seed")}
        assert seeds == set(sides)
        assert ax.get_xlabel() == "step size h"


def test_the_step_size_figure_has_both_claims_above_both_norms(draw, judged):
    folder = judged({("h_penalised", "peak"): "inconclusive"})
    figure = draw(h, folder=folder)
    below = "β₁ < β₂ claimed: rises, here: rises (agrees)"
    assert titles(figure.axes) == [
        f"β₁ ≥ β₂ claimed: falls, here: falls (agrees)\n{below}",
        f"β₁ ≥ β₂ claimed: falls, here: unresolved\n{below}",
        "",
    ]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == [
        *("β₁ = 0.9, β₂ = 0.5", "β₁ = 0.9, β₂ = 0.99", "one seed, shifted to the common mean"),
        *("mean over seeds, n = 8", "its 95 % interval"),
    ]


def test_the_regime_map_has_a_letter_in_the_middle_of_each_cell(draw):
    axes = draw(regime_map).axes
    assert titles(axes) == ["h = 0.001", "h = 0.004"]
    letters = {"O": "oscillation", "S": "spike", "D": "divergence"}
    found = [text for text in axes[0].texts if text.get_text() in letters]
    assert sorted(t.get_text() for t in found) == [*"DD", *"OOOOOOOO", *"SS"]
    colours = {to_hex(style.REGIME_COLOURS[kind]): sign for sign, kind in letters.items()}
    for cell in axes[0].patches:
        box = cell.get_window_extent()
        (text,) = (t for t in found if box.contains(*t.get_window_extent().get_points().mean(0)))
        inside = text.get_window_extent()
        assert inside.get_points().mean(0) == pytest.approx(box.get_points().mean(0), abs=2)
        assert (inside.width, inside.height) < (box.width, box.height)
        assert colours[to_hex(cell.get_facecolor())] == text.get_text()
        assert contrast(text.get_color(), cell.get_facecolor()) > 3.5


def contrast(first, second):
    """Return the contrast of two colours as WCAG 2 defines it, 1 to 21."""
    lights = []
    for colour in (first, second):
        channels = np.array(to_rgb(colour))
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        lights.append(float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05)
    return max(lights) / min(lights)


def test_the_regime_map_has_one_line_where_both_decays_are_equal(draw):
    for ax in draw(regime_map).axes:
        (line,) = ax.lines
        assert list(line.get_xdata()) == list(line.get_ydata())


def test_loss_curves_have_a_panel_for_each_regime(draw):
    axes = draw(loss_curves).axes
    assert titles(axes) == ["oscillation", "spike", "divergence"]
    assert [len(lines(ax, "trial")) for ax in axes] == [5, 4, 4]
    for ax in axes:
        names = [line.get_label() for line in lines(ax, "trial")]
        assert len(set(names)) == len(names), "each curve is told apart"


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
def test_no_legend_of_loss_curves_is_over_them_or_another_panel(draw, medium):
    axes = draw(loss_curves, medium).axes
    legends = [ax.get_legend().get_window_extent() for ax in axes]
    for ax, box in zip(axes, legends, strict=True):
        assert box.y1 < ax.xaxis.label.get_window_extent().y0
        assert not any(box.overlaps(other.get_tightbbox()) for other in axes if other is not ax)


def test_a_regime_without_a_trial_has_no_panel_and_the_caption_says_so(draw, tmp_path):
    grids = {"beta2": synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=2)}
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")
    assert titles(draw(loss_curves, folder=tmp_path).axes) == ["oscillation"]
    caption = loss_curves.caption(Tables(tmp_path, Figures()))
    assert "4 oscillation; no trial is of the regime spike or divergence" in caption


def test_captions_say_where_the_highest_norm_is_a_hills_top():
    rows = [
        (True, 50, 52, False),  # a hill and its top
        (True, 30, 10, True),  # the hill was over before the search
        (False, 80, None, False),  # still rising
        (False, 30, None, True),  # only falling
    ]
    columns = ["has_hill", "peak_epoch", "hill_epoch", "peak_at_edge"]
    points = pd.DataFrame(rows, columns=columns).assign(epochs=120)
    points["peak_is_top"] = tops_the_hill(points)
    assert words.peaks(points) == (
        "In 1 of 4 trials the highest norm is the top of a hill; in 2 its first value in that "
        "part, from which it falls; in 1 it is elsewhere, or there is no hill."
    )
    assert words.peaks(points[:1]) == "In 1 of 1 trials the highest norm is the top of a hill."


def test_norm_against_accuracy_is_within_seeds_a_panel_for_each_grid(draw, results):
    axes = [ax for ax in draw(norm_accuracy).axes if ax.get_visible()]
    table = pd.read_parquet(results / "correlations.parquet")
    assert len(axes) == len(table) == 5
    for ax, row in zip(axes, table.to_dict("records"), strict=True):
        first, second = ax.get_title(loc="left").split("\n")
        assert first.endswith(f"{row['model']} on digits")
        value, low = (f"{row[f'rank_correlation{end}']:.2f}" for end in ("", "_low"))
        assert second.startswith(f"rank correlation {value} ({low} to ".replace("-", "−"))
        assert second.endswith("), n = 8")
        sides = 2 if row["grid"] == "h" else 1
        assert len(lines(ax, "seed")) == 8 * sides
        for way in (0, 1):
            middles = [line.get_xydata()[:, way].mean() for line in lines(ax, "seed")]
            assert len(set(np.round(middles, 9))) == sides


def test_norm_against_accuracy_goes_through_the_values_in_order(draw, results):
    means = pd.read_parquet(results / "means.parquet").query("grid == 'beta2'")
    (mean,) = lines(draw(norm_accuracy).axes[0], "mean")
    (smallest,) = lines(draw(norm_accuracy).axes[0], "smallest")
    path = means.sort_values("value")[["progress_within", "accuracy_within"]].to_numpy()
    assert mean.get_xydata() == pytest.approx(path)
    assert smallest.get_xydata() == pytest.approx(path[:1])


def test_a_grid_whose_trials_are_all_in_another_has_no_panel_of_norm_against_accuracy(
    draw, results, tmp_path
):
    folder = shutil.copytree(results, tmp_path / "copy")
    points = pd.read_parquet(folder / "points.parquet")
    trials = pd.read_parquet(folder / "trials.parquet")
    pairs = {"hills_beta2": "beta2"}
    for table, name in ((points, "points"), (trials, "trials")):
        few = table[(table["grid"] == "beta2")].iloc[: (table["grid"] == "hills_beta2").sum()]
        rest = table[~table["grid"].isin(pairs)]
        pd.concat([rest, few.assign(grid="hills_beta2")]).to_parquet(folder / f"{name}.parquet")
    correlations = pd.read_parquet(folder / "correlations.parquet")
    correlations.loc[correlations["grid"] == "hills_beta2", "model"] = "resnet8"
    correlations.to_parquet(folder / "correlations.parquet")
    axes = [ax for ax in draw(norm_accuracy, folder=folder).axes if ax.get_visible()]
    assert len(axes) == 4


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
@pytest.mark.parametrize("module", [fig4, h, norm_accuracy], ids=["fig4", "h", "norm_accuracy"])
def test_legends_titles_and_ticks_have_room(draw, module, medium):
    figure = draw(module, medium)
    for ax in filter(Axes.get_visible, figure.axes):
        upright = [t for t in ax.get_xticklabels() if not t.get_rotation() and t.get_text()]
        inside = [t.get_window_extent() for t in upright if inside_of(ax, t)]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(inside))
    width = figure.bbox.width
    boxes = [legend.get_window_extent() for legend in figure.legends]
    boxes += [ax._left_title.get_window_extent() for ax in figure.axes]
    for box in boxes:
        assert box.x0 > 0
        assert box.x1 < width


@pytest.mark.parametrize("medium", ["paper", "narrow"])
@pytest.mark.parametrize("module", DRAWN.values(), ids=DRAWN)
def test_every_medium_has_its_width_and_no_text_outside(draw, module, medium):
    figure = draw(module, medium)
    width = figure.get_size_inches()[0]
    assert width in (style.MEDIA[medium].column, style.MEDIA[medium].page)
    box = figure.get_tightbbox()
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05


def test_files_index_and_alt_texts(pictures):
    index = json.loads((pictures / "figures.json").read_text())
    names = [row["name"] for row in index]
    assert names[:6] == ["fig1", "fig2", "fig3", "fig4", "fig5", "fig6"]
    assert set(DRAWN) <= set(names)
    for row in index:
        svg = ET.parse(pictures / f"{row['name']}.svg").getroot()
        assert svg.get("aria-label") == row["alt"]
        with Image.open(pictures / f"{row['name']}.png") as picture:
            assert picture.info["Description"] == row["alt"]
        assert (pictures / "narrow" / f"{row['name']}.png").is_file()


def test_text_stays_text_in_svg(pictures):
    text = " ".join(ET.parse(pictures / "fig4.svg").getroot().itertext())
    assert "late test accuracy" in text
    assert "0.999" in text


def test_text_stays_text_in_pdf(draw, tmp_path):
    figure = draw(fig4, "paper")
    with style.use_style("paper"):
        (path,) = style.save(figure, tmp_path / "fig4", "words", ["pdf"])
    content = path.read_bytes()
    assert b"/CIDFontType2" in content
    assert b"CreationDate" not in content


def test_captions_say_how_many_seeds_and_what_is_left_out(results):
    tables = Tables(results, Figures())
    caption = fig4.caption(tables)
    assert "n = 8" in caption
    assert "while the training loss is between 0.7 and 0.2 of its start" in caption
    assert "none of 40 trials left out" in caption
    assert re.search(
        r"norm, claimed: rises, here: rises \(agrees\), 0\.\d+ \[0\.\d+, 0\.\d+\]", caption
    )
    first, last = pd.read_parquet(results / "means.parquet")["progress_within"].iloc[[0, 4]]
    assert (
        "As beta2 goes from 0.9 to 0.999, means over seeds: log10 excess of the norm at equal "
        f"progress from {first:.4g} to {last:.4g}, log10 excess of the highest norm from"
    ) in fig4.alt(tables)
    assert fig4.settings(tables)["h"] == "0.001"


def test_left_out_trials_are_counted_by_regime(tmp_path):
    grids = {"beta2": synthetic.trials_of({"beta2": [0.9, 0.99, 0.999]}, epochs=60)}
    kinds = {0.9: "oscillation", 0.99: "oscillation", 0.999: "spike"}
    synthetic.write_sweeps(tmp_path / "sweeps", grids, shape=lambda grid, trial: kinds[trial.beta2])
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")
    caption = fig4.caption(Tables(tmp_path, Figures()))
    assert "8 of 24 trials left out (8 spike)" in caption


def test_the_same_tables_give_the_same_files(results, pictures, tmp_path):
    tables = Tables(results, Figures())
    for name in ("fig4", "fig6", "regime_map"):
        with style.use_style("screen"):
            alt = json.loads((pictures / "figures.json").read_text())
            said = next(row["alt"] for row in alt if row["name"] == name)
            style.save(DRAWN[name].draw(tables), tmp_path / name, said)
        for ending in ("png", "svg"):
            file = f"{name}.{ending}"
            assert (tmp_path / file).read_bytes() == (pictures / file).read_bytes(), file


def test_a_picture_of_an_earlier_run_does_not_outlive_its_data(results, tmp_path):
    (tmp_path / "old.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("kept")
    empty = tmp_path / "empty"
    empty.mkdir()
    names = figures.run(Figures(formats=("png",), narrow=False), empty, tmp_path)
    assert not (tmp_path / "old.png").exists()
    assert (tmp_path / "notes.txt").exists()
    assert names == ["fig1", "fig2", "fig3", "fig4", "fig5", "fig6"]


def test_without_data_the_picture_says_what_is_missing(tmp_path):
    figures.run(Figures(formats=("svg",), narrow=False), tmp_path, tmp_path / "out")
    text = " ".join(ET.parse(tmp_path / "out" / "fig4.svg").getroot().itertext())
    assert "trials.parquet, claims.json" in " ".join(text.split())


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """Results of Adam alone, and of the same with Lion in all grids, or in that of beta2 only."""
    small = synthetic.grids(seeds=5, epochs=40)
    small["regimes"] = small["regimes"][::4]
    folders = {}
    for kind, with_lion in (("adam", ()), ("one", ("beta2",)), ("all", small)):
        folder = folders[kind] = tmp_path_factory.mktemp(kind)
        grids = {
            name: adam + [trial.replace(rule="lion") for trial in adam] * (name in with_lion)
            for name, adam in small.items()
        }
        synthetic.write_sweeps(folder / "sweeps", grids)
        analysis.run(Analyse(), folder / "sweeps", folder, scale="made-up")
    return folders


def test_a_second_rule_is_told_apart_in_every_figure(draw, rules):
    def shown(module):
        figure = draw(module, folder=rules["all"])
        legends = [*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))]
        texts = [text.get_text() for legend in legends for text in legend.get_texts()]
        texts += [legend.get_title().get_text() for legend in legends]
        return " | ".join([*texts, *titles(figure.axes)])

    assert {name for name, module in DRAWN.items() if "lion" not in shown(module)} == set()
    judged = [module for module in (fig4, fig5, fig6, h) if "of adam alone" in shown(module)]
    assert judged == [fig4, fig5, fig6, h]
    assert "Verdicts: of adam alone: " in fig4.caption(Tables(rules["all"], Figures()))


@pytest.mark.parametrize("module", [fig4, fig5, fig6, h])
def test_titles_of_claims_are_the_same_with_a_second_rule_beside(draw, rules, module):
    alone = titles(draw(module, folder=rules["adam"]).axes)
    assert any("claimed: " in title for title in alone)
    for kind in ("one", "all"):
        assert titles(draw(module, folder=rules[kind]).axes) == alone


def test_a_grid_of_one_rule_does_not_name_it_for_another_grid_s_sake(draw, rules):
    tables = Tables(rules["one"], Figures())
    named = [t.splitlines()[0] for t in titles(draw(norm_accuracy, folder=rules["one"]).axes) if t]
    assert named[:3] == [
        "over β₂: resnet8 on digits, adam",
        "over β₂: resnet8 on digits, lion",
        "over β₁: resnet8 on digits",
    ]
    assert "adam alone" in fig4.caption(tables)
    assert "adam alone" not in fig5.caption(tables)


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
@pytest.mark.parametrize("module", DRAWN.values(), ids=DRAWN)
def test_no_title_is_cut_or_runs_into_a_letter_whatever_the_verdict(
    draw, rules, tmp_path, module, medium
):
    folder = shutil.copytree(rules["all"], tmp_path / "judged")
    rows = json.loads((folder / "claims.json").read_text())
    for row in rows:
        for of in (row, *row["readings"].values()):
            of |= {"verdict": "disagrees", "found": "rises"}
    (folder / "claims.json").write_text(json.dumps(rows))
    figure = draw(module, medium, folder=folder)
    axes = [ax for ax in figure.axes if ax.get_visible()]
    said = [(ax, ax._left_title.get_window_extent()) for ax in axes if ax.get_title(loc="left")]
    letters = [(ax, t.get_window_extent()) for ax in axes for t in ax.texts if is_letter(t)]
    assert len(letters) == len(axes) > 1
    for ax, box in said:
        assert box.x1 < figure.bbox.width
        others = [*letters, *((other, of) for other, of in said if other is not ax)]
        assert not any(box.overlaps(of) for _, of in others)


def is_letter(text):
    return re.fullmatch(r"\([a-z]\)", text.get_text()) is not None


TRIALS = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=6)
BAD_LEDGERS = {
    "one value": [t for t in TRIALS if t.beta2 == 0.9],
    "one seed": [t for t in TRIALS if t.seed == 0],
    "missing seeds": [t for t in TRIALS if t.seed == 0 or t.beta2 == 0.9],
    "all diverged": TRIALS,
    "one epoch": [t.replace(epochs=1) for t in TRIALS],
    "nan": TRIALS,
}
SHAPES = {
    "all diverged": lambda grid, trial: "divergence",
    "nan": lambda grid, trial: "nan" if trial == TRIALS[0] else "oscillation",
}


@pytest.mark.parametrize(
    ("kind", "verdict", "said"),
    [
        ("one value", "inconclusive", "no trend: only β₂ = 0.9"),
        ("one seed", "inconclusive", "one seed, n = 1"),
        ("missing seeds", "inconclusive", "one seed, n = 1"),
        ("all diverged", "inconclusive", "none of the 12 trials of the grid beta2 oscillates"),
        (
            "one epoch",
            "not testable",
            "no trial of the grid beta2 goes through the losses compared",
        ),
        ("nan", "agrees", "mean over seeds, n = 5"),
    ],
)
def test_every_figure_of_a_bad_ledger_is_drawn_and_says_what_is_missing(
    tmp_path, kind, verdict, said
):
    folder = tmp_path / "sweeps"
    grids = dict.fromkeys(("beta2", "hills_beta2", "h", "regimes"), BAD_LEDGERS[kind])
    synthetic.write_sweeps(folder, grids, shape=SHAPES.get(kind, lambda *_: "oscillation"))
    metrics = analysis.run(Analyse(), folder, tmp_path, scale="made-up")
    assert metrics["claims"]["fig4_norm"]["verdict"] == verdict
    figures.run(Figures(formats=("svg",), narrow=False), tmp_path, tmp_path / "out")
    text = " ".join(ET.parse(tmp_path / "out" / "fig4.svg").getroot().itertext())
    assert said in " ".join(text.split())
