"""Results are the same bytes whatever instructions the processor has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from project_folder import ROOT

from adambias.core.files import write_json
from adambias.studies.results import write_results

SCRIPT = """
import json, sys
from pathlib import Path
import adambias as ab
from adambias.config import load_params
from adambias.studies import bilinear, netflow
from adambias.studies.results import NETWORK_DIGITS, write_results

scale = load_params(sys.argv[1], "laptop").scale
data = ab.load_dataset("digits", train_size=400, root=sys.argv[2])
found = [bilinear.order(scale.bilinear, "tanh_mlp", rule) for rule in ("adam", "signum")]
found += [bilinear.growing_memory(scale.bilinear, name) for name in ("bilinear", "tanh_mlp")]
write_results(found, Path("law.json"))
loss, start = netflow.network_loss(scale.netflow, data)
path = ab.iterate(ab.rules.adam(epsilon=1e-6), loss, start, 1e-3, 5)
found = [float(loss(start)), (path - start).norm(dim=-1).tolist()]
write_results(found, Path("network.json"), digits=NETWORK_DIGITS)
Path("every_digit.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict[str, bytes]]:
    """What is written with the oldest instructions, and with this processor's."""
    data = tmp_path_factory.mktemp("data")
    found = []
    for capability in ("default", torch.backends.cpu.get_cpu_capability().lower()):
        folder = tmp_path_factory.mktemp(capability)
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(ROOT / "params.yaml"), str(data)],
            cwd=folder,
            env={**os.environ, "ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1"},
            check=True,
        )
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    return found


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this processor has no other"
)
@pytest.mark.soak  # two stages of the law, twice
def test_other_instructions_give_the_same_files(results):
    old, new = results
    assert old.pop("every_digit.json") != new.pop("every_digit.json"), "nothing is put to the test"
    assert old == new


def test_settings_and_integers_keep_their_digits(tmp_path):
    file = tmp_path / "results.json"
    given = 0.12345678901234567
    content = {
        "settings": {"x": [given]},
        "rows": [{"beta2": given, "steps": (given, 12345678901), "nothing": float("nan")}],
    }
    write_results(content, file, digits=4)
    assert json.loads(file.read_text()) == {
        "settings": {"x": [given]},
        "rows": [{"beta2": given, "steps": [0.1235, 12345678901], "nothing": None}],
    }
    write_json([given, 1e-300 * given, -2.0, True], file)
    assert json.loads(file.read_text()) == [0.123456789, 1.23456789e-301, -2.0, True]


@pytest.mark.parametrize("name", ["bilinear.json", "table1.json", "netflow.json"])
def test_the_results_kept_with_the_project_are_written_so(tmp_path, name):
    kept = ROOT / "results" / name
    again = tmp_path / Path(name)
    write_results(json.loads(kept.read_text()), again, digits=5 if name == "netflow.json" else 9)
    assert again.read_text() == kept.read_text()
