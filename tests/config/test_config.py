from __future__ import annotations

import inspect
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from project_folder import ROOT, SWEEPS, adambias, changed, make_project, smoke_text
from ruamel.yaml import YAML

from adambias.config import (
    TRIAL_FIELDS,
    Analyse,
    Grid,
    Resources,
    Trial,
    load_params,
    scale_names,
)
from adambias.core.errors import ConfigError
from adambias.core.registry import RULES
from adambias.law import rules

REGIMES = "axes: {beta2: [0.9, 0.999], beta1: [0.0, 0.9]}"
GRIDS = SWEEPS[SWEEPS.index("grids:") : SWEEPS.index("resources:")]
BAD = {
    "unknown section": (
        smoke_text() + "\ngridz: {}\n",
        "gridz = {}: unknown key, must be one of",
        "(did you mean grids?)",
    ),
    "unknown key": (
        changed("  beta1: 0.9\n", "  beta_1: 0.9\n"),
        "trial.beta_1 = 0.9: unknown key",
        "(did you mean beta1?)",
    ),
    "unknown key of a dataset": (
        changed("train_size: 60", "train_sise: 60"),
        "prepare.datasets.digits.train_sise = 60: unknown key",
        "(did you mean train_size?)",
    ),
    "misspelt model": (
        changed("model: resnet8", "model: resent8"),
        "trial.model = 'resent8': must be one of resnet8",
        "(did you mean resnet8?)",
    ),
    "misspelt rule": (
        changed("rule: adam\n", "rule: adamm\n"),
        "trial.rule = 'adamm': must be one of",
        "or package.module:factory",
    ),
    "misspelt norm": (
        changed("rule: adam\n", "rule: adam\n  norm: bach\n"),
        "trial.norm = 'bach': must be one of batch, group, none",
        "(did you mean batch?)",
    ),
    "dataset that is not prepared": (
        changed("dataset: digits", "dataset: digit"),
        "trial.dataset = 'digit': must be one of digits",
        "",
    ),
    "beta1 of 1": (
        changed("  beta1: 0.9\n", "  beta1: 1.0\n"),
        "trial.beta1 = 1.0: must be >= 0 and < 1",
        "",
    ),
    "beta1 of 1 in an axis": (
        changed("beta1: [0.5, 0.9]", "beta1: [0.5, 1.0]"),
        "axes.beta1 = 1.0: must be >= 0 and < 1",
        "",
    ),
    "negative h": (changed("  h: 1e-3\n", "  h: -1e-3\n"), "trial.h = -0.001: must be > 0", ""),
    "negative h with a horizon": (
        changed("{h: 1e-3, beta2: 0.9}", "{h: -1e-3, beta2: 0.9}"),
        "grids.h.trials[0].h = -0.001: must be a number > 0",
        "",
    ),
    "epochs beside a horizon": (
        changed("{h: 1e-3, beta2: 0.9}", "{h: 1e-3, epochs: 3}"),
        "grids.h.trials[0].epochs = 3: leave it out: horizon sets it",
        "",
    ),
    "not a number": (changed("  h: 1e-3\n", "  h: .nan\n"), "trial.h = nan: must be a finite", ""),
    "no grids": (
        changed(GRIDS, "grids: {}\n\n"),
        "grids = []: must have at least 1 entry",
        "",
    ),
    "grid called as the analysis": (
        changed("  regimes:", "  Analysis:"),
        "grids = 'Analysis': is what the experiment of the analysis is called in MLflow",
        "",
    ),
    "grid whose name a shell splits": (
        changed("  regimes:", "  all regimes:"),
        "grids = 'all regimes': a name must be letters, digits, _ and -",
        "",
    ),
    "dataset whose name is a path": (
        changed("    digits:", "    ../digits:"),
        "prepare.datasets = '../digits': a name must be letters, digits, _, . and -",
        "",
    ),
    "empty grid": (
        changed(REGIMES, "axes: {}"),
        "grids.regimes.axes = {}: the grid is empty, give axes or trials",
        "",
    ),
    "empty axis": (
        changed("beta2: [0.9, 0.999]", "beta2: []"),
        "grids.regimes.axes.beta2 = []: must not be empty",
        "",
    ),
    "axis that is no list": (
        changed("beta2: [0.9, 0.999]", "beta2: 0.9"),
        "grids.regimes.axes.beta2 = 0.9: must be a list",
        "",
    ),
    "unknown axis": (
        changed("beta2: [0.9, 0.999]", "betta2: [0.9, 0.999]"),
        "grids.regimes.axes.betta2 = (0.9, 0.999): unknown key",
        "(did you mean beta2?)",
    ),
    "string in an exclusion": (
        changed(REGIMES, f"{REGIMES}\n    exclude: [{{beta2: '0.9'}}]"),
        "grids.regimes.exclude[0].beta2 = '0.9': must be a number",
        "",
    ),
    "string where a number belongs": (
        changed("  h: 1e-3\n", "  h: '1e-3'\n"),
        "trial.h = '1e-3': must be a number (a string; write it without quotes",
        "",
    ),
    "word where a number belongs": (
        changed("  h: 1e-3\n", "  h: small\n"),
        "trial.h = 'small': must be a number",
        "",
    ),
    "bool where an integer belongs": (
        changed("epochs: 8", "epochs: true"),
        "trial.epochs = True: must be an integer",
        "",
    ),
    "fraction where an integer belongs": (
        changed("epochs: 8", "epochs: 8.5"),
        "trial.epochs = 8.5: must be an integer",
        "",
    ),
    "string where a bool belongs": (
        changed("rule: adam\n", "rule: adam\n  bias_correction: no\n"),
        "trial.bias_correction = 'no': must be true or false",
        "",
    ),
    "nothing where a number belongs": (
        changed("  h: 1e-3\n", "  h:\n"),
        "trial.h = None: must be a number",
        "",
    ),
    "network on data that are not prepared": (
        changed("network_correction:\n  dataset: digits", "network_correction:\n  dataset: digit"),
        "network_correction.dataset = 'digit': must be one of digits",
        "(did you mean digits?)",
    ),
    "misspelt network of the correction": (
        changed("activation: [gelu", "activation: [gellu"),
        "network_correction.grid.axes.activation = 'gellu': must be one of relu, gelu",
        "(did you mean gelu?)",
    ),
    "correction that is never measured": (
        changed("every: 2", "every: 0"),
        "network_correction.every = 0: must be >= 1",
        "",
    ),
    "reach on data that are not prepared": (
        changed("reach:\n  dataset: digits", "reach:\n  dataset: digit"),
        "reach.dataset = 'digit': must be one of digits",
        "(did you mean digits?)",
    ),
    "a grid of cause on data that are not prepared": (
        changed("base: {epsilon: 1e-08, h: 0.001}", "base: {dataset: digit, h: 0.001}"),
        "cause.grids.outside.base.dataset = 'digit': must be one of digits",
        "(did you mean digits?)",
    ),
    "no CPUs": (
        changed("cpus_per_trial: 1", "cpus_per_trial: 0"),
        "resources.cpus_per_trial = 0.0: must be > 0",
        "",
    ),
    "missing section": (
        changed("resources:", "resource:"),
        "resource = {",
        "(did you mean resources?)",
    ),
    "missing key": (changed("{source: digits, ", "{"), "digits.source: is missing", ""),
    "key twice": (
        changed("  beta1: 0.9\n", "  beta1: 0.9\n  beta1: 0.8\n"),
        "is not valid YAML, line ",
        'found duplicate key "beta1"',
    ),
    "bracket left open": (
        changed("beta2: [0.9, 0.999]", "beta2: [0.9, 0.999"),
        "is not valid YAML, line ",
        "expected ',' or ']'",
    ),
    "tab": (smoke_text() + "\n\tx: 1\n", "is not valid YAML, line ", "cannot start any token"),
    "empty file": ("", "must hold keys and values", ""),
    "list": ("- a\n", "must hold keys and values", ""),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_scale_is_refused_in_one_line(case, tmp_path):
    text, *parts = BAD[case]
    path = make_project(tmp_path / "project", text)

    with pytest.raises(ConfigError) as caught:
        load_params(path)

    line = str(caught.value)
    assert line.startswith(str(tmp_path / "project" / "scales" / "smoke.yaml"))
    assert [part for part in parts if part not in line] == [], line
    assert "\n" not in line


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = make_project(tmp_path / "project")
    (path.parent / "scales" / "smoke.yaml").write_bytes(b"trial: \xff\xfe\n")

    with pytest.raises(ConfigError, match=r"smoke\.yaml: is not a text in YAML: 'utf-8' codec"):
        load_params(path)


@pytest.mark.parametrize(
    ("switch", "message"),
    [
        ("scale: smokey\n", "params.yaml: scale = 'smokey': must be one of smoke (did you mean"),
        ("scale: smoke\nbeta: 1\n", "params.yaml: beta = 1: unknown key, the file holds only"),
        ("{}\n", "params.yaml: scale = None: must be one of smoke"),
        ("scale: [smoke]\n", "params.yaml: scale = ['smoke']: must be one of smoke"),
    ],
)
def test_a_bad_switch_is_refused(switch, message, tmp_path):
    path = make_project(tmp_path / "project")
    path.write_text(switch)

    with pytest.raises(ConfigError, match=re.escape(message)):
        load_params(path)


def test_a_file_that_mlflow_could_not_search_for_is_refused(tmp_path):
    path = make_project(tmp_path / "project")
    path = path.rename(path.with_name('my "best".yaml'))
    with pytest.raises(ConfigError, match=r"a file's name must be printable and hold no quotation"):
        load_params(path)


def test_outside_a_project_the_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"params\.yaml: no such file, run from the project's"):
        load_params(tmp_path / "params.yaml")


def test_numbers_are_read_as_yaml_1_2_reads_them(tmp_path):
    text = changed("  h: 1e-3\n", "  h: 1e-4\n").replace("epsilon: 1e-8", "epsilon: 1")
    params = load_params(make_project(tmp_path / "project", text))

    trial = next(params.scale.grid("beta2").expand(params.scale.trial))
    assert trial.h == 1e-4
    assert (trial.epsilon, type(trial.epsilon)) == (1.0, float)


def test_a_scale_can_be_chosen_over_the_switch(tmp_path):
    path = make_project(tmp_path / "project")
    other = path.parent / "scales" / "other.yaml"
    other.write_text(smoke_text().replace("epochs: 8", "epochs: 9"))

    assert load_params(path).scale.trial["epochs"] == 8
    assert load_params(path, "other").scale.trial["epochs"] == 9


def with_common(folder: Path, common: str, own: str = "") -> Path:
    """Write a project whose scale lacks ``analyse`` and ``figures``, and a common file."""
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load(smoke_text())
    del settings["analyse"], settings["figures"]
    text = io.StringIO()
    yaml.dump(settings, text)
    path = make_project(folder / "project", f"{text.getvalue()}\n{own}\n")
    (path.parent / "scales" / "common.yaml").write_text(common)
    return path


COMMON = (
    "analyse: {curve_points: 50, level: 0.9, verdict: {seeds: 7, first_seed: 4}}\nfigures: {}\n"
)


def test_a_scale_lies_over_what_all_scales_share_key_by_key(tmp_path):
    own = "analyse: {verdict: {seeds: 9}, level: 0.8}\nfigures: {formats: [svg]}"
    path = with_common(tmp_path, COMMON.replace("{}", "{formats: [png, pdf], narrow: false}"), own)

    scale = load_params(path).scale
    assert (scale.analyse.curve_points, scale.analyse.level) == (50, 0.8)
    assert (scale.analyse.verdict.seeds, scale.analyse.verdict.first_seed) == (9, 4)
    assert (scale.figures.formats, scale.figures.narrow) == (("svg",), False)


def test_null_in_a_scale_leaves_out_what_is_shared(tmp_path):
    own = "analyse: {curve_points: null, level: null, verdict: null}"

    analyse = load_params(with_common(tmp_path, COMMON, own)).scale.analyse
    assert analyse == Analyse()


def test_what_scales_share_is_no_scale(tmp_path):
    path = with_common(tmp_path, COMMON)

    assert scale_names(path) == ["smoke"]
    with pytest.raises(ConfigError, match=r"params\.yaml: scale = 'common': must be one of smoke$"):
        load_params(path, "common")


@pytest.mark.parametrize(
    ("common", "own", "file", "said"),
    [
        (COMMON.replace("50", "5"), "", "common", "analyse.curve_points = 5: must be >= 10"),
        (COMMON.replace("50", "5"), "analyse: {curve_points: 6}", "smoke", "curve_points = 6: "),
        (COMMON.replace("seeds:", "seed:"), "analyse: {verdict: {}}", "common", "seed = 7: unkn"),
        (COMMON, "analyse: {verdict: {seed: 2}}", "smoke", "analyse.verdict.seed = 2: unknown"),
        (COMMON + "figure: {}", "", "common", "figure = {}: unknown key, must be one of"),
        (COMMON.replace("figures: {}", "figures: {formats: [gif]}"), "", "common", "formats[0] = "),
        (COMMON.replace("figures: {}", ""), "", "smoke", "figures: is missing, give it a value"),
        (COMMON + "trial: {h: 1}", "", "common", "trial: belongs in the scales' own files"),
        (COMMON + "grids: {}", "", "common", "grids: belongs in the scales' own files"),
        ("analyse: [", "", "common", "is not valid YAML, line 1"),
        ("# nothing yet", "", "common", "must hold keys and values"),
    ],
)
def test_an_error_names_the_file_that_holds_the_key(common, own, file, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_params(with_common(tmp_path, common, own))

    line = str(caught.value)
    assert line.startswith(str(tmp_path / "project" / "scales" / f"{file}.yaml"))
    assert said in line


def test_dvc_watches_every_section_that_a_stage_takes_in_both_files():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    shared = set(YAML(typ="safe").load(ROOT / "scales" / "common.yaml"))
    for name, stage in stages.items():
        watched = {}
        for entry in stage["params"]:
            watched |= entry if isinstance(entry, dict) else {}
        common = set(watched.pop("scales/common.yaml", ()))
        (own,) = (set(sections) for sections in watched.values())
        assert common == own & shared, name


EVIDENCE_ALONE = {"cifar10_range"}
"""Scales that ``dvc repro evidence`` shows, and no stage trains; they may lack grids."""


@pytest.mark.parametrize("scale", scale_names(ROOT / "params.yaml"))
def test_the_scales_of_the_project_are_valid_and_have_the_same_grids(scale):
    params = load_params(ROOT / "params.yaml", scale)

    known = set(load_params(ROOT / "params.yaml").scale.grids)
    if scale in EVIDENCE_ALONE:
        assert set(params.scale.grids) < known
    else:
        assert set(params.scale.grids) == known
    for grid in params.scale.grids.values():
        assert grid.size > 0


def test_the_paper_scale_is_the_papers_figures():
    scale = load_params(ROOT / "params.yaml", "paper").scale
    trials = {name: list(grid.expand(scale.trial)) for name, grid in scale.grids.items()}

    def values(grid, *names):
        return {tuple(getattr(trial, name) for name in names) for trial in trials[grid]}

    shared = ("model", "dataset", "h", "epsilon", "epsilon_placement")
    cifar10 = ("resnet50", "cifar10")
    assert values("beta2", *shared, "beta1") == {(*cifar10, 7.5e-5, 1e-8, "inside", 0.99)}
    assert values("beta1", *shared, "beta2") == {(*cifar10, 1e-4, 1e-8, "inside", 0.999)}
    left, right = ("resnet101", "cifar10"), ("resnet101", "cifar100")
    assert values("hills_beta2", *shared) == {(*left, 1e-4, 1e-8, "inside")}
    assert values("hills_beta1", *shared) == {(*right, 1e-4, 1e-8, "inside")}
    ends = {
        grid: [min(v)[0], max(v)[0]] for grid in ("beta2", "beta1") if (v := values(grid, grid))
    }
    assert ends == {"beta2": [0.94, 0.999], "beta1": [0.9, 0.99]}
    for grid in ("beta2", "beta1", "hills_beta2", "hills_beta1"):
        assert {seed for (seed,) in values(grid, "seed")} == {10, 11, 12, 13, 14}
        assert all(trial.epochs > 3600 for trial in trials[grid])
        assert all(trial.batch_size is None for trial in trials[grid])


def test_a_trial_checks_itself():
    with pytest.raises(ConfigError, match=r"^beta2 = 1\.5: must be >= 0 and < 1$"):
        Trial(h=1e-3, epochs=1, beta2=1.5)
    with pytest.raises(ConfigError, match=r"^beta2 = 1\.5"):
        Trial(h=1e-3, epochs=1).replace(beta2=1.5)
    with pytest.raises(ConfigError, match=r"^rule = 'sdg': must be one of"):
        Trial(h=1e-3, epochs=1, rule="sdg")

    assert Trial(h=1e-3, epochs=1, rule="own.rules:make").rule == "own.rules:make"


def test_a_trial_of_numpys_numbers_is_the_trial_of_pythons():
    trial = Trial(h=np.float64(1e-3), epochs=np.int64(3), seed=np.int32(1), beta1=np.float64(0.5))

    assert trial == Trial(h=1e-3, epochs=3, seed=1, beta1=0.5)
    assert json.dumps(trial.identity())


@pytest.mark.parametrize("rule", RULES.names)
def test_a_weight_decay_that_would_be_lost_is_refused(rule):
    takes_it = "weight_decay" in inspect.signature(getattr(rules, rule)).parameters
    if takes_it:
        assert Trial(h=1e-3, epochs=1, rule=rule, weight_decay=0.1).weight_decay == 0.1
    else:
        with pytest.raises(ConfigError, match=rf"^weight_decay = 0\.1: must be 0 for {rule}"):
            Trial(h=1e-3, epochs=1, rule=rule, weight_decay=0.1)


def test_adamw_needs_a_weight_decay_and_a_rule_of_ones_own_may_have_one():
    with pytest.raises(ConfigError, match=r"^weight_decay = 0\.0: must be > 0 for adamw"):
        Trial(h=1e-3, epochs=1, rule="adamw")
    with pytest.raises(ConfigError, match=r"^weight_decay = 0\.1: must be 0 for adam: "):
        Trial(h=1e-3, epochs=1, rule="adamw", weight_decay=0.1).replace(rule="adam")

    assert Trial(h=1e-3, epochs=1, rule="own.rules:make", weight_decay=0.1).weight_decay == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 10}, "batch_size = 10: must be left out where correction_every is set"),
        ({"blocks": "shuffled"}, "blocks = 'shuffled': must be 'fixed' where correction_every"),
        ({"bias_correction": False}, "bias_correction = False: must be true where correction_ev"),
    ],
)
def test_a_correction_is_measured_only_where_gradient_memory_and_hessian_are_of_one_loss(
    changes, message
):
    assert Trial(h=1e-3, epochs=1, **changes).correction_every == 0
    with pytest.raises(ConfigError) as caught:
        Trial(h=1e-3, epochs=1, correction_every=2, **changes)

    assert str(caught.value).startswith(message)
    with pytest.raises(ConfigError) as caught:
        Trial(h=1e-3, epochs=1, memory="forgotten", **changes)

    words = message.replace("correction_every is set", "memory is forgotten")
    assert str(caught.value).startswith(words.partition(" where ")[0])
    assert "where memory is forgotten" in str(caught.value)


def test_a_grid_is_the_product_of_its_axes_less_exclusions_plus_further_trials():
    grid = Grid(
        base={"model": "resnet14"},
        axes={"seed": [0, 1], "beta2": [0.9, 0.99]},
        exclude=[{"seed": 1, "beta2": 0.99}],
        trials=[{"beta1": 0.5}],
    )

    trials = list(grid.expand({"h": 1e-3, "epochs": 5}))

    points = [(t.seed, t.beta2) for t in trials[:-1]]
    assert points == [(0, 0.9), (0, 0.99), (1, 0.9)]
    assert trials[-1] == Trial(h=1e-3, epochs=5, model="resnet14", beta1=0.5)
    assert {t.model for t in trials} == {"resnet14"}
    assert grid.size == 5


def test_an_exclusion_sees_every_field_of_a_trial():
    grid = Grid(axes={"seed": [0, 1]}, exclude=[{"h": 1e-3, "model": "resnet8", "seed": 1}])

    assert [t.seed for t in grid.expand({"h": 1e-3, "epochs": 5})] == [0]
    assert [t.seed for t in grid.expand({"h": 2e-3, "epochs": 5})] == [0, 1]


def test_what_is_excluded_need_not_be_a_valid_trial():
    """AdamW without weight decay is refused, and Adam with one."""
    grid = Grid(
        axes={"rule": ["adam", "adamw"], "weight_decay": [0.0, 0.1]},
        exclude=[{"rule": "adamw", "weight_decay": 0}, {"rule": "adam", "weight_decay": 0.1}],
    )
    needed = {"h": 1e-3, "epochs": 5}

    grid.check(needed)
    found = [(t.rule, t.weight_decay) for t in grid.expand(needed)]
    assert found == [("adam", 0.0), ("adamw", 0.1)]


def test_a_horizon_sets_the_epochs():
    grid = Grid(axes={"h": [1e-3, 2e-3, 3e-3, 1]}, horizon=0.3)

    assert [t.epochs for t in grid.expand({})] == [300, 150, 100, 1]


@pytest.mark.parametrize("h", [float("nan"), 1e-320, 10**400])
def test_a_step_size_that_no_horizon_can_be_divided_by_is_refused(h):
    grid = Grid(axes={"h": [1e-3, h]}, horizon=0.3)

    with pytest.raises(ConfigError, match=r"^axes\.h = .*: must be a number > 0 by which horizon"):
        grid.check({})


def test_more_than_one_gpu_is_a_whole_number():
    assert [Resources(gpus_per_trial=n).gpus_per_trial for n in (0, 0.5, 1, 2)] == [0, 0.5, 1, 2]
    with pytest.raises(ConfigError, match=r"^gpus_per_trial = 1\.5: must be below 1, a part of"):
        Resources(gpus_per_trial=1.5)


def test_the_size_of_a_grid_needs_no_expansion():
    grid = Grid(axes={name: list(range(1, 101)) for name in ("seed", "epochs", "eval_every")})

    assert grid.size == 1_000_000


def test_every_value_of_a_grid_is_tried_without_expanding_it():
    axes = {name: list(range(1, 101)) for name in ("seed", "epochs", "eval_every")}
    grid = Grid(axes={**axes, "beta1": [0.9, 1.0]})

    with pytest.raises(ConfigError, match=r"^axes\.beta1 = 1\.0"):
        grid.check({"h": 1e-3})


@pytest.mark.parametrize(
    ("arguments", "case"),
    [
        (("plan",), "beta1 of 1"),
        (("status",), "negative h"),
        (("sweep", "--executor", "ray"), "misspelt model"),
        (("doctor",), "string where a number belongs"),
    ],
)
def test_the_command_refuses_bad_input_before_anything_starts(arguments, case, tmp_path):
    text, *parts = BAD[case]
    folder = make_project(tmp_path / "project", text).parent
    done = folder / "runs" / ("0" * 16) / "done.json"
    done.parent.mkdir(parents=True)
    done.write_text(json.dumps({"key": "0" * 16}))
    before = sorted(p.relative_to(folder) for p in folder.rglob("*"))

    result = adambias(folder, *arguments)

    assert result.returncode not in (0, 130)
    assert "Traceback" not in result.stdout + result.stderr
    said = result.stderr if arguments[0] != "doctor" else result.stdout
    assert len(said.strip().splitlines()) == 1
    assert all(part in said for part in parts), said
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == before


def test_an_unknown_grid_is_refused_by_the_command(tmp_path):
    folder = make_project(tmp_path / "project").parent

    result = adambias(folder, "plan", "betta2")

    assert result.returncode == 1
    assert result.stderr.startswith("error: grid = 'betta2': must be one of beta2, beta1")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_location_that_cannot_be_a_ledger_is_refused_by_the_command(tmp_path):
    folder = make_project(tmp_path / "project").parent

    result = adambias(folder, "plan", ADAMBIAS_STORE="nowhere://bucket/runs")

    assert result.returncode == 1
    assert result.stderr.startswith("error: ADAMBIAS_STORE = nowhere://bucket/runs: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_fields_of_a_trial_are_those_that_were_promised():
    assert set(TRIAL_FIELDS) >= {
        *("dataset", "model", "norm", "activation", "rule", "h", "beta1", "beta2", "epsilon"),
        *("epsilon_placement", "bias_correction", "weight_decay", "epochs", "seed"),
        *("batch_size", "ghost_batch_size", "blocks", "precision", "eval_every"),
    }


def test_relative_parameters_give_an_absolute_root(tmp_path, monkeypatch):
    make_project(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("ADAMBIAS_DATA", raising=False)

    params = load_params("params.yaml")

    assert params.root == Path(tmp_path / "project").resolve()
    assert params.data_root == params.root / "data"


def test_the_ledger_lies_where_the_environment_says_or_beside_the_parameters(tmp_path, monkeypatch):
    params = load_params(make_project(tmp_path / "project", smoke_text()))
    monkeypatch.delenv("ADAMBIAS_STORE", raising=False)
    assert params.store == str(tmp_path / "project" / "runs")

    monkeypatch.setenv("ADAMBIAS_STORE", "s3://bucket/runs")
    assert params.store == "s3://bucket/runs"
