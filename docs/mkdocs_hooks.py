"""Hooks of the site's build: files outside docs/, notebooks as pages, formulas as MathML.

Pages link to figures, tables and notebooks as files of the repository, which is what a Git host
needs. Each such file has one place on the site: ``docs/x`` at ``x``, anything else at its own path.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
FORMULA = re.compile(r'<(div|span) class="arithmatex">\\([\[(])(.*?)\\[\])]</\1>', re.DOTALL)
QUOTATION = re.compile(r"<!--.*?-->")
"""The marks of numbers that a test fills in: at the beginning of a line they end a paragraph."""
ALONE = ("index.md", "explore.md")
"""Pages that are alone in their section, and as wide as the window."""
EXPLORER = "src/adambias/figures/report/explorer.html"
PICTURE = re.compile(r'<img [^>]*?src="([^"]+)"[^>]*>')
GLOSSARY = re.compile(r"^## Words\n(.*?)(?=^## )", re.DOTALL | re.MULTILINE)
"""The section of the README that is the site's page of words."""


def home(link: str, page: str) -> str:
    """Return the path in the repository that a link on a page means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def place(path: str) -> str:
    """Return the path in the site's sources of a file of the repository."""
    if path == "README.md":
        return "words.md"
    if path == EXPLORER:
        return "explorer.html"
    return path.removeprefix("docs/").replace(".ipynb", ".md")


def source(page: File) -> str:
    """Return the path in the repository of a page of the site."""
    return Path(page.abs_src_path or "").relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    """Return a file of the repository as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n\n".join(cells(json.loads(text)))
    if path == ROOT / "README.md":
        (words,) = GLOSSARY.findall(text)
        return f"# What the words mean\n\n<a id='words'></a>\n{words}"
    return text


def cells(notebook: dict[str, Any]) -> Iterator[str]:
    """Return the cells of a notebook as Markdown, without what they have printed."""
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        yield text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def on_files(files: Files, config: Any) -> Files:
    """Add what the pages link to outside docs/, and what those files link to."""
    files.append(made("README.md", config))
    files.append(made("CHANGELOG.md", config))
    pages = [file for file in files if file.is_documentation_page()]
    while pages:
        page = source(pages.pop())
        for link in LINK.findall(text_of(ROOT / page)):
            path = home(link, page)
            if files.get_file_from_path(place(path)) is None and (ROOT / path).is_file():
                file = made(path, config)
                files.append(file)
                if (ROOT / narrow(path)).is_file():
                    files.append(made(narrow(path), config))
                pages += [file] if file.is_documentation_page() else []
    return files


def narrow(picture: str) -> str:
    """Return where a figure's picture for a telephone is, if there is one."""
    return posixpath.join(posixpath.dirname(picture), "narrow", posixpath.basename(picture))


def made(path: str, config: Any) -> File:
    """Return a file of the repository as a file of the site."""
    return File.generated(config, place(path), abs_src_path=str(ROOT / path))


def on_page_read_source(page: Any, config: Any) -> str | None:
    """Read notebooks and the README's glossary as Markdown."""
    path = ROOT / source(page.file)
    return text_of(path) if path.suffix == ".ipynb" or path.name == "README.md" else None


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository into links between files of the site."""
    here = source(page.file)
    if page.file.src_uri in ALONE:
        page.meta["hide"] = ["navigation", "toc"]
    folder = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        path = home(match[1], here)
        # MkDocs itself warns of a link to nothing, with the link as it stands in the page.
        found = files.get_file_from_path(place(path))
        return posixpath.relpath(found.src_uri, folder) if found else match[1]

    return LINK.sub(moved, QUOTATION.sub("", markdown))


def on_page_content(html_text: str, page: Any, config: Any, files: Files) -> str:
    """Typeset formulas as MathML, which browsers show without a script, and fit pictures."""
    folder = posixpath.dirname(page.file.src_uri)

    def fitted(match: re.Match[str]) -> str:
        small = narrow(match[1])
        if files.get_file_from_path(posixpath.normpath(posixpath.join(folder, small))) is None:
            return match[0]
        source = f'<source media="(max-width: 600px)" srcset="{small}">'
        return f"<picture>{source}{match[0]}</picture>"

    def typeset(match: re.Match[str]) -> str:
        tag, display = match[1], "block" if match[2] == "[" else "inline"
        formula = convert(html.unescape(match[3]), display=display)
        return f'<{tag} class="formula">{formula}</{tag}>'

    return PICTURE.sub(fitted, FORMULA.sub(typeset, html_text))


class Later(griffe.Extension):
    """Show a field's default as it is, not as the call of ``later`` that declares it."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **options: Any) -> None:
        """Put the argument of ``later`` in the place of the call."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == "later":
            attr.value = value.arguments[0]
