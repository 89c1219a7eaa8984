import dataclasses

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import adambias as ab
from adambias.config import Figures, Grid, NetworkCorrection
from adambias.figures import Tables, style
from adambias.figures import network_correction as figure_module
from adambias.studies import network_correction

SMOOTH = {"activation": "gelu", "norm": "none", "precision": "fp64", "beta1": 0.8}


@pytest.fixture(scope="module")
def settings():
    """A smooth network and a practical one, each at two step sizes."""
    fixed = {"epochs": 5, "eval_every": 5, "epsilon": 1e-4, "beta2": 0.9}
    return NetworkCorrection(
        dataset="digits",
        images=30,
        every=2,
        grid=Grid(
            base=fixed,
            trials=[
                {**SMOOTH, "h": 1e-5},
                {**SMOOTH, "h": 1e-3},
                {"h": 1e-5},
                {"h": 1e-3},
            ],
        ),
    )


@pytest.fixture(scope="module")
def chart(settings, few_digits):
    return network_correction.chart(settings, few_digits)


def test_a_row_per_training_and_measured_epoch(chart):
    assert chart["epoch"].tolist() == [2, 4] * 4
    assert chart["h"].tolist() == [1e-5] * 2 + [1e-3] * 2 + [1e-5] * 2 + [1e-3] * 2
    assert chart[["cosine", "length_ratio", "norm_ratio"]].notna().all(axis=None)
    assert chart["cosine"].abs().max() <= 1 + 1e-9


def test_the_law_holds_on_the_smooth_network_in_small_steps_and_not_far_from_it(chart):
    smooth = chart[chart["activation"] == "gelu"]
    small, large = (smooth[smooth["h"] == h] for h in (1e-5, 1e-3))
    assert small["cosine"].min() > 0.9999
    assert (small["length_ratio"] - 1).abs().max() < 0.01
    assert (large["length_ratio"] - 1).abs().min() > (small["length_ratio"] - 1).abs().max()
    practical = chart[(chart["norm"] == "batch") & (chart["h"] == 1e-3)]
    assert practical["cosine"].max() < 0.9


def test_a_row_is_what_the_same_training_records(chart, settings, few_digits):
    few = dataclasses.replace(
        few_digits,
        train_inputs=few_digits.train_inputs[:30],
        train_targets=few_digits.train_targets[:30],
    )
    trial = list(settings.trials())[3]
    records = list(ab.train(trial, few, device="cpu"))
    found = chart[(chart["norm"] == "batch") & (chart["h"] == 1e-3)]
    assert found["cosine"].tolist() == [records[n].correction_cosine for n in (2, 4)]


def test_the_table_is_written(settings, few_digits, chart, tmp_path):
    network_correction.run(settings, few_digits, tmp_path)
    written = pd.read_parquet(tmp_path / "network_correction.parquet")
    pd.testing.assert_frame_equal(written, chart)


@pytest.mark.parametrize("medium", ["screen", "paper", "narrow"])
def test_the_figure_has_a_map_per_network_with_both_numbers_in_each_cell(chart, tmp_path, medium):
    chart.to_parquet(tmp_path / "network_correction.parquet")
    tables = Tables(tmp_path, Figures())
    plt.switch_backend("agg")
    with style.use_style(medium):
        figure = figure_module.draw(tables)
        figure.canvas.draw()
    axes = figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == [
        "GELU, no norm\nβ₂ = 0.9",
        "ReLU, BatchNorm\nβ₂ = 0.9",
    ]
    cells = [text.get_text() for text in axes[0].texts if "×" in text.get_text()]
    assert len(cells) == 2
    assert cells[0] == "1.00\n×1.00"
    box, width = figure.get_tightbbox(), figure.get_size_inches()[0]
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05
    plt.close(figure)


def test_the_caption_says_where_the_law_holds(chart, tmp_path):
    chart.to_parquet(tmp_path / "network_correction.parquet")
    tables = Tables(tmp_path, Figures())
    caption = figure_module.caption(tables)
    assert "epochs 2, 4 and 1 seed, resnet8" in caption
    assert "Best: cosine 1.0000" in caption
    assert "ReLU, BatchNorm 0 of 2" in caption
    assert "ReLU, BatchNorm: cosines from" in figure_module.alt(tables)
    assert figure_module.settings(tables)["h"] == "1e-05, 0.001"
