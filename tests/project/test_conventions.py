"""What hosts of repositories, citation tools and contributors read is valid, and true."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"
SCHEMAS = [
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
    ("vendor.github-issue-forms", FORMS / "bug.yml"),
    ("vendor.github-issue-forms", FORMS / "feature.yml"),
    ("vendor.github-issue-config", FORMS / "config.yml"),
    ("vendor.citation-file-format", ROOT / "CITATION.cff"),
]
PAGES = ["CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md", "CITATION.cff"]


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def steps(key: str) -> list[str]:
    """Return what steps of the workflows run or use."""
    return [
        step[key]
        for path in WORKFLOWS
        for job in read(path)["jobs"].values()
        for step in job["steps"]
        if key in step
    ]


def checked(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against a schema that check-jsonschema brings along."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    return subprocess.run(
        [*command, "--default-filetype", "yaml", path], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=lambda each: Path(each).name)
def test_it_is_valid_by_its_schema(schema: str, path: Path) -> None:
    done = checked(schema, path)

    assert done.returncode == 0, done.stdout


def test_a_schema_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:", 1))

    assert checked("vendor.github-workflows", wrong).returncode == 1


def test_checks_are_commands_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    lines = [line for words in steps("run") for line in words.splitlines()]
    called = {line.removeprefix("make ") for line in lines if line.startswith("make ")}
    others = {line for line in lines if not line.startswith("make ")}

    assert {"lint", "test", "docs", "wheel"} <= called
    assert called <= targets
    assert all(re.match(r"sudo apt-get |test -x /usr/bin/chromium ", line) for line in others)


def test_every_supported_python_is_tested_and_no_other() -> None:
    (matrix,) = (
        job["strategy"]["matrix"]["python"]
        for path in WORKFLOWS
        for job in read(path)["jobs"].values()
        if "strategy" in job
    )
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # type: ignore[union-attr]

    assert matrix == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_a_workflow_gets_no_more_than_it_needs() -> None:
    for path in WORKFLOWS:
        workflow = read(path)
        assert workflow["permissions"] == {"contents": "read"}
        assert workflow["concurrency"]["cancel-in-progress"] is True
    for action in steps("uses"):
        assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", action)


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    (paper,) = citation["references"]

    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert paper["url"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert [author["family-names"] for author in paper["authors"]] == [
        *("Cattaneo", "Klusowski", "Shigida")
    ]


def test_hooks_are_the_tools_of_the_environment() -> None:
    repositories = read(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {repo["repo"]: repo["hooks"] for repo in repositories}
    tools = {hook["entry"].split()[0] for hook in hooks["local"]}

    assert {f".venv/bin/{name}" for name in ("ruff", "mypy", "check-jsonschema")} == tools
    assert all(hook["language"] == "system" for hook in hooks["local"])
    (other,) = set(hooks) - {"local"}
    assert {hook["id"] for hook in hooks[other]} == {"check-yaml", "end-of-file-fixer"}
    wanted = {re.split(r"[><=\[]", each)[0] for each in PROJECT["optional-dependencies"]["dev"]}
    assert {Path(tool).name for tool in tools} <= wanted


def test_tracked_texts_end_as_the_hook_wants_them() -> None:
    (hook,) = (
        hook
        for repo in read(ROOT / ".pre-commit-config.yaml")["repos"]
        for hook in repo["hooks"]
        if hook["id"] == "end-of-file-fixer"
    )
    wrong = [
        name
        for name in tracked()
        if not re.search(hook["exclude"], name) and not ends_well(ROOT / name)
    ]

    assert wrong == []


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"no Git repository at {ROOT}")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def ends_well(path: Path) -> bool:
    content = path.read_bytes()
    if b"\0" in content or not content:
        return True
    return content.endswith(b"\n") and not content.endswith(b"\n\n")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_referred_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    named += re.findall(r"\b(?:docs|tests|src)/[\w/.-]+\w", text)

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_modules_that_contributors_are_told_of_are_the_packages() -> None:
    import adambias

    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = (adambias.__doc__ or "").split("imports only those before it:")[1].split(".")[0]

    assert re.findall(r"\w+", told.split("direction only:")[1].split(".")[0]) == re.findall(
        r"``(\w+)``", words
    )
