"""Killed workers, drivers and nodes: the tables end as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import torch
from processes import (
    Running,
    change,
    has_checkpoint,
    make_project,
    moment,
    sweep_of,
    tables,
    trial_workers,
)

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

LOST = "goes on from its last checkpoint"
LONG = {"epochs": 3000, "eval_every": 100}
KILLS = 10


def kill_a_worker(run: Running, chance: random.Random) -> None:
    """Kill one of the processes that train, at a random moment, and see that it is noticed."""
    losses = run.said().count(LOST)
    moment(chance, 1.0)
    seen: list[psutil.Process] = []

    def look() -> list[psutil.Process]:
        seen[:] = trial_workers(run.process)
        return seen

    run.wait_for(look)
    chance.choice(seen).kill()
    run.wait_for(lambda: run.said().count(LOST) > losses)


def kill_the_driver(run: Running, chance: random.Random) -> None:
    """Kill the driver at a random moment after its trials have begun."""
    run.wait_for(lambda: trial_workers(run.process))
    moment(chance, 3.0)
    run.kill()


@pytest.mark.soak  # each loss alone: a node below, a driver in test_interruptions.py
def test_a_killed_worker_and_a_killed_driver_change_nothing(
    project: Path, undisturbed: dict[str, bytes]
) -> None:
    chance = random.Random(0)
    run = sweep_of(project, "beta2")
    run.wait_for(lambda: has_checkpoint(project))
    kill_a_worker(run, chance)
    kill_the_driver(run, chance)

    again = sweep_of(project, "beta2")
    assert again.end() == 0, again.said()
    assert tables(project, "beta2") == undisturbed


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of one processor, the second with a GPU that is there in name only."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node, num_gpus=1)
    yield cluster
    cluster.shutdown()


def test_a_lost_node_changes_nothing(
    project: Path, undisturbed: dict[str, bytes], cluster: Cluster
) -> None:
    change(project, "resources", cpus_per_trial=0.5)
    lost = cluster.worker_nodes.copy().pop()
    raylet = psutil.Process(lost.all_processes["raylet"][0].process.pid)

    run = sweep_of(project, "beta2", RAY_ADDRESS=cluster.address)
    run.wait_for(lambda: has_checkpoint(project) and trial_workers(raylet))
    moment(random.Random(1), 1.0)
    cluster.remove_node(lost, allow_graceful=False)

    assert run.end() == 0, run.said()
    assert LOST in run.said()
    assert tables(project, "beta2") == undisturbed


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU on this machine")
def test_a_gpu_that_torch_does_not_see_is_a_failure_and_no_training_on_the_cpu(
    project: Path, cluster: Cluster
) -> None:
    change(project, "resources", cpus_per_trial=0.5, gpus_per_trial=0.5, error_budget=1)
    run = sweep_of(project, "beta2", RAY_ADDRESS=cluster.address)
    assert run.end() == 1, run.said()
    said = run.said()
    assert f"a GPU was granted, and torch sees none (torch {torch.__version__} " in said
    assert "install a build that fits the driver, or set gpus_per_trial = 0" in said
    assert not list((project / "runs").glob("*/done.json"))


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("long")
    make_project(folder)
    change(folder, "trial", **LONG)
    run = sweep_of(folder, "tiny", "--executor", "inline")
    assert run.end() == 0, run.said()
    return tables(folder, "tiny")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_killed_workers_in_a_row_change_nothing(
    project: Path, long_undisturbed: dict[str, bytes]
) -> None:
    change(project, "trial", **LONG)
    change(project, "resources", retries=KILLS)
    chance = random.Random(2)
    run = sweep_of(project, "tiny")
    run.wait_for(lambda: has_checkpoint(project))
    for _ in range(KILLS):
        kill_a_worker(run, chance)

    assert run.end() == 0, run.said()
    assert tables(project, "tiny") == long_undisturbed


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_killed_drivers_in_a_row_change_nothing(
    project: Path, long_undisturbed: dict[str, bytes]
) -> None:
    change(project, "trial", **LONG)
    chance = random.Random(3)
    for _ in range(KILLS):
        kill_the_driver(sweep_of(project, "tiny"), chance)

    again = sweep_of(project, "tiny")
    assert again.end() == 0, again.said()
    assert tables(project, "tiny") == long_undisturbed
