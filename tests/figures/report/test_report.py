import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from jinja2 import UndefinedError

from adambias.analysis.claims.claim import by_kind
from adambias.config import Analyse, Verdict
from adambias.core.errors import DataError
from adambias.figures.report import page as report
from adambias.figures.report import rows
from adambias.figures.report.findings import findings

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


def test_a_page_outside_of_git_says_that_the_commit_is_unknown(page, results, pictures, tmp_path):
    said = "unknown: not a git repository (or any of the parent directories): .git"
    assert said in html.unescape(page.read_text(encoding="utf-8"))
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    known = report.run(results, pictures, tmp_path / "reports" / "index.html", scale="made-up")
    assert "commit of the code" not in known.read_text(encoding="utf-8")


def test_every_link_has_a_target(page):
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r'id="([^"]+)"', text))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links <= targets
    assert "figure-fig4" in links


def words_of(markup):
    """Return the text of some markup, in a line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def claims_of(results):
    return {row["key"]: row for row in json.loads((results / "claims.json").read_text())}


def block(text, key):
    """Return what the page says of a claim on trained networks: its lines, in words."""
    body = re.search(rf'<tbody id="claim-{key}">(.*?)</tbody>', text, re.DOTALL)[1]
    return [words_of(line) for line in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]


def scores(text):
    """Return the counts that the page gives, by the kind of claim."""
    lists = re.findall(r'<ul class="score" id="score-(\w+)">(.*?)</ul>', text, re.DOTALL)
    return {
        kind: {
            word.strip(): int(number)
            for number, word in re.findall(r"<b [^>]*>(\d+)</b>([^<]*)", items)
        }
        for kind, items in lists
    }


def page_with(results, pictures, folder, change, **arguments):
    """Return the text of the page for claims that have been changed."""
    claims = list(claims_of(results).values())
    for claim in claims:
        change(claim)
    folder.mkdir(exist_ok=True)
    (folder / "claims.json").write_text(json.dumps(claims))
    shutil.copy(results / "trials.parquet", folder)
    made = report.run(folder, pictures, folder / "index.html", scale="made-up", **arguments)
    return made.read_text(encoding="utf-8")


def test_the_explorer_lies_beside_the_page_that_links_to_it(page, results, pictures, tmp_path):
    out = tmp_path / "index.html"
    report.run(results, pictures, out, scale="made-up", explorer=True)
    assert 'href="explorer.html"' in out.read_text(encoding="utf-8")
    assert "<script" in (tmp_path / "explorer.html").read_text(encoding="utf-8")
    assert "explorer.html" not in page.read_text(encoding="utf-8")
    assert not (page.parent / "explorer.html").exists()


def test_figures_and_trials_are_on_the_page(page):
    text = page.read_text(encoding="utf-8")
    assert "and the laws themselves" in text
    assert text.count("<figure ") == 10
    assert '<td data-label="trials">40</td>' in text


def test_verdicts_on_trainings_and_computed_checks_are_never_added(results, pictures, tmp_path):
    def change(claim):
        claim["verdict"] = "disagrees" if claim["trained"] else "agrees"

    text = page_with(results, pictures, tmp_path, change)

    every = claims_of(results).values()
    trained, _, computed = map(len, by_kind(every).values())
    none = {"inconclusive": 0, "not testable": 0}
    assert trained >= 10
    assert computed >= 12
    assert scores(text) == {
        "trained": {"agrees": 0, "disagrees": trained, **none},
        "computed": {"agrees": computed, "disagrees": 0, **none},
    }
    head = words_of(text[text.index("<header>") : text.index("</header>")])
    assert not re.search(rf"\b{len(every)}\b", head)


def test_the_page_begins_with_findings(page, results):
    text = page.read_text(encoding="utf-8")
    found = findings(list(claims_of(results).values()))
    section = text[text.index('<section id="findings">') : text.index('<section id="claims">')]

    assert found
    for finding in found:
        assert all(sentence in words_of(section) for sentence in finding.sentences)
    drawn = {finding.figure for finding in found} & set(re.findall(r'id="figure-(\w+)"', text))
    assert drawn
    assert set(re.findall(r'id="figure-(\w+)"', section)) == drawn
    assert "<table" not in text[: text.index('<section id="claims">')]


def test_the_counts_are_those_of_the_metrics(page, results):
    metrics = json.loads((results / "metrics.json").read_text())

    there = {kind: n for kind, n in metrics["verdicts"].items() if any(n.values())}
    assert scores(page.read_text(encoding="utf-8")) == there


def test_this_projects_claims_on_trainings_are_a_section_of_their_own(results, pictures, tmp_path):
    ours = {"h_penalised", "h_hindered"}

    def change(claim):
        claim["family"] = "project" if claim["key"] in ours else "paper"
        claim["verdict"] = "agrees" if claim["key"] in ours else "disagrees"

    text = page_with(results, pictures, tmp_path, change)
    section = text[text.index('<section id="edge">') : text.index('<section id="checks">')]
    assert set(re.findall(r'id="claim-(\w+)"', section)) == ours
    assert scores(text)["project"]["agrees"] == 2
    assert scores(text)["trained"]["agrees"] == 0


def test_each_kind_of_claim_has_its_own_table(page, results):
    text = page.read_text(encoding="utf-8")
    trained, computed = (
        set(re.findall(r'id="claim-(\w+)"', text[text.index(start) : text.index(end)]))
        for start, end in (('id="claims">', 'id="checks">'), ('id="checks">', 'id="figures">'))
    )
    kinds = by_kind(claims_of(results).values())
    assert trained == {claim["key"] for claim in kinds["trained"]}
    assert computed == {claim["key"] for claim in kinds["computed"]}


def test_a_claim_shows_what_decides_it_and_what_it_rests_on(page, results):
    text = page.read_text(encoding="utf-8")
    claim = claims_of(results)["fig4_norm"]

    sentence, decides, *beside = block(text, "fig4_norm")

    assert sentence.startswith("Raising beta2 raises the perturbed one-norm of the gradient.")
    for words in (
        *("at equal progress", claim["statistic"], "rises rises"),
        *(rows.estimate(claim), claim["interval"], "seeds 0 to 7", "n = 8, 40 of 40 trials"),
        *("agrees raw: agrees, p = ", ", corrected ", claim["reason"]),
    ):
        assert words in decides
    assert len(beside) == len(claim["readings"]) == 5
    for line, (name, reading) in zip(beside, rows.readings(claim), strict=True):
        assert line.startswith(f"{name} {reading['claimed']} ")
        assert rows.estimate(reading) in line
        assert reading["verdict"] in line
        assert reading["statistic"] in html.unescape(text)


def test_a_verdict_that_the_correction_undoes_shows_both(results, pictures, tmp_path):
    def change(claim):
        if claim["key"] == "fig4_norm":
            claim |= {"verdict": "inconclusive", "p": 0.03, "p_corrected": 0.3, "reason": "Why."}

    _, decides, *_ = block(page_with(results, pictures, tmp_path, change), "fig4_norm")

    assert "rises unresolved" in decides
    assert decides.endswith("inconclusive raw: agrees, p = 0.03, corrected 0.3 Why.")


def test_a_reading_that_is_not_testable_says_why(results, pictures, tmp_path):
    nothing = {"value": None, "low": None, "high": None, "n": 0, "seeds": [], "used": 0}

    def change(claim):
        if claim["key"] == "fig5_norm":
            claim["readings"]["peak"] |= nothing | {"verdict": "not testable", "reason": "Why."}
            claim["readings"]["relative"]["seeds"] = [2, 3, 4, 7]

    text = page_with(results, pictures, tmp_path, change)

    lines = block(text, "fig5_norm")
    assert "the paper's own falls – – n = 0 not testable : Why." in lines
    assert sum("seeds 2 to 4, 7" in line for line in lines) == 1


def test_the_page_says_which_seeds_decide(page, results, pictures, tmp_path):
    rule = Analyse(verdict=Verdict(first_seed=10))
    text = page_with(results, pictures, tmp_path, lambda claim: None, analyse=rule)

    assert "Seeds 10 and up decide" in words_of(text)
    assert "docs/preregistration.md" in text
    said = words_of(page.read_text(encoding="utf-8"))
    assert "none is set apart for exploring" in said
    assert "docs/preregistration.md" not in said


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
    kept = {"key", "verdict"}

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        return MARKUP if isinstance(value, str) and key not in kept else value

    claims = json.loads((results / "claims.json").read_text())
    figures = json.loads((pictures / "figures.json").read_text())
    trials = pd.read_parquet(results / "trials.parquet")
    shutil.copytree(pictures, tmp_path / "figures")
    write = (tmp_path / "figures" / "figures.json").write_text
    named = [{**spoil(row), "name": row["name"], "settings": {MARKUP: MARKUP}} for row in figures]
    write(json.dumps(named))
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


LONGEST = 15_000
"""Most pixels of the page on a telephone."""


@pytest.mark.browser
def test_on_a_telephone_the_page_is_short_and_figures_of_no_finding_are_folded(browser, page):
    tab = browser.new_page(viewport={"width": 400, "height": 900})
    tab.goto(page.as_uri())

    assert tab.evaluate("document.documentElement.scrollHeight") <= LONGEST
    assert tab.locator("#figure-fig5 img").is_visible()
    assert not tab.locator("#figure-fig1 img").is_visible()
    assert not tab.locator("#figure-fig5 .caption").inner_text().strip().endswith(".")
    tab.locator("#figure-fig1 > details > summary").click()
    assert tab.locator("#figure-fig1 img").is_visible()
    tab.close()


@pytest.mark.browser
def test_where_there_is_room_no_figure_or_caption_is_folded(browser, page):
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.goto(page.as_uri())

    pictures, captions = (tab.locator(f"figure {name}") for name in ("img", ".caption"))
    assert pictures.count() == captions.count() == 10
    assert all(picture.is_visible() for picture in pictures.all())
    assert all(caption.inner_text().strip().endswith(".") for caption in captions.all())
    tab.close()
