"""What ``adambias doctor`` checks, each with the mend for what is wrong."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from adambias.cli.notes import print_json
from adambias.config import SEMANTICS_VERSION, Params, Resources, load_params
from adambias.core.entry import find_code_in, run_stage
from adambias.core.errors import AdambiasError
from adambias.core.extras import EXTRAS, is_installed, mend, missing, need
from adambias.data.manifest import check_arrays, prepared_digest
from adambias.ledger.ledger import Ledger

Check = Callable[[Params], Iterator[str]]
_JOIN = "import sys; from adambias.cli import doctor; doctor.join(*sys.argv[1:])"
PACKAGES = ("torch", "torchvision", "ray", "mlflow", "dvc", "pandas", "seaborn")
"""Those whose versions are named; some are of extras."""
JOIN_SECONDS = 120.0
"""Most seconds that joining a cluster and looking at its nodes may take."""


def examine(path: Path, scale: str | None = None, *, as_json: bool = False) -> int:
    """Run every check, print one line each, and return how many failed.

    Parameters
    ----------
    path : Path
        The parameters.
    scale : str, optional
        Use this scale instead of the one the file names.
    as_json : bool
        Print one JSON document, once all checks are made.
    """
    found = []
    for finding in _findings(path, scale):
        found.append(finding)
        if not as_json:
            _say(finding)
    failed = sum(not finding.ok for finding in found)
    if as_json:
        checks = [dataclasses.asdict(finding) for finding in found]
        print_json({"failed": failed, "checks": checks})
    return failed


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check says: that all is well, or what is wrong and how to mend it."""

    check: str
    ok: bool
    said: str


def _findings(path: Path, scale: str | None) -> Iterator[Finding]:
    try:
        params = load_params(path, scale)
    except AdambiasError as error:
        for line in lacking():
            yield Finding(check="installation", ok=True, said=line)
        yield Finding(check="parameters", ok=False, said=str(error))
        return
    find_code_in(params.root)
    yield Finding(check="parameters", ok=True, said=f"{path}, scale {params.name}")
    for name, check in CHECKS.items():
        try:
            for line in check(params):
                yield Finding(check=name, ok=True, said=line)
        except (AdambiasError, OSError) as error:
            yield Finding(check=name, ok=False, said=str(error))


def _say(finding: Finding) -> None:
    mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
    click.echo(f"{mark} {finding.check}: {finding.said}")


def _check_installation(params: Params) -> Iterator[str]:
    yield from installed()
    share = params.scale.resources.gpus_per_trial
    got = f"{share:g} of a GPU" if share else "no GPU"
    yield f"a trial gets {params.scale.resources.cpus_per_trial:g} processors and {got}"


def installed() -> Iterator[str]:
    """Yield what is installed, whether torch and torchvision fit, and what each extra lacks."""
    from adambias.training.devices import driver, gpus

    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if is_installed(name)
    ]
    yield f"Python {sys.version.split()[0]}, {', '.join(versions)}"
    yield f"{_build()}; here {', '.join(gpus()) or 'no GPU'}, {driver()}"
    yield from lacking()


def lacking() -> Iterator[str]:
    """Yield what each extra lacks, with the command that installs it."""
    for extra, modules in missing().items():
        yield f"{', '.join(modules)} not installed, if you need it: {mend(extra)}"


def _build() -> str:
    """Return what torch was built for, and that torchvision fits it if it is there."""
    from adambias.training.devices import build

    if not is_installed("torchvision"):
        return build()
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        raise AdambiasError(
            f"torchvision does not fit torch {torch.__version__} ({error}): install both from the "
            "same release, make setup does"
        ) from None
    return f"torchvision {torchvision.__version__} fits {build()}"


def _check_data(params: Params) -> Iterator[str]:
    for name, spec in params.datasets.items():
        digest = prepared_digest(name, spec, params.data_root)
        check_arrays(name, params.data_root)
        yield f"{params.data_root / name}, digest {digest[:12]}"


def _check_ledger(params: Params) -> Iterator[str]:
    ledger = Ledger.open(params.store)
    ledger.initialise()
    others = ledger.of_other_semantics()
    if others:
        yield (
            f"{ledger.store.where()}: {len(others)} trials are of other semantics than "
            f"{SEMANTICS_VERSION}: kept and not used"
        )
    keys = sorted(set(ledger.keys()) - others)
    problems = [line for key in keys if (line := ledger.damaged(key))]
    foreign = ledger.foreign()
    if foreign:
        yield f"{ledger.store.where()}: no trial's and left alone: {', '.join(foreign[:5])}"
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise AdambiasError(problems[0] + more)
    finished = len(ledger.finished(keys))
    yield f"{ledger.store.where()}: writable, {len(keys)} trials, {finished} finished, none damaged"


def _check_tracking(params: Params) -> Iterator[str]:
    if not all(map(is_installed, EXTRAS["tracking"])):
        yield "nothing is recorded in MLflow, which is not installed"
        return
    from adambias.tracking.mlflow import location

    uri = location.tracking_uri(params.root)
    location.refuse_unreachable(uri)
    location.refuse_unwritable(uri)
    from adambias.tracking.mlflow import schema

    made = location.is_remote(uri) or schema.refuse_unusable(uri, thorough=True)
    if made:
        from adambias.tracking.mlflow.client import TrackingStore, translated

        with translated(uri):
            TrackingStore(uri).client.search_experiments(max_results=1)
    yield f"{location.shown(uri)}: {'opens' if made else 'nothing is recorded yet'}"


def _check_cluster(params: Params) -> Iterator[str]:
    address = os.environ.get("RAY_ADDRESS")
    resources = params.scale.resources
    if not address or address == "local":
        if not is_installed("ray"):
            yield "Ray is not installed: trials run in one process, with --executor inline"
            return
        if resources.gpus_per_trial > 0:
            import torch

            if not torch.cuda.is_available():
                raise AdambiasError(
                    f"resources.gpus_per_trial = {resources.gpus_per_trial:g}: torch sees no GPU "
                    "on this machine: set RAY_ADDRESS to a cluster that has one, or choose scale "
                    "laptop"
                )
        yield f"RAY_ADDRESS {'= local' if address else 'unset'}: Ray starts on this machine"
        return
    need("ray")
    yield f"RAY_ADDRESS = {address}: {_joined(address, params)}"


def _joined(address: str, params: Params) -> str:
    """Join the cluster in a process of its own, as what only looks like Ray may never answer."""
    resources = params.scale.resources
    request = (str(resources.cpus_per_trial), str(resources.gpus_per_trial))
    command = [sys.executable, "-c", _JOIN, *request]
    # In the environment, as a URI may hold secrets and arguments can be seen by all.
    environment = {**os.environ, "ADAMBIAS_STORE": params.store}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=JOIN_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise AdambiasError(
            f"RAY_ADDRESS = {address}: does not answer as Ray within {JOIN_SECONDS:g} s: give the "
            "address of the cluster's head, or unset it"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise AdambiasError((said or [f"RAY_ADDRESS = {address}: {lines[-1]}"])[-1])
    return done.stdout.strip().splitlines()[-1]


def join(cpus_per_trial: str, gpus_per_trial: str) -> None:
    """Join the cluster, print what it has and exit; on trouble with a line on stderr and code 1."""
    from adambias.sweep.cluster import look_at_cluster

    resources = Resources(
        cpus_per_trial=float(cpus_per_trial), gpus_per_trial=float(gpus_per_trial)
    )
    store = os.environ["ADAMBIAS_STORE"]
    run_stage(lambda: print(look_at_cluster(resources, Ledger.open(store).store.uri)))


CHECKS: dict[str, Check] = {
    "installation": _check_installation,
    "data": _check_data,
    "ledger": _check_ledger,
    "tracking": _check_tracking,
    "cluster": _check_cluster,
}
