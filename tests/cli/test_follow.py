"""``adambias follow``, as it is called."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from adambias.training.following import COLUMNS


def follow(project, *options):
    command = [sys.executable, "-m", "adambias.cli.main", "follow", "--device", "cpu", *options]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_table_is_shown_and_all_rows_are_written(project):
    done = follow(project, "--set", "epochs=4", "--law", "moment", "--out", "rows.parquet")
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(project / "rows.parquet")
    assert tuple(rows.columns) == COLUMNS
    assert rows.groupby("law")["n"].apply(list).to_dict() == {
        "moment": [0, 1, 2, 3],
        "optimizer": [0, 1, 2, 3],
    }
    assert f"{len(rows)} rows in rows.parquet" in done.stdout
    last = rows[(rows["law"] == "optimizer") & (rows["n"] == 3)].iloc[0]
    assert f"{last['train_loss']:.4g}" in done.stdout


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("beta1", "--set = 'beta1': must be FIELD=VALUE"),
        ("betta1=1", "(did you mean beta1?)"),
        ("beta1=1.5", "beta1 = 1.5: must be >= 0 and < 1"),
        ("beta1=[", "--set beta1 = '[': is not a YAML value"),
        ("batch_size=10", "batch_size = 10: must be left out"),
    ],
)
def test_a_bad_field_is_one_line(project, assignment, words):
    done = follow(project, "--set", assignment)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
