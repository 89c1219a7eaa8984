"""``--json``: one document on standard output, with the numbers of the text."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from made_trials import finish, start
from processes import asked

from adambias.config import load_params
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

DOCS = Path(__file__).parents[2] / "docs" / "command-line.md"
COMMANDS = [("plan", "--list", "tiny"), ("status", "tiny"), ("doctor",)]


@pytest.fixture
def keys(project: Path) -> list[str]:
    """The trials of a grid: one finished, one under way, two not begun."""
    params = load_params()
    ledger = Ledger.open(params.store)
    ledger.initialise()
    jobs = make_plan(params, ["tiny"], ledger).jobs
    finish(ledger, jobs[0], seconds_per_image=0.5)
    start(ledger, jobs[1], 4)
    return [job.key for job in jobs]


def document(*arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    done = asked(*arguments, "--json", **variables)
    assert done.returncode == code, done.stderr
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def test_a_plan_has_the_numbers_of_the_text(keys: list[str]) -> None:
    plan, text = (
        document("plan", "tiny", "--slots", "2"),
        asked("plan", "tiny", "--slots", "2").stdout,
    )

    row = plan["grids"]["tiny"]
    assert row == {
        **{"trials": 4, "done": 1, "diverged": 0, "to_resume": 1, "to_run": 2},
        **{"seconds": 280.0, "seconds_at_a_time": 140.0},
    }
    assert plan["all"] == row
    assert "tiny 4 1 0 1 2 4.7 min 2.3 min" in " ".join(text.split())
    assert (plan["scale"], plan["at_a_time"], plan["unmeasured"]) == ("small", 2, 0)
    assert plan["ledger"] == str(load_params().store)
    assert all(note in text for note in plan["notes"])
    assert "trials" not in plan


def test_a_listed_plan_has_every_trial(keys: list[str]) -> None:
    trials = document("plan", "tiny", "--list")["trials"]

    assert [each["trial"] for each in trials] == keys
    assert [each["state"] for each in trials] == ["done", "to resume", "to run", "to run"]
    told = {"h": 1e-3, "beta2": 0.9, "epochs": 6, "seed": 0, "eval_every": 3}
    assert trials[0]["settings"] == told


def test_a_time_that_nothing_tells_is_null(project: Path) -> None:
    plan = document("plan", "tiny")

    assert plan["unmeasured"] == 4
    assert plan["all"]["seconds"] is None


def test_a_status_has_the_states_of_the_text(keys: list[str]) -> None:
    status, text = document("status", "tiny"), asked("status", "tiny").stdout

    assert status["counts"] == {"done": 1, "interrupted": 1, "pending": 2}
    assert ", ".join(f"{n} {state}" for state, n in status["counts"].items()) in text
    assert [each["trial"] for each in status["trials"]] == keys
    for each in status["trials"]:
        (line,) = [line for line in text.splitlines() if each["trial"] in line]
        assert f" {each['state']} " in line
        assert f" {each['epochs']}/{each['of_epochs']} " in line


def test_doctor_says_the_same_and_fails_the_same(project: Path) -> None:
    text = asked("doctor")
    doctor = document("doctor", code=text.returncode)

    assert text.returncode == 1  # no MLflow answers here
    assert doctor["failed"] == sum(not each["ok"] for each in doctor["checks"])
    marks = [f"{'ok  ' if c['ok'] else 'FAIL'} {c['check']}: {c['said']}" for c in doctor["checks"]]
    assert marks == text.stdout.splitlines()


def test_doctor_finds_wrong_parameters_in_json_too(project: Path) -> None:
    (project / "params.yaml").write_text("scale: large\n")

    (check,) = document("doctor", code=1)["checks"]

    assert (check["check"], check["ok"]) == ("parameters", False)
    assert check["said"].startswith("params.yaml: scale = 'large': must be one of small")


@pytest.mark.parametrize("command", ["plan", "status"])
def test_an_error_leaves_standard_output_empty(project: Path, command: str) -> None:
    done = asked(command, "--json", "tinny")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: grid = 'tinny'")


def test_watching_in_json_is_refused(project: Path) -> None:
    done = asked("status", "--watch", "--json")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --watch: does not go with --json: leave one of them out\n"


@pytest.mark.parametrize("arguments", COMMANDS[:2], ids=" ".join)  # doctor takes long
def test_it_is_the_same_for_every_reader(keys: list[str], arguments: tuple[str, ...]) -> None:
    plain = asked(*arguments, "--json").stdout

    assert plain.isascii()
    for variables in (
        {"FORCE_COLOR": "1", "COLUMNS": "20"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
    ):
        if "LC_ALL" in variables and not sys.executable.isascii():
            pytest.skip("without its letters Python cannot read an environment at such a path")
        assert asked(*arguments, "--json", **variables).stdout == plain


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_field_is_documented(keys: list[str], arguments: tuple[str, ...]) -> None:
    code = 1 if arguments[0] == "doctor" else 0
    known = set(re.findall(r"`(\w+)`", DOCS.read_text(encoding="utf-8")))

    assert names(document(*arguments, code=code)) <= known


def names(content: Any) -> set[str]:
    """The fields of a document; names of grids, states and settings are the user's."""
    if isinstance(content, list):
        return set().union(*map(names, content))
    if not isinstance(content, dict):
        return set()
    found = set(content)
    for name, value in content.items():
        if name == "grids":
            found |= set().union(*map(names, value.values()))
        elif name not in ("settings", "counts"):
            found |= names(value)
    return found
