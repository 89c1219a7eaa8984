"""Sweeps from Python: a list of trials into a ledger, and a ledger as one table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import time as now
from typing import TYPE_CHECKING

from adambias.config import DatasetSpec, Resources, Trial, naming
from adambias.core.errors import ConfigError
from adambias.core.registry import SOURCES
from adambias.data.dataset import Dataset, load_dataset
from adambias.data.manifest import MANIFEST, data_root, read_manifest
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import plan_of
from adambias.sweep.run import Executor, Setup, deadline_of, refuse_unfinished, run_plan
from adambias.tracking.tracker import NoTracker

if TYPE_CHECKING:
    import pandas as pd

_OTHER = re.compile(r".*-[0-9a-f]{6}")
"""Folders that :func:`adambias.load_dataset` makes beside one of other settings."""
SHOWN = ("dataset", "model", "rule", "h", "beta1", "beta2", "seed")
"""Fields of a trial that a table has always; of the others, those in which its trials differ."""


def sweep(
    trials: Iterable[Trial],
    store: str | os.PathLike[str] | None = None,
    *,
    data: Dataset | Iterable[Dataset] = (),
    executor: Executor = "inline",
    root: str | Path | None = None,
    resources: Resources | None = None,
) -> pd.DataFrame:
    """Train trials that a ledger does not have yet, and return their histories in one table.

    Parameters
    ----------
    trials : iterable of Trial
        What to train; one that is named twice is trained once.
    store : path or URI, optional
        The ledger: ``ADAMBIAS_STORE``, or ``runs``, if not given.
    data : Dataset or iterable of Dataset, optional
        Those to train on, as :func:`adambias.load_dataset` returned them. Of a name that is not
        among them, what is prepared in the folder of that name.
    executor : {"inline", "ray"}
        One after the other in this process, or on Ray.
    root : path, optional
        Folder of the prepared datasets, as of :func:`adambias.load_dataset`. A dataset of the name
        of a built-in source is prepared there if it is not yet.
    resources : Resources, optional
        What each trial asks of the machines: a core, by default.

    Returns
    -------
    DataFrame
        As :func:`load` returns it, the trials in the order given.

    Raises
    ------
    SweepError
        If a trial failed; those that finished stay finished.
    ConfigError, DataError
        If a trial names what is not there.

    Examples
    --------
    >>> import tempfile, adambias as ab
    >>> folder = tempfile.mkdtemp()
    >>> data = ab.load_dataset("digits", train_size=50, test_size=20, root=folder)
    >>> trial = ab.Trial(h=1e-3, epochs=2)
    >>> trials = [trial, trial.replace(beta1=0.5)]
    >>> table = ab.sweep(trials, f"{folder}/runs", data=data, root=folder)
    >>> table[["beta1", "epoch"]].values.tolist()
    [[0.9, 0.0], [0.9, 1.0], [0.5, 0.0], [0.5, 1.0]]
    """
    trials, base = list(trials), data_root(root).absolute()
    for trial in trials:
        if not isinstance(trial, Trial):
            raise ConfigError("trials", trial, "must be a list of Trial")
    trials = list(dict.fromkeys(trials))
    if not trials:
        raise ConfigError("trials", [], "must hold at least one trial")
    given = {each.name: each.digest for each in ([data] if isinstance(data, Dataset) else data)}
    names = {trial.dataset for trial in trials}
    prepared = {name: _prepared(name, base, given.get(name)) for name in names}
    ledger = Ledger.open(store_of(store))
    jobs = [Job.of(trial, prepared[trial.dataset][1]) for trial in trials]
    plan = plan_of({"trials": jobs}, ledger)
    if plan.pending:
        resources = resources or Resources()
        setup = Setup(
            resources=resources,
            deadline=deadline_of(now(), resources.time),
            datasets={name: spec for name, (spec, _) in prepared.items()},
            data_root=base,
            root=Path.cwd(),
        )
        keys = {job.key for job in jobs}
        ended = run_plan(setup, plan, keys, ledger, executor, NoTracker(), "trials")
        refuse_unfinished(plan_of({"trials": jobs}, ledger), ledger, ended)
    return _table(ledger, {job.key: job.trial for job in jobs})


def load(store: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return the histories of all finished trials of a ledger in one table.

    Parameters
    ----------
    store : path or URI, optional
        The ledger: ``ADAMBIAS_STORE``, or ``runs``, if not given.

    Returns
    -------
    DataFrame
        A row for each trial and recorded epoch: ``trial``, its key; the fields :data:`SHOWN` and
        those in which the trials differ, each option under a name of its own
        (``rule_options.nesterov``); ``status``; then the columns of the histories.

    Raises
    ------
    LedgerError
        If a history is missing or damaged.

    Examples
    --------
    >>> import tempfile, adambias as ab
    >>> folder = tempfile.mkdtemp()
    >>> data = ab.load_dataset("digits", train_size=20, test_size=20, root=folder)
    >>> trained = ab.sweep([ab.Trial(h=1e-3, epochs=2)], f"{folder}/runs", data=data, root=folder)
    >>> ab.load(f"{folder}/runs").equals(trained)
    True
    """
    ledger = Ledger.open(store_of(store))
    keys = sorted(key for key, _ in ledger.outcomes(ledger.keys()))
    return _table(ledger, {key: ledger.job(key).trial for key in keys})


def store_of(store: str | os.PathLike[str] | None) -> str:
    """Return a ledger's location: the one given, ``ADAMBIAS_STORE``, or ``runs``."""
    return os.fspath(store) if store else os.environ.get("ADAMBIAS_STORE") or "runs"


def _prepared(name: str, root: Path, digest: str | None) -> tuple[DatasetSpec, str]:
    """Return how a dataset was prepared, and its digest; prepare one of a built-in source's name.

    Preparations of one name with other settings are in folders beside it: ``digest`` tells which.

    Raises
    ------
    ConfigError
        If it is neither prepared nor a source's.
    """
    folder = root / name
    if digest is not None:
        folders = [folder, *sorted(root.glob(f"{name}-*"))]
        known = {each: read_manifest(each) for each in folders if (each / MANIFEST).exists()}
        found = [each for each, manifest in known.items() if manifest["digest"] == digest]
        if not found:
            allowed = f"the data given, of digest {digest[:12]}, are not in {root}: give their root"
            raise ConfigError("dataset", name, allowed)
        folder = found[0]
    elif others := [each for each in root.glob(f"{name}-*") if _OTHER.fullmatch(each.name)]:
        where = ", ".join(sorted(each.name for each in (folder, *others)))
        allowed = f"is prepared in several ways ({where}): give data=, as load_dataset returned it"
        raise ConfigError("dataset", name, allowed)
    elif not (folder / MANIFEST).exists():
        if name not in SOURCES.names:
            allowed = f"is not prepared in {root}: call load_dataset({name!r}, source=…) first"
            raise ConfigError("dataset", name, allowed)
        load_dataset(name, root=root)
    manifest = read_manifest(folder)
    found_out = ("source_code", "file")
    settings = {k: v for k, v in manifest["settings"].items() if k not in found_out}
    return DatasetSpec(**settings, base=str(Path.cwd())), str(manifest["digest"])


def _table(ledger: Ledger, trials: Mapping[str, Trial]) -> pd.DataFrame:
    import pandas as pd

    fields = naming.in_order({*SHOWN, *naming.swept(trials.values())})
    outcomes = dict(ledger.outcomes(trials))
    pieces = []
    for key, trial in trials.items():
        history, values = ledger.history(key), trial.flat()
        known = {"trial": key} | {name: values.get(name) for name in fields}
        known["status"] = outcomes[key]["status"]
        cells = {n: str(v) if isinstance(v, list | tuple) else v for n, v in known.items()}
        rest = history[[name for name in history if name not in cells]]
        front = pd.DataFrame(cells, index=history.index)
        pieces.append(pd.concat([front, rest], axis=1))
    if not pieces:
        return pd.DataFrame(columns=["trial", *fields, "status", "epoch"])
    return pd.concat(pieces, ignore_index=True)
