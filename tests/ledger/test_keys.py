"""Keys never change because the package grows: every ledger written so far goes on to count."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import pytest
from made_trials import DIGEST, finish, opened, start

from adambias.config import Trial, load_params
from adambias.config.trial import WITH_OPTIONS, later
from adambias.core.errors import CheckpointError, ConfigError
from adambias.core.validation import Positive
from adambias.ledger import ledger as ledgers
from adambias.ledger.job import Job, trial_key
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan
from adambias.training.checkpoint import require_same_trial

ROOT = Path(__file__).parents[2]
FROZEN = json.loads((Path(__file__).parent / "frozen_keys.json").read_text())
KEPT = sorted(path.parent for path in (ROOT / "results").glob("*/ledger/*/trial.json"))
LATER = {f.name for f in dataclasses.fields(Trial) if "later" in f.metadata}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grown(Trial):
    """A trial of a version to come, with a field more."""

    clip: Annotated[float | None, Positive] = later(None)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return opened(str(tmp_path / "runs"))


@pytest.mark.parametrize("kind", [Trial, Grown])
@pytest.mark.parametrize("entry", FROZEN["trials"], ids=lambda entry: entry["key"])
def test_the_keys_of_thirty_trials_never_change(entry, kind):
    trial = kind(**FROZEN["base"] | entry["trial"])
    own = {"rule_source": FROZEN["rule_source"]} if ":" in trial.rule else {}

    assert trial_key(trial, FROZEN["data"], own) == entry["key"]


def test_the_thirty_trials_cover_every_field_but_those_that_came_later():
    varied = {name for entry in FROZEN["trials"] for name in entry["trial"]} | {*FROZEN["base"]}

    assert len(FROZEN["trials"]) == 30
    assert varied == {f.name for f in dataclasses.fields(Trial)} - LATER


def test_the_kept_trials_are_found_by_their_keys():
    assert len(KEPT) >= 42
    for ledger in {folder.parent for folder in KEPT}:
        kept = Ledger.open(str(ledger))
        keys = kept.keys()
        assert [kept.job(key).key for key in keys] == keys
        assert kept.finished(keys) == set(keys)


@pytest.mark.parametrize("name", sorted(LATER))
def test_a_field_that_came_later_counts_once_it_is_used(name):
    field = next(f for f in dataclasses.fields(Trial) if f.name == name)
    others = {"loss": "own.losses:make", "measures": ("weight_norm",), "memory": "forgotten"}
    others |= {"measure_every": 5, "schedule": "cosine", "record_every": 5, "clip_norm": 1.0}
    others |= {f"{field}_options": {"width": 3} for field in WITH_OPTIONS}
    used = others[name]
    trial = Trial(h=1e-3, epochs=4, batch_size=10 if name == "record_every" else None)

    assert name not in trial.identity()
    assert trial_key(trial.replace(**{name: field.default}), DIGEST) == trial_key(trial, DIGEST)
    assert trial_key(trial.replace(**{name: used}), DIGEST) != trial_key(trial, DIGEST)


def test_a_later_field_is_validated_as_any():
    with pytest.raises(ConfigError, match=r"^clip = -1\.0: must be > 0$"):
        Grown(h=1e-3, epochs=4, clip=-1)


def test_what_an_earlier_version_left_is_gone_on_with(ledger, monkeypatch):
    """Folders and checkpoints that know nothing of a new field count as they are."""
    before, after = Trial(h=1e-3, epochs=4), Grown(h=1e-3, epochs=4)
    finish(ledger, Job.of(before, DIGEST), state_kept=True)
    unfinished = Job.of(before.replace(seed=1), DIGEST)
    start(ledger, unfinished, 2)

    monkeypatch.setattr(ledgers, "Trial", Grown)
    ledger.open_trial(Job.of(after.replace(seed=1), DIGEST))

    assert ledger.finished([Job.of(after, DIGEST).key])
    assert ledger.job(unfinished.key).trial == after.replace(seed=1)
    require_same_trial(dataclasses.asdict(before), after)
    with pytest.raises(CheckpointError, match=r"clip = None, this trial has 2\.0"):
        require_same_trial(dataclasses.asdict(before), after.replace(clip=2.0))
    with pytest.raises(CheckpointError, match=r"clip = 2\.0, this trial has None"):
        require_same_trial(dataclasses.asdict(after.replace(clip=2.0)), before)


def test_a_longer_training_goes_on_from_a_state_kept_by_an_earlier_version(ledger, tmp_path):
    params = load_params(ROOT / "params.yaml", "smoke")
    grid = dataclasses.replace(params.scale.grids["beta2"], axes={"seed": (0,)}, trials=())
    scale = dataclasses.replace(params.scale, grids={"beta2": grid})
    params = dataclasses.replace(params, scale=scale, root=tmp_path)
    trial = next(grid.expand(scale.trial))
    short = Job.of(trial.replace(epochs=trial.epochs - 1), DIGEST)
    finish(ledger, short, state_kept=True)

    plan = make_plan(params, ["beta2"], ledger, digests={trial.dataset: DIGEST})

    assert list(plan.extends.values()) == [short.key]
