import html
import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from jinja2 import UndefinedError

from adambias.core.errors import DataError
from adambias.figures.report import page as report

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def page(results, pictures, tmp_path_factory):
    return report.run(
        results, pictures, tmp_path_factory.mktemp("reports") / "index.html", scale="made-up"
    )


def test_the_page_needs_nothing_beside_itself(page):
    text = page.read_text(encoding="utf-8")
    assert len(text) < 5_000_000
    assert "<script" not in text
    assert "http" not in re.sub(r"data:image[^\"]*", "", text)
    sources = re.findall(r'(?:src|srcset)="([^"]{0,20})', text)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


def test_every_link_has_a_target(page):
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r'id="([^"]+)"', text))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= targets
    assert "figure-fig4" in links


def test_claims_figures_and_counts_are_on_the_page(page, results):
    text = page.read_text(encoding="utf-8")
    for words in (
        *("Raising beta2 lowers the test accuracy.", "bootstrap over seeds", "3 seeds"),
        *("15 of 15 trials", "and the law on small models"),
    ):
        assert words in text
    assert text.count("<figure ") == 10
    assert '<td data-label="Trials">15</td>' in text


def test_the_same_tables_give_the_same_page(page, results, pictures, tmp_path):
    again = report.run(results, pictures, tmp_path / "index.html", scale="made-up")
    assert again.read_bytes() == page.read_bytes()


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"trials\.parquet: is missing, .*dvc repro"):
        report.run(tmp_path, tmp_path, tmp_path / "index.html", scale="laptop")


MARKUP = "</title><script>alert(\"x\")</script> & 'y'"


@pytest.fixture
def hostile(results, pictures, tmp_path):
    """Every text of the tables and of the figures as markup; numbers and names as they are."""
    kept = {"key", "name", "verdict"}

    def spoil(row):
        return {k: MARKUP if isinstance(v, str) and k not in kept else v for k, v in row.items()}

    claims = json.loads((results / "claims.json").read_text())
    figures = json.loads((pictures / "figures.json").read_text())
    trials = pd.read_parquet(results / "trials.parquet")
    shutil.copytree(pictures, tmp_path / "figures")
    write = (tmp_path / "figures" / "figures.json").write_text
    write(json.dumps([{**spoil(row), "settings": {MARKUP: MARKUP}} for row in figures]))
    (tmp_path / "claims.json").write_text(json.dumps([spoil(row) for row in claims]))
    trials.assign(grid=MARKUP, model=MARKUP, dataset=MARKUP, machine=MARKUP).to_parquet(
        tmp_path / "trials.parquet"
    )
    return tmp_path


def test_no_text_of_the_data_is_markup(hostile):
    text = report.run(
        hostile,
        hostile / "figures",
        hostile / "index.html",
        scale=MARKUP,
        commands=[(MARKUP, MARKUP)],
    ).read_text(encoding="utf-8")

    assert "<script" not in text
    assert text.count("</title>") == 1
    assert text.count("&lt;script&gt;alert(&#34;x&#34;)") > 100
    assert MARKUP in html.unescape(text)


def test_a_value_that_the_page_lacks_stops_it(results, pictures, tmp_path):
    claims = json.loads((results / "claims.json").read_text())
    del claims[0]["sentence"]
    (tmp_path / "claims.json").write_text(json.dumps(claims))
    shutil.copy(results / "trials.parquet", tmp_path)

    with pytest.raises(UndefinedError, match="sentence"):
        report.run(tmp_path, pictures, tmp_path / "index.html", scale="made-up")
    assert not (tmp_path / "index.html").exists()


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: install Debian's chromium")
        pytest.skip(f"{CHROMIUM} is missing: install Debian's chromium to run it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 400])
def test_in_a_browser(browser, page, width):
    tab = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    problems = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    wide = tab.evaluate(
        "[...document.querySelectorAll('main :not(thead *)')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert wide == 0
    tab.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    smallest = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('td, p, figcaption, small')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11
    links = {link.get_attribute("href"): link for link in tab.query_selector_all("a")}
    for href, link in links.items():
        link.click()
        top = tab.query_selector(href).bounding_box()["y"]
        assert -1 <= top < 900, href
    assert problems == []
    tab.close()
