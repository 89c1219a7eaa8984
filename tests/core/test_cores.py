"""How many processors there are: the affinity, and a container's quota of either version."""

import os

import pytest

from adambias.core import processes


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write a machine of 16 processors with control groups: ``groups(own, {file: text})``."""

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(processes, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    return write


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/docker/of-the-host\n", {"cpu.max": "400000 100000\n"}, 4),
        (
            "4:cpu,cpuacct:/job\n3:memory:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "600000", "cpu/job/cpu.cfs_period_us": "100000"},
            6,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 16),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 16),
    ],
)
def test_a_quota_counts_as_whole_processors(groups, own, files, expected):
    groups(own, files)
    assert processes.cores() == expected


def test_where_there_are_no_groups_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "none")
    monkeypatch.setattr(processes, "OWN_GROUPS", tmp_path / "nothing")
    assert processes.cores() == len(os.sched_getaffinity(0))
