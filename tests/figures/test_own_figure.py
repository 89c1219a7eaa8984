"""A figure of one's own, given in a scale file, and the one of the documentation."""

from __future__ import annotations

import json
import logging
import re
import textwrap
from pathlib import Path

import pytest

from adambias.config import Figures, Scale, load_params
from adambias.config.figures import FIGURES
from adambias.core.errors import ConfigError
from adambias.figures import run as figures
from adambias.figures.report import page as report

ROOT = Path(__file__).parents[2]
FAST = {"formats": ("svg",), "narrow": False}
OWN = {"module": "my_figure", "tables": ["trials.parquet"], "grids": ["regimes"]}


def documented() -> str:
    """Return the module that docs/figures.md shows."""
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    section = text.split("## A figure of your own")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", section, re.MULTILINE)
    return textwrap.dedent(next(block for block in blocks if "TITLE" in block))


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "my_figure.py").write_text(documented(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "my_figure.py"


def test_it_is_drawn_indexed_and_on_the_page(module, results, tmp_path):
    settings = Figures(**FAST, own={"my_loss": OWN})
    drawn = figures.run(settings, results, tmp_path / "out", names=["fig4", "my_loss"])
    index = json.loads((tmp_path / "out" / "figures.json").read_text())

    assert drawn == ["fig4", "my_loss"]
    assert (index[-1]["name"], index[-1]["title"]) == ("my_loss", "Loss at the end")
    assert (tmp_path / "out" / "my_loss.svg").is_file()
    page = report.run(results, tmp_path / "out", tmp_path / "r.html", scale="made-up")
    text = page.read_text(encoding="utf-8")
    assert 'id="figure-my_loss"' in text
    assert "Training loss of the last epoch, by regime." in text


def test_it_comes_last_and_is_among_those_drawn_from_trainings():
    settings = Figures(
        own={"my_loss": OWN, "mine_too": {"module": "m", "tables": ["atlas.parquet"]}}
    )

    assert list(settings.all_figures)[-2:] == ["my_loss", "mine_too"]
    assert list(settings.of_trainings)[-1] == "my_loss"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tables": ["not_there.parquet"]}, "my_loss is left out: not_there.parquet is missing"),
        ({"grids": ["beta3"]}, "my_loss is left out: no trials of the grid beta3"),
        ({"grids": ["a", "b"]}, "my_loss is left out: no trials of the grids a and b"),
    ],
)
def test_without_its_data_it_is_left_out_and_the_log_says_so(
    module, results, tmp_path, caplog, change, said
):
    settings = Figures(**FAST, own={"my_loss": {**OWN, **change}})
    with caplog.at_level(logging.WARNING):
        assert figures.run(settings, results, tmp_path / "out", names=["my_loss"]) == []
    assert said in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"figures\.own\.mine\.module = 'no_such_module': cannot be imported"),
        ("TITLE = 'x'\n", r"figures\.own\.mine\.module = 'half_a_figure': lacks draw"),
    ],
)
def test_a_module_that_cannot_be_used_is_one_line(results, tmp_path, monkeypatch, text, said):
    name = "half_a_figure" if text else "no_such_module"
    if text:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=said):
        figures.run(Figures(own={"mine": {"module": name}}), results, tmp_path / "out")


def test_a_grid_of_it_that_the_scale_lacks_is_named():
    scale = load_params(ROOT / "params.yaml", "laptop").scale
    values = {name: getattr(scale, name) for name in vars(scale)}
    own = {"mine": {"module": "m", "grids": ["beta3"]}}
    with pytest.raises(ConfigError, match=r"figures\.own\.mine\.grids = 'beta3'"):
        Scale(**values | {"figures": Figures(own=own)})


def test_every_built_in_figure_has_its_module_and_what_a_figure_needs():
    from adambias.figures import registry

    for name, figure in FIGURES.items():
        assert registry.load(name, figure).TITLE
