"""Which commit the report names as the one that stated the claims."""

from __future__ import annotations

import importlib.metadata
import subprocess
from email.message import Message
from pathlib import Path

import pytest

from adambias.config import Analyse, Verdict
from adambias.figures.report import page as report
from adambias.figures.report.preregistration import FILE, stated


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=tester", "-c", "user.email=tester@localhost", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    """Commit a file, and return the commit."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit, before anything is stated."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "README.md", "a project")
    (folder / "results").mkdir()
    return folder


def with_site(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let the package's metadata have these addresses."""
    metadata = Message()
    for address in addresses:
        metadata["Project-URL"] = address
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)


def test_the_commit_is_the_one_that_added_the_file_at_every_later_one(project):
    assert stated(project / "results")["commit"] is None
    added = commit(project, FILE, "what decides")
    assert stated(project / "results")["commit"] == added
    commit(project, FILE, "what decides, with a later change")
    commit(project, "README.md", "another")
    assert stated(project / "results")["commit"] == added


def test_a_file_that_was_away_for_a_while_counts_from_its_first_commit(project):
    added = commit(project, FILE, "what decides")
    git(project, "rm", "-q", FILE)
    git(project, "commit", "-q", "-m", "away")
    commit(project, FILE, "what decides")

    assert stated(project)["commit"] == added


def test_outside_of_a_repository_there_is_no_commit(tmp_path):
    expected = {"file": FILE, "commit": None, "file_url": None, "commit_url": None}
    assert stated(tmp_path) == expected


def test_a_history_that_does_not_go_back_to_it_names_no_commit(project, tmp_path):
    commit(project, FILE, "what decides")
    commit(project, "README.md", "another")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", "shallow")

    assert (tmp_path / "shallow" / FILE).exists()
    assert stated(tmp_path / "shallow")["commit"] is None


def test_links_need_a_site_of_the_project_not_a_remote(project, monkeypatch):
    added = commit(project, FILE, "what decides")
    git(project, "remote", "add", "origin", "https://user:secret@github.com/someone/fork")
    assert stated(project)["commit_url"] is None

    with_site(
        monkeypatch,
        "Issues, https://github.com/someone/project/issues",
        "Repository, https://github.com/someone/project",
    )

    site = "https://github.com/someone/project"
    assert stated(project)["commit_url"] == f"{site}/commit/{added}"
    assert stated(project)["file_url"] == f"{site}/blob/{added}/{FILE}"


@pytest.mark.parametrize("site", [None, "https://github.com/someone/project"])
def test_the_report_names_the_commit_and_is_the_same_at_later_ones(
    project, results, pictures, monkeypatch, site
):
    with_site(monkeypatch, *([f"Repository, {site}"] if site else []))
    added = commit(project, FILE, "what decides")
    for name in ("claims.json", "trials.parquet"):
        (project / "results" / name).write_bytes((results / name).read_bytes())

    def make() -> bytes:
        rule = Analyse(verdict=Verdict(first_seed=10))
        out = project / "reports" / "index.html"
        folder = project / "results"
        return report.run(folder, pictures, out, scale="made-up", analyse=rule).read_bytes()

    first = make()
    commit(project, "README.md", "another")

    assert make() == first
    assert f"<code>{added[:12]}</code>".encode() in first
    linked = f'<a href="{site}/commit/{added}"><code>{added[:12]}</code></a>'.encode()
    assert (linked in first) == bool(site)
