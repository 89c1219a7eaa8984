"""Whether trainings are as fast as at another commit: processor time of both, in pairs.

    python benchmarks/throughput.py REVISION [--pairs 8]

Each pair trains the same trial from both sources, in processes of one thread, in turn; what is
printed is the ratio of this working tree to the other commit, and that the losses are the same to
the last bit. Run it on a machine that does nothing else: ratios of single pairs scatter by 5%.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

ROOT = Path(__file__).parents[1]
TRIAL = """
import sys, time
import torch
import adambias as ab

torch.set_num_threads(1)
dataset, images, epochs, root = sys.argv[1:]
data = ab.load_dataset(dataset, train_size=int(images), root=root)
trial = ab.Trial(dataset=dataset, h=1e-3, epochs=int(epochs), eval_every=20)
training = ab.train(trial, data, device="cpu")
for _ in range(5):
    next(training)
started = time.process_time()
losses = [record.train_loss for record in training]
print(time.process_time() - started, losses[-1])
"""
CASES = (("digits", "400", "60"), ("photos", "200", "40"))
"""Dataset, images and epochs of each trial, of ResNet-8."""


def main(revision: str, pairs: int) -> None:
    """Train in pairs and print the ratios."""
    print(describe("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        subprocess.run(
            ["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", other, revision],
            check=True,
        )
        try:
            for case in CASES:
                _compare(case, {"this": ROOT / "src", "other": other / "src"}, folder, pairs)
        finally:
            command = ["git", "-C", ROOT, "worktree", "remove", "--force", other]
            subprocess.run(command, check=True)


def _compare(case: tuple[str, ...], sources: dict[str, Path], root: str, pairs: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    losses = {}
    for n in range(pairs):
        for name in sorted(sources, reverse=bool(n % 2)):
            environment = {**os.environ, "PYTHONPATH": str(sources[name])}
            command = [sys.executable, "-c", TRIAL, *case, f"{root}/data"]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            time, losses[name] = done.stdout.split()
            seconds[name].append(float(time))
    ratios = [this / other for this, other in zip(seconds["this"], seconds["other"], strict=True)]
    same = "the same" if losses["this"] == losses["other"] else "different"
    print(
        f"{' '.join(case[:2])}: median ratio {statistics.median(ratios):.3f} of {pairs} pairs "
        f"({min(ratios):.3f} to {max(ratios):.3f}), last loss {same}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision")
    parser.add_argument("--pairs", type=int, default=8)
    arguments = parser.parse_args()
    main(arguments.revision, arguments.pairs)
