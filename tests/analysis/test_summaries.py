import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adambias.analysis.curves import thin
from adambias.analysis.hills import find_hill
from adambias.analysis.histories import histories
from adambias.analysis.summaries import NEEDED, summarise
from adambias.config import Analyse

TRIAL = {"epochs": 100, "epsilon": 1e-8, "parameters": 1000, "status": "finished"}


def columns(norm, loss=None, accuracy=None):
    n = np.arange(len(norm))
    return {
        "epoch": n,
        "train_loss": 2.0 * 0.97**n if loss is None else loss,
        "train_accuracy": np.linspace(0, 1, len(n)),
        "test_accuracy": np.linspace(0, 0.9, len(n)) if accuracy is None else accuracy,
        "perturbed_one_norm": np.asarray(norm, dtype=float),
    }


def test_the_peak_is_the_highest_norm_after_the_initial_fraction():
    norm = np.full(100, 1.0)
    norm[[3, 60]] = 50.0, 4.0
    found = summarise(TRIAL, columns(norm), Analyse())
    assert (found["peak_perturbed_one_norm"], found["peak_epoch"]) == (4.0, 60)
    assert found["norm_floor"] == pytest.approx(0.1)
    assert found["excess"] == pytest.approx(3.9)
    assert not found["peak_at_edge"]


def test_a_norm_that_only_falls_has_its_peak_at_the_edge_and_no_hill():
    found = summarise(TRIAL, columns(10.0 * 0.95 ** np.arange(100)), Analyse())
    assert found["peak_at_edge"]
    assert found["peak_epoch"] == 25
    assert found["hill_rise"] == 0


def test_numbers_that_are_not_finite_are_left_out_and_counted():
    norm = np.full(100, 1.0)
    norm[[40, 50]] = np.nan, np.inf
    accuracy = np.full(100, np.nan)
    found = summarise(TRIAL, columns(norm, accuracy=accuracy), Analyse())
    assert found["not_finite"] == 2
    assert found["peak_perturbed_one_norm"] == 1.0
    assert np.isnan(found["best_test_accuracy"])


def test_a_trial_that_stopped_early_has_no_peak():
    found = summarise(TRIAL | {"status": "diverged"}, columns(np.ones(10)), Analyse())
    assert np.isnan(found["peak_perturbed_one_norm"])
    assert found["peak_epoch"] is None
    assert found["regime"] == "divergence"


@pytest.mark.parametrize("rise", [0.0, 0.05, 0.5])
def test_the_height_of_a_hill(rise):
    n = np.arange(500) / 500
    curve = 1.0 - np.minimum(n / 0.2, 1) + rise * np.exp(-(((n - 0.6) / 0.08) ** 2))
    found = find_hill(10**curve)
    assert min(found.rise, found.fall) == pytest.approx(rise, abs=0.02)
    if rise > 0:
        assert found.row == pytest.approx(300, abs=3)
        assert found.height == pytest.approx(10**rise, rel=0.05)


def test_fast_oscillations_are_no_hill():
    n = np.arange(500)
    falling = 2 - n / 500
    assert not find_hill(10 ** (falling + 0.3 * (n % 2))).stands(0.01)


@pytest.mark.parametrize("epochs", [30, 120, 500])
@pytest.mark.parametrize("floor", [-9.0, 1.0], ids=["falls to the end", "falls to a floor"])
def test_noise_on_a_norm_that_falls_is_no_hill(epochs, floor):
    rng = np.random.default_rng(0)
    falling = np.maximum(2 - 1.5 * np.arange(epochs) / epochs, floor)
    curves = [10 ** (falling + 0.03 * rng.normal(size=epochs)) for _ in range(200)]
    settings = Analyse()
    assert not any(find_hill(curve).stands(settings.hill_decades) for curve in curves)


def test_a_norm_that_rises_from_the_start_and_then_falls_has_no_hill():
    n = np.arange(200)
    found = find_hill(10 ** np.minimum(n / 100, 2 - n / 100))
    assert min(found.rise, found.fall) > 0.8
    assert not found.stands(0.1), "the paper's norm falls first"


def test_the_hill_need_not_be_the_peak():
    """A hill before the initial fraction is over; after it the norm only falls."""
    n = np.arange(100)
    norm = 10 ** (1.0 - np.minimum(n / 5, 1) + np.exp(-(((n - 15) / 4) ** 2)))
    found = summarise(TRIAL, columns(norm), Analyse())
    assert found["has_hill"]
    assert found["peak_at_edge"]
    assert found["hill_epoch"] == pytest.approx(15, abs=2)
    assert found["hill_norm"] > 2 * found["peak_perturbed_one_norm"]


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_trials_are_read_whole_however_the_file_is_cut(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr("adambias.analysis.histories._ROWS_AT_ONCE", rows_at_once)
    tables = []
    for key, rows in (("b", 5), ("a", 12), ("c", 1)):
        part = pd.DataFrame({name: np.arange(float(rows)) for name in NEEDED if name != "trial"})
        tables.append(part.assign(trial=key))
    whole = pa.Table.from_pandas(pd.concat(tables), preserve_index=False)
    path = tmp_path / "histories.parquet"
    pq.write_table(
        whole.set_column(
            whole.schema.get_field_index("trial"), "trial", whole["trial"].dictionary_encode()
        ),
        path,
        row_group_size=4,
    )
    found = {key: len(part["epoch"]) for key, part in histories(path, NEEDED)}
    assert list(found.items()) == [("b", 5), ("a", 12), ("c", 1)]


def test_a_short_history_is_not_thinned():
    norm = np.random.default_rng(0).random(40)
    kept = thin(columns(norm), 50)
    assert kept["perturbed_one_norm"] == pytest.approx(norm)
    assert kept["train_loss_low"] == pytest.approx(kept["train_loss_high"])


def test_thinning_keeps_every_spike():
    loss = np.ones(4001)
    loss[[777, 4000]] = 90.0, 70.0
    kept = thin(columns(np.ones(4001), loss=loss), 100)
    assert len(kept["epoch"]) <= 100
    assert sorted(kept["train_loss_high"])[-2:] == [70.0, 90.0]
    assert kept["train_loss"].max() == 1.0


def test_thinning_keeps_what_is_not_a_number():
    norm = np.ones(100)
    norm[20:30] = np.nan
    kept = thin(columns(norm), 10)
    assert np.isnan(kept["perturbed_one_norm"][2])
    assert np.isfinite(np.delete(kept["perturbed_one_norm"], 2)).all()
