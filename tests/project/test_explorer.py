"""The explorer in a real browser: its numbers are the library's, and it serves everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from contrast import HARD_TO_READ, LEAST

import adambias as ab
from adambias.studies.bilinear import penalty
from adambias.studies.paths import paths_of

PAGE = Path(__file__).parents[2] / "src/adambias/figures/report/explorer.html"
CASES = [
    {"rule": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "h": 1e-3, "horizon": 0.5},
    {"rule": "adam", "beta1": 0.3, "beta2": 0.95, "epsilon": 30.0, "h": 0.01, "horizon": 4.0},
    {"rule": "adam", "beta1": 0.0, "beta2": 0.0, "epsilon": 1.0, "h": 0.01, "horizon": 2.0},
    {"rule": "rmsprop", "beta1": 0.9, "beta2": 0.99, "epsilon": 1.0, "h": 0.01, "horizon": 2.0},
    {"rule": "lion", "beta1": 0.9, "beta2": 0.99, "epsilon": 1.0, "h": 0.01, "horizon": 2.0},
    {"rule": "heavy_ball", "beta1": 0.8, "beta2": 0.5, "epsilon": 1.0, "h": 1e-3, "horizon": 0.2},
]
START = [2.8, 3.5]
SLIDERS = ("rule", "beta1", "beta2", "epsilon", "h", "horizon", "start1", "start2")
PRESETS = ("pytorch", "above", "below", "paper", "lion")

pytestmark = pytest.mark.browser
TEXTS = "h1, h2, p, a, label, output, td, th, button, b, span"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Return the page, opened as a file, which has said nothing on the console."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda asked: said.append(asked.url) if asked.url[:5] != "file:" else None)
    opened.goto(PAGE.as_uri())
    opened.wait_for_function("window.drawn")
    yield opened
    opened.close()
    assert said == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['rule']} {case['beta1']}")
def test_paths_are_the_librarys(page: Any, case: dict[str, Any]) -> None:
    taken = {"adam": ("beta1", "beta2", "epsilon"), "rmsprop": ("beta2", "epsilon")}
    names = {**taken, "lion": taken["adam"], "heavy_ball": ("beta1",)}[case["rule"]]
    rule = getattr(ab.rules, case["rule"])(**{name: case[name] for name in names})
    steps = round(case["horizon"] / case["h"])
    start = torch.tensor(START, dtype=torch.float64)
    expected = paths_of(rule, ab.losses.bilinear(x=2.0, y=1.5), start, case["h"], steps)

    found = page.evaluate("at => law.paths(at)", {**case, "start": START})

    assert set(found) <= set(expected)
    for name, places in found.items():
        path = torch.tensor(places, dtype=torch.float64)
        torch.testing.assert_close(path, expected[name], rtol=1e-9, atol=1e-9, msg=name)


def test_the_penalised_function_is_figure_1s(page: Any) -> None:
    import numpy as np

    x = np.linspace(-6, 6, 41)
    for beta1, beta2, epsilon in ((0.9, 0.7, 1.0), (0.5, 0.8, 1e-2), (0.0, 0.999, 1e-8)):
        asked = [x.tolist(), beta1, beta2, epsilon]
        found = page.evaluate("([xs, a, b, e]) => xs.map(x => law.penalty(x, a, b, e))", asked)
        np.testing.assert_allclose(found, penalty(x, beta1, beta2, epsilon), rtol=1e-9, atol=1e-9)


def test_it_is_drawn_at_once_and_while_one_drags(page: Any) -> None:
    assert page.evaluate("window.drawn.at") < 2000  # 200 ms on an idle machine
    spent = page.evaluate(
        """async () => {
            const spent = [], slider = document.getElementById('beta2');
            for (let i = 0; i < 20; i++) {
                slider.value = 0.5 + 0.1 * i;
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
                spent.push(window.drawn.milliseconds);
            }
            return spent.sort((a, b) => a - b)[10];
        }"""
    )
    assert spent < 200  # 16 ms is a frame of 60 a second: a bound that a busy machine keeps


def test_a_preset_and_a_drag_change_what_it_says(page: Any) -> None:
    said = page.inner_text("#says")
    page.click("[data-preset=pytorch]")
    page.wait_for_function("document.getElementById('beta2_says').value === '0.999'")
    assert "works against a decrease of the one-norm" in page.inner_text("#says") != said
    press(page, "square", 0.9, 0.9)
    page.wait_for_function(
        "document.getElementById('says').textContent.includes('penalises the one-norm')"
    )
    press(page, "paths", 0.5, 0.5)
    page.wait_for_function("Math.abs(document.getElementById('start1_says').value - 2.2) < 0.05")


def press(page: Any, name: str, right: float, down: float) -> None:
    """Click into a picture, at shares of its width and height."""
    picture = page.locator(f"#{name}")
    box = picture.bounding_box()
    picture.click(position={"x": right * box["width"], "y": down * box["height"]})


def test_the_keyboard_reaches_and_moves_everything(page: Any) -> None:
    reached = []
    for _ in range(13):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.dataset.preset")
        )
    assert reached[:8] == [*SLIDERS]
    assert reached[8:] == [*PRESETS]
    before = page.inner_text("#far")
    page.focus("#beta2")
    page.keyboard.press("Home")
    page.wait_for_function("document.getElementById('beta2_says').value === '0'")
    assert page.inner_text("#far") != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_a_telephone_and_the_dark(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    low = page.evaluate(HARD_TO_READ, [TEXTS, LEAST])
    assert low == [], "texts that are hard to read"
    for name in ("paths", "square", "penalty"):
        assert page.evaluate(INKED, name) > 0.01, f"{name} is empty"


INKED = """id => {
    const canvas = document.getElementById(id), pen = canvas.getContext('2d');
    const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
    return inked / (data.length / 4);
}"""
