import dataclasses
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

import adambias as ab
from adambias.core.errors import CheckpointError
from adambias.training import checkpoint

VARIANTS = {
    "full batch": {},
    "blocks": {"ghost_batch_size": 15},
    "shuffled blocks": {"blocks": "shuffled", "ghost_batch_size": 15},
    "running statistics": {"bn_statistics": "running"},
    "shuffled mini-batches": {"batch_size": 15, "blocks": "shuffled"},
    "memory correction": {"correction_every": 2},
    "memory cancelled": {"memory": "cancelled_resummed"},
    "NAdam": {"rule": "nadam"},
    "Lion with weight decay": {"rule": "lion", "weight_decay": 0.1},
    "bf16": {"precision": "bf16"},
    "fp64": {"precision": "fp64"},
}


def _values(records):
    return [dataclasses.replace(record, seconds=0.0) for record in records]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_run_stopped_anywhere_and_resumed_gives_the_same_records(few_digits, quick, changes):
    trial = quick(**changes)
    whole = ab.train(trial, few_digits, device="cpu")
    expected = _values(whole)
    for stop in (0, 1, 4):
        begun = ab.train(trial, few_digits, device="cpu")
        for _ in range(stop):
            next(begun)
        state = checkpoint.loads(checkpoint.dumps(begun.state_dict()))
        rest = ab.train(trial, few_digits, state=state, device="cpu")
        assert rest.next_epoch == stop
        assert _values(rest) == expected[stop:]
        assert _values(rest.records) == expected
        for name, value in whole.weights().items():
            assert torch.equal(rest.weights()[name], value)
        assert rest.status == "finished"


def _train_with_checkpoints(trial, data, path):
    state = checkpoint.load(path, trial) if path.exists() else None
    training = ab.train(trial, data, state=state, device="cpu")
    for _ in training:
        checkpoint.save(path, training.state_dict())


def test_a_run_killed_at_random_times_gives_the_same_records(few_digits, quick, tmp_path):
    trial = quick(epochs=60, eval_every=7, blocks="shuffled", ghost_batch_size=20)
    expected = _values(ab.train(trial, few_digits, device="cpu"))
    path, chance = tmp_path / "checkpoint.pt", random.Random(0)
    fork, kills = multiprocessing.get_context("fork"), 0
    while True:
        worker = fork.Process(target=_train_with_checkpoints, args=(trial, few_digits, path))
        worker.start()
        if kills < 6:
            seen = len(checkpoint.load(path)["history"]) if path.exists() else 0
            while not (path.exists() and path.stat().st_size) and worker.is_alive():
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 0.2))
            os.kill(worker.pid, signal.SIGKILL)
        worker.join(120)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
        kills += 1
        assert len(checkpoint.load(path)["history"]) >= seen
    assert kills >= 1
    resumed = ab.train(trial, few_digits, state=checkpoint.load(path, trial), device="cpu")
    assert _values(resumed.records) == expected
    assert resumed.status == "finished"


def test_a_shorter_trial_is_extended_as_if_it_had_never_ended(few_digits, quick):
    long, short = quick(epochs=9, eval_every=4), quick(epochs=6, eval_every=4)
    expected = _values(ab.train(long, few_digits, device="cpu"))
    first = ab.train(short, few_digits, device="cpu")
    assert list(first)[-1].test_loss is not None
    extended = ab.train(long, few_digits, state=first.state_dict(), device="cpu")
    assert extended.status == "running"
    assert _values(extended) == expected[6:]
    assert _values(extended.records) == expected
    with pytest.raises(CheckpointError, match="epochs = 9, this trial has 6"):
        ab.train(short, few_digits, state=extended.state_dict())


def test_a_diverged_trial_stays_diverged(few_digits, quick):
    training = ab.train(quick(h=1e30, norm="none", epochs=20), few_digits, device="cpu")
    records = list(training)
    state = checkpoint.loads(checkpoint.dumps(training.state_dict()))
    again = ab.train(training.trial, few_digits, state=state, device="cpu")
    assert again.status == "diverged"
    assert list(again) == []
    assert len(again.records) == len(records)


def test_states_are_readable_with_weights_only_and_hold_everything(few_digits, quick, tmp_path):
    training = ab.train(quick(), few_digits, device="cpu")
    next(training)
    checkpoint.save(tmp_path / "checkpoint.pt", training.state_dict())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert {"weights", "buffers", "moments", "step", "generator", "history", "trial"} <= set(state)
    assert set(state["moments"]) == {"moment_0", "moment_1"}
    assert state["weights"]["conv1.weight"].is_contiguous()
    assert state["history"].shape[0] == state["step"] == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "absent"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(few_digits, quick, tmp_path, damage):
    path, training = tmp_path / "checkpoint.pt", ab.train(quick(), few_digits, device="cpu")
    for _ in range(2):
        next(training)
        checkpoint.save(path, training.state_dict())
    content = bytearray(path.read_bytes())
    if damage == "absent":
        path.unlink()
    else:
        flipped = content.copy()
        flipped[len(content) // 2] ^= 4
        damaged = {"cut": content[:-9], "flip": flipped, "empty": b"", "foreign": b"x" * 999}
        path.write_bytes(damaged[damage])
    with pytest.warns(UserWarning, match="going on from .*checkpoint.prev.pt"):
        state = checkpoint.load(path, training.trial)
    assert len(state["history"]) == 1
    (tmp_path / "checkpoint.prev.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="remove the folder's checkpoints"):
        checkpoint.load(path)


def test_the_state_of_another_trial_or_of_other_data_is_refused(few_digits, digits, quick):
    trial = quick()
    content = checkpoint.dumps(ab.train(trial, few_digits, device="cpu").state_dict())
    with pytest.raises(CheckpointError, match=r"another trial: beta1 = 0.9, this trial has 0.8"):
        checkpoint.loads(content, trial.replace(beta1=0.8))
    with pytest.raises(CheckpointError, match="seed"):
        ab.train(trial.replace(seed=3), few_digits, state=checkpoint.loads(content))
    with pytest.raises(CheckpointError, match="prepare the same data"):
        ab.train(trial, digits, state=checkpoint.loads(content))


def test_saving_leaves_no_temporary_files(few_digits, quick, tmp_path):
    state = ab.train(quick(), few_digits, device="cpu").state_dict()
    for _ in range(3):
        checkpoint.save(tmp_path / "checkpoint.pt", state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.prev.pt", "checkpoint.pt"]
