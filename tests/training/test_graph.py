"""The gradient as a recorded graph, with what a graph does acted out on the CPU.

A graph replays kernels on fixed places, with the numbers that Python had at its recording. Whether
a pass over the blocks bears that shows without a GPU; that CUDA records it, in test_gpu.py.
"""

from __future__ import annotations

import logging

import pytest
import torch
from tape import Tape, recording
from torch import nn

import adambias as ab
from adambias.core.errors import AdambiasError
from adambias.training.graph import Replay
from adambias.training.objective import Objective
from adambias.training.trainer import Training


@pytest.fixture(autouse=True)
def _on_tape(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr(torch.cuda, "graph", recording)


@pytest.fixture
def recorded(monkeypatch):
    """Let trainings take the way of a GPU; return the replays that they made."""
    made = []

    def on_gpu(objective):
        objective._record()
        made.append(objective._replay)

    monkeypatch.setattr(Objective, "record", on_gpu)
    return made


def columns(records):
    return [record.values for record in records]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bn_statistics": "running"},
        {"norm": "none", "precision": "fp64"},
        {"precision": "bf16"},
        {"measures": ["smooth_norm", "sharpness"], "measure_every": 2, "ghost_batch_size": None},
        {"batch_size": 20, "ghost_batch_size": None, "bn_statistics": "running"},
        {"memory": "law_first_order"},
        {"model": "mlp", "norm": "none", "ghost_batch_size": None},
    ],
    ids=lambda changes: ", ".join(changes) or "exact statistics",
)
def test_a_training_by_replays_is_the_same_to_the_last_bit(quick, few_digits, recorded, changes):
    # Blocks of 16 of 40 images: the last is smaller.
    trial = quick(**{"epochs": 8, "eval_every": 3, "ghost_batch_size": 16} | changes)
    replayed = ab.train(trial, few_digits, device="cpu")
    found = columns(replayed)
    assert isinstance(recorded[0], Replay)
    recorded.clear()
    state = replayed.state_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "record", lambda objective: None)
        eager = ab.train(trial, few_digits, device="cpu")
        expected = columns(eager)
    assert found == expected
    other = eager.state_dict()
    for part in ("weights", "buffers", "moments"):
        torch.testing.assert_close(state[part], other[part], rtol=0, atol=0)


def test_a_replay_is_of_the_weights_as_they_are(quick, few_digits):
    objective = Objective(quick(ghost_batch_size=16), few_digits, torch.device("cpu"))
    replay = Replay(lambda: objective._gradient(None), objective.buffers_kept)
    kernels = len(replay._graph.kernels)
    with torch.no_grad():
        objective.theta.mul_(1.5)
    found, grad = replay(), objective.flat.grad.clone()
    assert torch.equal(found, objective._gradient(None))
    assert torch.equal(grad, objective.flat.grad)
    assert kernels > 100, "or nothing was recorded"


def test_going_on_from_a_checkpoint_replays_too(quick, few_digits, recorded):
    trial = quick(epochs=6, eval_every=2)
    whole = columns(ab.train(trial, few_digits, device="cpu"))
    first = ab.train(trial, few_digits, device="cpu")
    for _ in range(3):
        next(first)
    second = ab.train(trial, few_digits, state=first.state_dict(), device="cpu")
    list(second)
    assert columns(second.records) == whole
    assert None not in recorded


class Waiting(nn.Module):
    """Asks the device for a number in the middle of its pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, images):
        features = images.flatten(1)
        return self.layer(features / max(1.0, features.abs().max().item()))


class Counting(nn.Module):
    """Holds a number of Python's that changes from the third pass on."""

    def __init__(self):
        super().__init__()
        self.layer, self.passes = nn.Linear(64, 10), 0

    def forward(self, images):
        self.passes += self.training
        return self.layer(images.flatten(1)) * (1.0 if self.passes < 5 else 2.0)


OWN = "from test_graph import {0}\n\ndef make(style):\n    return {0}()\n"


@pytest.mark.parametrize(
    ("network", "words"),
    [("Waiting", "trained without a CUDA graph: operation not permitted when stream is capturing")],
)
def test_what_cannot_be_recorded_is_computed_block_by_block_and_said(
    quick, few_digits, recorded, importable, caplog, network, words
):
    importable("own_network", OWN.format(network))
    trial = quick(model="own_network:make", norm="none", epochs=3)
    with caplog.at_level(logging.WARNING, "adambias"):
        found = columns(ab.train(trial, few_digits, device="cpu"))
    assert recorded == [None]
    assert words in caplog.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "record", lambda objective: None)
        assert found == columns(ab.train(trial, few_digits, device="cpu"))


def test_one_whose_replay_differs_is_not_used(quick, few_digits, recorded, importable, caplog):
    importable("own_network", OWN.format("Counting"))
    trial = quick(model="own_network:make", norm="none", epochs=1)
    training = Training(trial, few_digits, device="cpu")
    # Two passes before the recording and two to warm up: the recorded one is the fifth.
    with caplog.at_level(logging.WARNING, "adambias"), pytest.raises(AdambiasError):
        next(training)
    assert recorded == [None]
    assert "whose gradient is not quite the same" in caplog.text
