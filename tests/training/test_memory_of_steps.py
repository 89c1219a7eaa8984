"""Memory taken out of an optimizer's steps, predicted by the law, put in or cancelled."""

from __future__ import annotations

import pytest
import torch

import adambias as ab
from adambias.law.rules import adam
from adambias.training.following import NetworkLoss
from adambias.training.objective import Objective

SMOOTH = {
    **{"activation": "gelu", "norm": "none", "precision": "fp64"},
    **{"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-4, "h": 1e-4, "epochs": 8, "eval_every": 8},
}


def end_of(trial, data) -> torch.Tensor:
    """The weights before the last step, as one vector."""
    training = ab.train(trial, data, device="cpu")
    for _ in training:
        pass
    return torch.cat([part.reshape(-1) for part in training.weights().values()])


def vector_of(objective: Objective, theta: torch.Tensor) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in objective.flat.split(theta).values()])


@pytest.mark.parametrize("memory", ["forgotten", "law_first_order", "law_resummed"])
def test_steps_without_moments_are_the_laws_own_iterations(few_digits, quick, memory):
    trial = quick(**SMOOTH)
    objective = Objective(trial, few_digits, torch.device("cpu"))
    loss, start = NetworkLoss(objective), objective.theta.detach().clone()
    decays = {"beta1": 0.0, "beta2": 0.0} if memory == "forgotten" else {"beta1": 0.8, "beta2": 0.9}
    rule = adam(**decays, epsilon=trial.epsilon)
    if memory == "forgotten":  # the rule whose decays are zero has no past
        path = ab.iterate(rule, loss, start, trial.h, trial.epochs)
    else:
        flow = ab.memoryless(rule, loss, trial.h, memory=memory.removeprefix("law_"))
        path = ab.integrate(flow, start, trial.h, trial.epochs)
    expected = vector_of(objective, path[-1])
    begun = vector_of(objective, start)
    found = end_of(trial.replace(memory=memory), few_digits)
    assert (found - expected).norm() < 1e-8 * (expected - begun).norm()


def test_cancelling_leaves_the_forgotten_step_where_the_law_holds(few_digits, quick):
    trial = quick(**SMOOTH)
    ends = {
        memory: end_of(trial.replace(memory=memory), few_digits)
        for memory in ("optimizer", "forgotten", "cancelled_first_order", "cancelled_resummed")
    }
    effect = (ends["optimizer"] - ends["forgotten"]).norm()
    for memory in ("cancelled_first_order", "cancelled_resummed"):
        assert (ends[memory] - ends["forgotten"]).norm() < 0.1 * effect


def test_without_memory_the_decays_have_no_effect(few_digits, quick):
    ends = [
        end_of(quick(memory="forgotten", beta1=beta1, beta2=beta2, epochs=4), few_digits)
        for beta1, beta2 in ((0.0, 0.5), (0.9, 0.999))
    ]
    assert torch.equal(*ends)
