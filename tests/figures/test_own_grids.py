"""The figure of grids that no other figure is for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adambias.config import Figures
from adambias.figures import Tables, own_grids, style
from adambias.figures import run as figures
from adambias.figures.tables import Missing


def row(grid, seed, width, **values):
    return {
        **{"trial": f"{grid}-{seed}-{width}-{values}", "grid": grid, "regime": "oscillation"},
        **{"rule": "adam", "model": "mlp", "h": 1e-3, "beta1": 0.9, "beta2": 0.99, "seed": seed},
        **{"model_options.width": width, "progress_log10_excess": np.log10(width) + 0.01 * seed},
        **{"late_test_accuracy": 0.5, "final_train_loss": 1 / width, "final_test_accuracy": 0.5},
        **{"final_perturbed_one_norm": 1.0, "final_train_accuracy": 1.0, "final_mine": width**2.0},
    } | values


@pytest.fixture
def tables(tmp_path):
    rows = [
        row("widths", s, w, rule=r) for s in (0, 1) for w in (8, 16, 128) for r in ("adam", "lion")
    ]
    rows += [row("words", s, 8, activation=a) for s in (0, 1) for a in ("relu", "tanh")]
    pd.DataFrame(rows).to_parquet(tmp_path / "trials.parquet")
    return Tables(tmp_path, Figures())


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
def test_every_grid_has_its_quantities_over_what_it_varies(tables, medium):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with style.use_style(medium):
        figure = own_grids.draw(tables)
        figure.canvas.draw()
        names = [
            ax.get_title() or ax.get_title(loc="left") for ax in figure.axes if ax.get_xlabel()
        ]
        assert names == ["widths"] * 4 + ["words"] * 4
        first, mine = figure.axes[0], figure.axes[3]
        means = [line for line in first.lines if line.get_gid() == "mean"]
        assert [line.get_label() for line in means] == ["rule adam", "rule lion"]
        np.testing.assert_allclose(means[0].get_ydata(), np.log10([8, 16, 128]) + 0.005)
        assert (first.get_xscale(), first.get_xlabel(), mine.get_ylabel()) == (
            "log",
            "width",
            "mine",
        )
        labels = [label.get_text() for label in figure.axes[4].get_xticklabels()]
        assert labels == ["relu", "tanh"]
        plt.close(figure)


def test_caption_and_alt_name_the_grids_and_their_ends(tables):
    assert "widths over width; words over activation" in own_grids.caption(tables)
    assert "widths: over width, mine goes from 64 to 1.64e+04" in own_grids.alt(tables)


def test_it_is_drawn_where_there_is_such_a_grid_and_not_tried_elsewhere(tables, tmp_path, caplog):
    settings = Figures(formats=("svg",), narrow=False)
    drawn = figures.run(settings, tables.folder, tmp_path / "out", names=["own_grids"])
    assert drawn == ["own_grids"]
    trials = pd.read_parquet(tables.folder / "trials.parquet").assign(grid="beta1")
    (tmp_path / "other").mkdir()
    trials.to_parquet(tmp_path / "other" / "trials.parquet")
    assert figures.run(settings, tmp_path / "other", tmp_path / "out2", names=["own_grids"]) == []
    assert not caplog.text


def test_where_nothing_oscillates_it_says_so(tables):
    trials = pd.read_parquet(tables.folder / "trials.parquet").assign(regime="divergence")
    trials.to_parquet(tables.folder / "trials.parquet")
    with pytest.raises(Missing, match="none of its trials oscillates"):
        own_grids.draw(Tables(tables.folder, Figures()))
