"""``make setup`` where people unpack a project: odd paths, no Git repository, an own index.

uv, pip and DVC are the real ones; what is installed is a small package that needs no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from project_folder import ROOT

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "adambias"
version = "0"
"""
BACKEND = """
import os, zipfile


def build_editable(folder, settings=None, metadata=None):
    name = "adambias-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        about = "adambias-0.dist-info"
        wheel.writestr("adambias.pth", os.getcwd() + "/src")
        named = "Name: adambias\\nVersion: 0\\n"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\\n" + named)
        tags = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\n" + tags)
        wheel.writestr(f"{about}/RECORD", "")
    return name
"""
ODD = """mein Prüfstand it's "a" $HOME #b %20?*"""
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
pytestmark = pytest.mark.skipif(
    shutil.which("uv", path=PATH) is None, reason="uv is not on PATH, where make test has it"
)


def unpack(folder: Path, lock: str = "") -> Path:
    """Put the Makefile and a small package into a folder, as an archive without Git has it."""
    (folder / "src" / "adambias").mkdir(parents=True)
    (folder / "src" / "adambias" / "__init__.py").write_text("")
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "*local"))
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "requirements.lock").write_text(lock)
    return folder


def make(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    dropped = ("PYTHON", "UV_", "PIP_", "SSL_CERT", "MAKE", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    variables = {"PATH": PATH} | variables
    return subprocess.run(
        ["make", target, f"PYTHON={sys.executable}"],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_one_environment_is_made_inside_a_project_at_an_odd_path(tmp_path: Path) -> None:
    folder = unpack(tmp_path / ODD / "adambias")

    done = make(folder, "setup")

    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
    assert [path.name for path in (tmp_path / ODD).iterdir()] == ["adambias"]
    code = "import adambias; print(adambias.__file__)"
    python = folder / ".venv" / "bin" / "python"
    found = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, cwd="/")
    assert Path(found.stdout.strip()).parent == folder / "src" / "adambias", found.stderr
    again = make(folder, "setup")
    assert (again.returncode, again.stdout) == (0, ""), "it is up to date"


def test_a_colon_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = unpack(tmp_path / "a:b")
    before = sorted(folder.rglob("*"))

    done = make(folder, "setup")

    assert done.returncode != 0
    said = f"{folder}: has a colon, which parts the folders of PATH: move the project to a path"
    assert done.stderr.splitlines()[0] == f"{said} without one"
    assert sorted(folder.rglob("*")) == before


def test_without_a_git_repository_dvc_works(tmp_path: Path) -> None:
    folder = unpack(tmp_path / "adambias-main")
    (folder / "dvc.yaml").write_text("stages: {hello: {cmd: echo hi > out, outs: [out]}}\n")

    done = make(folder, "reproduce")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no Git repository here: DVC does without" in done.stdout
    assert (folder / "out").read_text() == "hi\n"
    assert "no Git" not in make(folder, "reproduce").stdout, "said once"


def test_in_a_git_repository_dvc_uses_it(tmp_path: Path) -> None:
    folder = unpack(tmp_path / "adambias-main" / "below")
    subprocess.run(["git", "init", "-q", folder.parent], check=True)

    assert make(folder, "setup").returncode == 0
    assert not (folder / ".dvc" / "config.local").exists()


class _Index(BaseHTTPRequestHandler):
    """A package index that has nothing, and keeps who asked for what."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.headers["User-Agent"].partition("/")[0], self.path))
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []
    handler = type("_Handler", (_Index,), {"asked": asked})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("where", ["PIP_INDEX_URL", "pip.conf", "UV_DEFAULT_INDEX"])
def test_the_index_that_pip_has_is_uvs_too(
    tmp_path: Path, index: tuple[str, list[tuple[str, str]]], where: str
) -> None:
    url, asked = index
    folder = unpack(tmp_path / "adambias", lock="a-package-of-ours==1.0\n")
    given = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), where: url}
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/simple\n")
    if where == "pip.conf":
        del given[where]
        (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")

    done = make(folder, "setup", **given)

    assert done.returncode != 0
    assert ("uv", "/simple/a-package-of-ours/") in asked, done.stderr
    assert not (folder / ".venv" / ".installed").exists()
