"""The commit that a result comes from, or why it is not known."""

import subprocess

import pytest

from adambias.core import provenance
from adambias.core.provenance import git, git_state


@pytest.fixture
def repository(tmp_path):
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_commit_and_whether_there_are_changes(repository):
    found = git_state(repository)
    assert len(found["commit"]) == 40
    assert found["dirty"] is False


def test_a_folder_without_a_repository_says_so(tmp_path):
    assert git_state(tmp_path) == {
        "unknown": "not a git repository (or any of the parent directories): .git"
    }
    assert git(tmp_path, "rev-parse", "HEAD") == ""


def test_a_repository_of_somebody_elses_is_no_silence(repository, monkeypatch):
    """As in containers, whose user is another than the folder's."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git_state(repository)["unknown"].startswith("detected dubious ownership")


def test_without_a_commit_or_without_git_it_is_said_too(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert "HEAD" in git_state(tmp_path)["unknown"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"unknown": "git cannot be run (No such file or directory)"}


def test_a_git_that_hangs_is_given_up(repository, monkeypatch):
    slow = repository / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 20\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(provenance, "SECONDS", 0.2)
    assert git_state(repository) == {"unknown": "git took more than 0.2 s"}
