import json
import re
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import synthetic
from PIL import Image

from adambias.analysis import run as analysis
from adambias.analysis.hills import tops_the_hill
from adambias.config import Analyse, Figures
from adambias.figures import (
    Tables,
    effect,
    fig4,
    fig5,
    fig6,
    h,
    loss_curves,
    norm_accuracy,
    regime_map,
    style,
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


@pytest.mark.parametrize(
    ("module", "ticks"),
    [(fig4, ["0.9", "0.95", "0.98", "0.99", "0.999"]), (fig5, ["0.5", "0.8", "0.9", "0.95"])],
)
def test_figures_4_and_5_show_seeds_mean_and_band(draw, module, ticks):
    axes = draw(module).axes
    assert [ax.get_ylabel() for ax in axes] == [
        *("highest perturbed one-norm", "excess over p√ε", "best test accuracy")
    ]
    for ax in axes:
        assert len(lines(ax, "seed")) == 3
        assert len(lines(ax, "mean")) == 1
        assert len(ax.collections) == 1
        assert [t.get_text() for t in ax.get_xticklabels()] == ticks
    assert axes[1].get_yscale() == "log"
    assert [line.get_ydata()[0] for line in lines(axes[0], "floor")] == [
        pytest.approx(synthetic.FLOOR)
    ]


def test_figure_4_has_the_papers_direction_beside_ours_and_says_n(draw):
    figure = draw(fig4)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "claimed: rises, here: rises (agrees)",
        "",
        "claimed: falls, here: falls (agrees)",
    ]
    (legend,) = figure.legends
    assert "mean over seeds, n = 3" in [text.get_text() for text in legend.get_texts()]


def test_without_a_dominating_floor_the_excess_has_no_panel(draw):
    assert len(draw(fig4, settings=Figures(floor_share=1.0)).axes) == 2


def test_the_mean_is_that_of_the_table(draw, results):
    (mean,) = lines(draw(fig4).axes[0], "mean")
    table = pd.read_csv(results / "plots" / "norm_beta2.csv")
    assert list(mean.get_ydata()) == pytest.approx(table["norm"].tolist())
    assert [1 - x for x in mean.get_xdata()] == pytest.approx(table["beta2"].tolist())


def test_figure_6_has_both_panels_with_a_mean_for_each_value(draw):
    left, right, *below = draw(fig6).axes
    assert [ax.get_ylabel() for ax in below] == ["log₁₀ of its excess over p√ε"] * 2
    title = "resnet14 on digits; claimed: rises, here: rises (agrees)"
    assert left.get_title(loc="left") == title
    for ax, symbol, values in (
        (left, "β₂", ["0.9", "0.98", "0.999"]),
        (right, "β₁", ["0.5", "0.8", "0.9"]),
    ):
        assert ax.get_legend().get_title().get_text() == symbol
        assert [t.get_text() for t in ax.get_legend().get_texts()] == values
        assert len(lines(ax, "mean")) == 3
        assert len(lines(ax, "seed")) == 9
        assert len([area for area in ax.collections if area.get_gid() == "band"]) == 3
        assert "n = 3" in [text.get_text() for text in ax.texts]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "log₁₀ of the perturbed one-norm")


def test_figure_6_says_which_panel_is_empty(draw, tmp_path):
    grids = {"hills_beta2": synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40)}
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")
    _, right = draw(fig6, folder=tmp_path, settings=Figures(floor_share=1.0)).axes
    assert "hills_beta1" in " ".join(text.get_text() for text in right.texts)


def test_the_step_size_figure_has_a_series_on_each_side(draw):
    figure = draw(h)
    assert len(lines(figure.axes[0], "mean")) == 2
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == [
        "β₁ = 0.9, β₂ = 0.5\nclaimed: falls, here: falls (agrees)",
        "β₁ = 0.9, β₂ = 0.99\nclaimed: rises, here: rises (agrees)",
        *("one seed", "mean over seeds, n = 3", "its 95 % interval"),
    ]
    assert "equal time n·h" in figure.axes[0].get_xlabel()


def test_the_regime_map_has_a_cell_for_each_pair(draw):
    axes = draw(regime_map).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["h = 0.001", "h = 0.004"]
    letters = [t.get_text() for t in axes[0].texts if t.get_text() in {"O", "S", "D"}]
    assert sorted(letters) == ["D", "D", "O", "O", "O", "O", "O", "O", "O", "O", "S", "S"]


def test_loss_curves_have_a_panel_for_each_regime(draw):
    axes = draw(loss_curves).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["oscillation", "spike", "divergence"]
    assert [len(lines(ax, "trial")) for ax in axes] == [5, 4, 4]
    for ax in axes:
        names = [line.get_label() for line in lines(ax, "trial")]
        assert len(set(names)) == len(names), "each curve is told apart"


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
    assert effect.peaks(points) == (
        "In 1 of 4 trials the highest norm is the top of a hill; in 2 its first value in that "
        "part, from which it falls; in 1 it is elsewhere, or there is no hill."
    )
    assert effect.peaks(points[:1]) == "In 1 of 1 trials the highest norm is the top of a hill."


def test_norm_against_accuracy_shows_every_trial_that_did_not_diverge(draw, results):
    axes = draw(norm_accuracy).axes[:2]
    shown = sum(len(marks.get_offsets()) for ax in axes for marks in ax.collections)
    trials = pd.read_parquet(results / "trials.parquet")
    assert shown == (trials["regime"] != "divergence").sum()


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
@pytest.mark.parametrize("floor_share", [0.5, 1.0])
def test_the_step_size_figure_has_room_for_its_legend(draw, medium, floor_share):
    figure = draw(h, medium, settings=Figures(floor_share=floor_share))
    box, width = figure.legends[0].get_window_extent(), figure.bbox.width
    assert box.x0 > 0
    assert box.x1 < width
    assert box.width < 0.95 * width


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
    words = " ".join(ET.parse(pictures / "fig4.svg").getroot().itertext())
    assert "best test accuracy" in words
    assert "0.999" in words


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
    assert "n = 3" in caption
    assert "none of 15 trials left out" in caption
    assert "norm, claimed: rises, here: rises (agrees)" in caption
    assert re.search(
        r"from 0\.9 to 0\.999, the mean highest norm goes from 8\.\d+", fig4.alt(tables)
    )
    assert fig4.settings(tables)["h"] == "0.001"


def test_left_out_trials_are_counted_by_regime(tmp_path):
    grids = {"beta2": synthetic.trials_of({"beta2": [0.9, 0.99, 0.999]}, epochs=60)}
    kinds = {0.9: "oscillation", 0.99: "oscillation", 0.999: "spike"}
    synthetic.write_sweeps(tmp_path / "sweeps", grids, shape=lambda grid, trial: kinds[trial.beta2])
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")
    caption = fig4.caption(Tables(tmp_path, Figures()))
    assert "3 of 9 trials left out (3 spike)" in caption


def test_the_same_tables_give_the_same_files(results, pictures, tmp_path):
    tables = Tables(results, Figures())
    for name in ("fig4", "fig6", "regime_map"):
        with style.use_style("screen"):
            alt = json.loads((pictures / "figures.json").read_text())
            words = next(row["alt"] for row in alt if row["name"] == name)
            style.save(DRAWN[name].draw(tables), tmp_path / name, words)
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
    words = " ".join(ET.parse(tmp_path / "out" / "fig4.svg").getroot().itertext())
    assert "trials.parquet, metrics.json" in " ".join(words.split())


def test_a_second_rule_is_told_apart_in_every_figure(draw, tmp_path):
    adam = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40, seeds=2)
    both = adam + [trial.replace(rule="lion") for trial in adam]
    grids = dict.fromkeys(("beta2", "beta1", "hills_beta2", "h", "regimes"), both)
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    analysis.run(Analyse(), tmp_path / "sweeps", tmp_path, scale="made-up")

    def words(module):
        figure = draw(module, folder=tmp_path)
        legends = [*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))]
        texts = [text.get_text() for legend in legends for text in legend.get_texts()]
        return " | ".join([*texts, *(ax.get_title(loc="left") for ax in figure.axes)])

    assert {name for name, module in DRAWN.items() if "lion" not in words(module)} == set()
    assert "claimed: rises, here, adam: rises (agrees)" in words(fig4)


TRIALS = synthetic.trials_of({"beta2": [0.9, 0.99]}, epochs=40)
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
    ("kind", "said"),
    [
        ("one value", "no trend: only β₂ = 0.9"),
        ("one seed", "one seed, n = 1"),
        ("missing seeds", "n = 1 to 3"),
        ("all diverged", "none of the 6 trials of the grid beta2 oscillates"),
        ("one epoch", "no trial of the grid beta2 has a norm after the initial part"),
        ("nan", "n = 2 to 3"),
    ],
)
def test_every_figure_of_a_bad_ledger_is_drawn_and_says_what_is_missing(tmp_path, kind, said):
    folder = tmp_path / "sweeps"
    grids = dict.fromkeys(("beta2", "hills_beta2", "h", "regimes"), BAD_LEDGERS[kind])
    synthetic.write_sweeps(folder, grids, shape=SHAPES.get(kind, lambda *_: "oscillation"))
    metrics = analysis.run(Analyse(), folder, tmp_path, scale="made-up")
    assert metrics["claims"]["fig4_norm"]["verdict"] == (
        "agrees" if kind == "nan" else "inconclusive"
    )
    figures.run(Figures(formats=("svg",), narrow=False), tmp_path, tmp_path / "out")
    words = " ".join(ET.parse(tmp_path / "out" / "fig4.svg").getroot().itertext())
    assert said in " ".join(words.split())
