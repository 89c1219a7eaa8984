"""Where MLflow keeps the view, and whether it is complete; needs no MLflow."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import socket
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from adambias.core.errors import TrackingError
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow.views import View

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def tracking_uri(root: str | os.PathLike[str] = ".") -> str:
    """Return where MLflow's data lie: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in ``root``.

    Parameters
    ----------
    root : path
        The project's folder, against which a relative SQLite path is taken.

    Returns
    -------
    str
        An ``http(s)`` URI, or that of a database; SQLite's with an absolute path.

    Raises
    ------
    TrackingError
        If the variable names a store that cannot be used, as a folder of files.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return checked_uri(uri or "sqlite:///mlflow.db", root)


def checked_uri(uri: str, root: str | os.PathLike[str] = ".") -> str:
    """Return ``uri`` with an absolute path; see :func:`tracking_uri`."""
    if is_remote(uri):
        return uri
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        if path not in ("", ":memory:"):
            folder = Path(root).resolve()
            if not Path(path).is_absolute() and {"%", "?"} & set(str(folder)):
                raise TrackingError(
                    f"{folder}: has % or ? in its path, which SQLite's URI cannot hold: move the "
                    "project, set MLFLOW_TRACKING_URI, or sweep with --no-track"
                )
            return f"sqlite:///{folder / path}"
    elif scheme(uri) in DATABASES[1:]:
        return _with_driver(uri)
    raise TrackingError(
        f"MLFLOW_TRACKING_URI = {uri}: must be sqlite:///<file>, postgresql://…, mysql://…, "
        "mssql://… or http(s)://…; MLflow no longer keeps runs in a folder of files"
    )


def _with_driver(uri: str) -> str:
    """Name the PostgreSQL driver that is installed; which one is meant by default varies."""
    if not uri.startswith(("postgresql://", "postgres://")):
        return uri
    for driver in ("psycopg2", "psycopg"):
        if importlib.util.find_spec(driver):
            return f"postgresql+{driver}://{uri.partition('://')[2]}"
    raise TrackingError(
        f"MLFLOW_TRACKING_URI = {shown(uri)}: needs a driver for PostgreSQL: pip install "
        "psycopg2-binary"
    )


def scheme(uri: str) -> str:
    """Return the kind of store, without its driver: ``postgresql`` for ``postgresql+psycopg2``."""
    kind = uri.partition("://")[0].partition("+")[0].lower()
    return "postgresql" if kind == "postgres" else kind


def is_remote(uri: str) -> bool:
    """Tell whether the store is reached through a tracking server."""
    return scheme(uri) in ("http", "https")


def sqlite_file(uri: str) -> Path | None:
    """Return the database file, or None if the store is no SQLite database."""
    if scheme(uri) != "sqlite":
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def artifacts_destination(uri: str) -> str:
    """Return where artifacts lie when this process writes to the database itself.

    ``MLFLOW_ARTIFACTS_DESTINATION``, the variable ``mlflow server`` reads too, or the folder
    ``mlartifacts`` beside the SQLite file, else in the current folder.
    """
    given = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "").strip()
    if "://" in given:
        return given
    file = sqlite_file(uri)
    folder = file.parent if file else Path.cwd()
    return str(folder / (given or "mlartifacts"))


def refuse_unreachable(uri: str, seconds: float = 3.0) -> None:
    """Raise within seconds if nothing listens at ``uri``; MLflow would try for minutes.

    Raises
    ------
    TrackingError
        If no connection can be made. Through a proxy this cannot be found out and is not tried.
    """
    kind, parts = scheme(uri), urlsplit(uri)
    proxied = is_remote(uri) and kind in getproxies() and not proxy_bypass(parts.netloc)
    if kind == "sqlite" or proxied or parts.hostname is None:
        return
    address = (parts.hostname, parts.port or _PORTS[kind])
    try:
        socket.create_connection(address, seconds).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise TrackingError(
            f"MLFLOW_TRACKING_URI = {shown(uri)}: cannot be reached ({reason}): start the "
            "server, or give another store"
        ) from None


def refuse_unwritable(uri: str) -> None:
    """Raise if the store is a SQLite database that cannot be written, or made.

    Raises
    ------
    TrackingError
        With the line that names it.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=file.parent).close()  # where SQLite has to put its journal
        # Not opened: that would drop the locks this process may hold on it.
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI = {shown(uri)}: cannot be written ({error.strerror}): make it "
            "and its folder writable, or set MLFLOW_TRACKING_URI"
        ) from None


def shown(uri: str) -> str:
    """Return ``uri`` for people, without the password that it may hold."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":…@", 1)


def is_current(ledger: Ledger, uri: str, scale: str, view: View) -> bool:
    """Tell, without MLflow, whether its view of a grid is complete.

    Parameters
    ----------
    ledger : Ledger
        Holds the trials, and a marker of what was mirrored where.
    uri : str
        The tracking store.
    scale : str
        Name of the scale.
    view : View
        The grid.

    Returns
    -------
    bool
        True if the marker covers every finished trial and, for SQLite, the database still holds
        the sweep's run with as many children. For a server the marker alone is trusted;
        ``adambias sync`` does not rely on it.
    """
    try:
        marker = json.loads(ledger.store.read(_marker_name(uri, scale, view.name)))
    except (OSError, ValueError):
        return False
    if marker.get("content") != view.content(dict(ledger.outcomes(view.keys))):
        return False
    file = sqlite_file(uri)
    return file is None or _count_children(file, marker["parent"]) >= len(set(view.keys))


def write_marker(
    ledger: Ledger, uri: str, scale: str, grid_name: str, parent: str, content: str
) -> None:
    """Record in the ledger, unless it is read-only, that the view of a grid is complete."""
    text = json.dumps({"uri": shown(uri), "parent": parent, "content": content}, indent=2)
    with contextlib.suppress(OSError):
        ledger.store.write(_marker_name(uri, scale, grid_name), text.encode())


def _marker_name(uri: str, scale: str, grid_name: str) -> str:
    place = hashlib.sha256(uri.encode()).hexdigest()[:8]
    return f".mlflow/{scale}-{grid_name}-{place}.json"


def _count_children(file: Path, parent: str) -> int:
    """Count the sweep's child runs straight in the SQLite file; -1 if that cannot be read."""
    query = (
        "SELECT COUNT(*) FROM tags JOIN runs USING (run_uuid) JOIN runs AS parent "
        "ON parent.run_uuid = tags.value WHERE tags.key = 'mlflow.parentRunId' AND "
        "tags.value = ? AND runs.lifecycle_stage = 'active' AND parent.lifecycle_stage = 'active'"
    )
    if not file.exists():
        return -1
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        try:
            return int(connection.execute(query, (parent,)).fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return -1
