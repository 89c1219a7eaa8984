"""A training needs no more than torch and what torch itself brings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TRAINING = """
import importlib.abc, sys
import torch, torchvision

BROUGHT = {"adambias", *"torch torchvision torchgen functorch triton numpy PIL sympy".split(),
           *"mpmath networkx jinja2 markupsafe filelock fsspec typing_extensions".split()}
asked = set()


class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top in BROUGHT or top in sys.stdlib_module_names or top.startswith("_"):
            return None
        asked.add(top)
        raise ModuleNotFoundError(name, name=name)


sys.meta_path.insert(0, Nothing())
import adambias as ab
from adambias.data.dataset import Dataset

drawn = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (30, 1, 8, 8), generator=drawn).to(torch.uint8)
labels = torch.randint(0, 10, (30,), generator=drawn)
data = Dataset(name="digits", digest="", train_inputs=images, train_targets=labels,
               test_inputs=images, test_targets=labels, num_classes=10, mean=(127.5,), std=(73.9,))
training = ab.train(ab.Trial(h=1e-3, epochs=3), data, device="cpu")
records = list(training)
state = ab.checkpoint.loads(ab.checkpoint.dumps(training.state_dict()))
assert len(state["history"]) == len(records) == 3
print("trained")
"""


def test_a_training_runs_where_there_is_torch_alone(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.stdout == "trained\n", run.stderr
