"""The documentation site: built strictly without network, whole, and good to read in a browser."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from contrast import HARD_TO_READ, LEAST
from once import made_once
from project_folder import ROOT

BUILD = """
import socket, sys

def refuse(*arguments, **options):
    raise OSError("the build asks for the network")

socket.getaddrinfo = socket.socket.connect = refuse
from mkdocs.__main__ import cli

cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""What a browser loads without being asked, and the attribute that says from where."""
SHOWN = ["index", "sweeps", "api/flows", "explore"]
BODY = "article p, article li, article td, article th, article h1, article h2, article code, nav a"


def build(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "WARNING" not in ran.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "site", build)


class Page(HTMLParser):
    """The anchors of a page, its links, what it loads, and its pictures without a text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.silent: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADED.get(tag) in found and found.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(found[LOADED[tag]])
        if tag == "img" and not found.get("alt"):
            self.silent.append(found.get("src", ""))


@cache
def read(file: Path) -> Page:
    return Page(file)


def dead(page: Path) -> list[str]:
    """Return the links of a page within the site that lead to no file or no anchor."""
    found = []
    for link in [*read(page).links, *read(page).loads]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or (parts.path.startswith("/") and page.name == "404.html"):
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        anchors = read(target).anchors if target.suffix == ".html" and target.exists() else set()
        anchor = unquote(parts.fragment)
        if not target.exists() or (anchor and anchor not in anchors | {"__skip"}):
            found.append(link)
    return found


def test_every_link_leads_to_a_file_and_an_anchor(site: Path) -> None:
    pages = sorted(site.resolve().rglob("*.html"))
    found = {page.name: dead(page) for page in pages}

    assert len(pages) > 30
    assert {name: links for name, links in found.items() if links} == {}


def test_nothing_is_loaded_from_elsewhere_and_every_picture_has_a_text(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        assert [at for at in read(page).loads if re.match(r"(https?:)?//", at)] == [], page
        assert read(page).silent == [], page


def test_a_dead_link_and_a_picture_from_elsewhere_would_be_seen(tmp_path: Path) -> None:
    other, page = tmp_path / "other.html", tmp_path / "page.html"
    other.write_text('<h1 id="here">Here</h1>')
    page.write_text(
        '<a href="other.html#here"></a><a href="other.html#there"></a><a href="none.html"></a>'
        '<img src="https://example.org/x.png">'
    )

    assert dead(page) == ["other.html#there", "none.html"]
    assert read(page).loads == read(page).silent == ["https://example.org/x.png"]


def test_every_formula_is_typeset(site: Path) -> None:
    for name in ("theory", "training"):
        written = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        formulas = re.findall(r"^ *\$\$\n(.*?)^ *\$\$$", written, re.DOTALL | re.MULTILINE)
        built = (site / f"{name}.html").read_text(encoding="utf-8")
        typeset = re.findall(r"<math.*?</math>", built, re.DOTALL)

        assert len(typeset) == len(formulas) > 0
        # What latex2mathml does not know stays as it was: a command, or the & of a table.
        assert re.findall(r"\\\w+|<m[io]>&(?:amp;)?</m[io]>", "".join(typeset)) == []
        assert "$$" not in built


def test_pages_have_no_mark_of_their_source_left(site: Path) -> None:
    shown = (site / "findings.html").read_text(encoding="utf-8")

    assert "powers of ten" in shown
    assert "<!--laptop" not in shown
    assert "::: " not in (site / "api" / "flows.html").read_text(encoding="utf-8")
    trial = (site / "api" / "training.html").read_text(encoding="utf-8")
    assert "cross_entropy" in trial
    assert "later" not in re.sub(r"<.*?>", "", trial.split("<article")[1].split("Parameters:")[0])


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def opened(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a page in a window of some width and scheme, which has said and fetched nothing."""
    name, width, scheme = request.param
    window = {"width": width, "height": 900}
    page = browser.new_page(viewport=window, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if outside(asked.url, address) else 0)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    yield page
    page.close()
    assert said == []


def outside(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))


@pytest.mark.browser
@pytest.mark.parametrize(
    "opened",
    [(name, width, s) for name in SHOWN for width in (1400, 400) for s in ("light", "dark")],
    indirect=True,
    ids=str,
)
def test_a_page_fits_and_can_be_read(opened: Any) -> None:
    width = opened.viewport_size["width"]
    dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")

    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.get_attribute("body", "data-md-color-scheme") == ("slate" if dark else "default")
    assert opened.evaluate(HARD_TO_READ, [BODY, LEAST]) == []
    assert opened.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0


@pytest.mark.browser
@pytest.mark.parametrize("opened", [("sweeps", 1400, "light")], indirect=True, ids=str)
def test_the_keyboard_skips_to_the_text_or_goes_through_the_navigation(opened: Any) -> None:
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.matches('.md-skip')")
    reached = []
    for _ in range(12):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.closest('header, nav') !== null"))
    assert all(reached[:8])


@pytest.mark.browser
@pytest.mark.parametrize("opened", [("index", 1400, "light")], indirect=True, ids=str)
def test_the_search_finds_a_section(opened: Any) -> None:
    opened.click(".md-search__input")
    opened.keyboard.type("resummed memory")
    opened.locator(".md-search-result__item a").first.wait_for(state="attached")
    found = opened.eval_on_selector_all(".md-search-result__item a", "all => all.map(a => a.href)")

    assert any(address.endswith("/theory.html#resummed-memory") for address in found)
