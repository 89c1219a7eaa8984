"""Public names and documented modules are reachable, and cost nothing until they are used."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import subprocess
import sys

import pytest

import adambias as ab

MODULES = {
    "rules": "law.rules",
    "losses": "law.losses",
    "flows": "law.flows",
    "integration": "law.integration",
    "models": "networks.build",
    "optimizer": "training.optimizer",
    "checkpoint": "training.checkpoint",
}
NAMES = (
    *("UpdateRule", "Moment", "leading_order_flow", "modified_flow", "memoryless", "correction"),
    *("iterate", "integrate", "observed_order", "perturbed_one_norm", "load_dataset"),
    *("Trial", "train", "EpochRecord", "rules", "losses", "data", "training"),
)


@pytest.mark.parametrize(("short", "own"), MODULES.items())
def test_a_documented_module_is_one_under_both_names(short, own):
    module = importlib.import_module(f"adambias.{short}")

    assert module is importlib.import_module(f"adambias.{own}")
    assert module is getattr(ab, short)
    assert module.__spec__.name == f"adambias.{own}"
    # By its origin the ledger knows the code of a factory that is named by the short name.
    assert importlib.util.find_spec(f"adambias.{short}").origin == module.__file__


@pytest.mark.parametrize("short", MODULES)
def test_the_short_name_is_enough_in_a_fresh_process(short):
    code = (
        f"import adambias.{short} as a; from adambias.{short} import *; import adambias; "
        f"assert a is adambias.{short}; import adambias.{MODULES[short]} as b; assert a is b"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_there_and_listed(name):
    assert getattr(ab, name) is not None
    assert name in dir(ab)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="module 'adambias' has no attribute 'rulez'"):
        _ = ab.rulez
    with pytest.raises(ModuleNotFoundError, match=r"adambias\.rulez"):
        importlib.import_module("adambias.rulez")


def test_what_is_reached_by_a_short_name_is_pickled_by_its_own():
    from adambias.optimizer import RuleOptimizer

    assert pickle.loads(pickle.dumps(RuleOptimizer)) is RuleOptimizer


def test_importing_the_package_loads_no_torch():
    code = "import adambias, sys; sys.exit(bool({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
