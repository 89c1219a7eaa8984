"""What doctor finds, and the mend it names."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from processes import SECONDS, adambias, sweep_of

from adambias.cli import doctor
from adambias.config import SEMANTICS_VERSION, load_params
from adambias.core.errors import AdambiasError, DataError, SweepError
from adambias.sweep import run as sweep

OTHER = SEMANTICS_VERSION + 1


def found(name: str) -> list[str]:
    return list(doctor.CHECKS[name](load_params()))


def test_trials_of_other_semantics_are_counted_and_nothing_to_mend(
    project: Path,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("job", "ledger"):
            patch.setattr(f"adambias.ledger.{module}.SEMANTICS_VERSION", OTHER)
        others = sweep.run(load_params(), ["tiny"], executor="inline", track=False).jobs
    sweep.run(load_params(), ["tiny"], executor="inline", track=False)

    assert found("ledger") == [
        f"{project}/runs: 4 trials are of other semantics than {SEMANTICS_VERSION}: kept and not "
        "used",
        f"{project}/runs: writable, 4 trials, 4 finished, none damaged",
    ]
    manifest = project / "runs" / others[0].key / "trial.json"
    manifest.write_text(manifest.read_text().replace(f'"semantics": {OTHER}', '"semantics": "x"'))
    with pytest.raises(AdambiasError, match="semantics 'x' is not"):
        found("ledger")


def test_a_damaged_array_is_found_by_doctor_and_once_by_a_sweep(project: Path) -> None:
    array = project / "data" / "digits" / "train_images.npy"
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)

    with pytest.raises(DataError, match=r"train_images\.npy: is damaged, expected SHA-256"):
        found("data")
    run = sweep_of(project, "tiny", "--executor", "inline")
    assert run.end() == 1
    assert run.said().startswith(f"error: {array}: is damaged, expected SHA-256")
    assert len(run.said().splitlines()) == 1


def test_data_that_are_missing_are_prepared_as_the_scale_asks(project: Path) -> None:
    shutil.rmtree(project / "data")
    said = f"^{project}/data/digits: is not prepared: run dvc repro prepare"

    with pytest.raises(DataError, match=said):
        found("data")
    with pytest.raises(DataError, match=said):
        sweep.run(load_params(), ["tiny"], executor="inline", track=False)


READ_ONLY = """
mount --bind store store && mount -o remount,bind,ro store || exit 77
"$@" doctor >doctor
"$@" sync 2>sync
"""


def test_a_database_that_cannot_be_written_is_found_by_doctor_and_named_by_sync(
    project: Path,
) -> None:
    (project / "store").mkdir()
    (project / "store" / "mlflow.db").touch()
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", READ_ONLY, "bash", *adambias()],
        env={**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///store/mlflow.db"},
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 1:
        pytest.skip("this machine lets nobody mount a folder read-only")

    line = (
        f"MLFLOW_TRACKING_URI = sqlite:///{project}/store/mlflow.db: cannot be written (Read-only "
        "file system): make it and its folder writable, or set MLFLOW_TRACKING_URI\n"
    )
    assert f"FAIL tracking: {line}" in (project / "doctor").read_text()
    assert (project / "sync").read_text() == f"error: {line}"


def test_a_cluster_to_be_found_is_looked_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "no-ray"))
    try:
        said = found("cluster")[0]
    except AdambiasError as error:
        said = str(error)

    # Other tests may run Ray on this machine at the same time.
    looked = r"(cannot be joined \(Could not find any running Ray|\d+ CPUs and \d+ GPUs on \d)"
    assert re.match(f"RAY_ADDRESS = auto: {looked}", said), said


def test_what_listens_and_is_no_ray_is_not_waited_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "JOIN_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        monkeypatch.setenv("RAY_ADDRESS", address)
        said = f"RAY_ADDRESS = {address}: does not answer as Ray within 3 s: give the address"
        with pytest.raises(AdambiasError, match=re.escape(said)):
            found("cluster")


def test_a_dead_cluster_is_refused_in_seconds_by_sweep_and_doctor(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = {
        f"127.0.0.1:{port}": "cannot be joined (Connection refused): start the cluster, or unset",
        "ray://127.0.0.1:10001": "must be host:port of the cluster's head, auto or local;",
        "nonsense": "must be host:port of the cluster's head, auto or local;",
        "head:port": "must be host:port of the cluster's head, auto or local;",
    }
    for address, reason in said.items():
        monkeypatch.setenv("RAY_ADDRESS", address)
        began = time.monotonic()
        with pytest.raises(SweepError, match=re.escape(f"RAY_ADDRESS = {address}: {reason}")):
            sweep.run(load_params(), ["tiny"], track=False)
        assert time.monotonic() - began < 60
    with pytest.raises(AdambiasError, match=r"^RAY_ADDRESS = head:port: must be host:port"):
        found("cluster")


def test_a_ray_that_does_not_start_here_is_not_called_a_cluster(project: Path) -> None:
    run = sweep_of(project, "tiny", RAY_AUTH_TOKEN_PATH=str(project / "nothing"))

    assert run.end() == 1
    last = run.said().splitlines()[-1]
    assert last.startswith("error: Ray cannot be started on this machine (")
    assert last.endswith("set RAY_ADDRESS to a cluster, or sweep with --executor inline")
