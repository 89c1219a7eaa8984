"""Whether a database may be opened: MLflow's own, of the version installed, and not damaged.

MLflow asks nothing. As it opens a database that lacks one of its tables it migrates it, and makes
its tables in whatever database it is given (mlflow/store/tracking/sqlalchemy_store.py, __init__).
So this looks first, and changes nothing.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import itertools
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from adambias.core.errors import TrackingError
from adambias.tracking.mlflow import location

_INITIAL = {"experiments", "runs", "tags", "metrics", "params"}
"""The tables that MLflow makes before it leaves a revision
(mlflow/store/tracking/dbmodels/initial_models.py)."""
_NOT_OURS = "experiments.name NOT LIKE 'adambias/%'"
_STRANGE = (
    f"SELECT COUNT(*) FROM experiments WHERE {_NOT_OURS} AND name <> 'Default'",
    f"SELECT COUNT(*) FROM runs JOIN experiments USING (experiment_id) WHERE {_NOT_OURS}",
)
"""Experiments, and runs, that come from no ledger."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def refuse_unusable(uri: str, *, thorough: bool = False) -> bool:
    """Raise unless a database is MLflow's, as the installed version has it, or still empty.

    Parameters
    ----------
    uri : str
        The tracking store; one behind a server is the server's business.
    thorough : bool
        Read a SQLite file from end to end, too.

    Returns
    -------
    bool
        Whether it holds MLflow's tables.

    Raises
    ------
    TrackingError
        With the versions, and the commands that mend it.
    """
    file = location.sqlite_file(uri)
    if location.is_remote(uri) or (file is not None and not file.exists()):
        return False
    try:
        with _looking(uri) as connection:
            found = _look(uri, connection)
            if thorough and file is not None:
                _refuse_damaged_pages(uri, connection)
            return found
    except (SQLAlchemyError, ImportError) as error:  # no database, or no driver for it
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise TrackingError(damage(uri, error) or f"{_named(uri)}: {reason}") from None


@contextlib.contextmanager
def _looking(uri: str) -> Iterator[sqlalchemy.Connection]:
    file = location.sqlite_file(uri)
    if file is None:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    else:
        # Not read-only: SQLite has to undo what a killed writer left half done.
        engine = sqlalchemy.create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(f"{file.as_uri()}?mode=rw", timeout=20, uri=True),
            poolclass=sqlalchemy.NullPool,
        )
    with engine.connect() as connection:
        yield connection


def _look(uri: str, connection: sqlalchemy.Connection) -> bool:
    tables = set(sqlalchemy.inspect(connection).get_table_names()) - {"alembic_version"}
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None and tables <= _INITIAL and not _count(connection, tables, "experiments"):
        return False  # empty, or its making was cut short: nothing that a migration could hurt
    package = importlib.util.find_spec("mlflow")
    assert package is not None
    assert package.origin is not None
    scripts = ScriptDirectory(str(Path(package.origin).parent / "store" / "db_migrations"))
    head = scripts.get_current_head()
    if revision == head:
        return True
    if revision is None or "experiments" not in tables:
        shown = ", ".join(sorted(tables)[:3])
        raise TrackingError(
            f"{_named(uri)}: is a database of another program's (tables {shown}, …): "
            f"{_another_place(uri)}"
        )
    if not _count(connection, tables, "experiments"):
        return False  # another process makes its tables now, or was killed at it
    known = {script.revision for script in scripts.walk_revisions()}
    older = revision in known
    age, mend = ("an older", _upgrade(uri)) if older else ("a newer", _another_place(uri))
    if location.sqlite_file(uri) is not None and _is_ours(connection, tables):
        mend = f"all of it is in the ledger: {_rebuild(uri)}"
    raise TrackingError(
        f"{_named(uri)}: was made by {age} MLflow (its schema is {revision}, that of the "
        f"installed {importlib.metadata.version('mlflow')} is {head}): {mend}"
    )


def _count(connection: sqlalchemy.Connection, tables: set[str], table: str) -> int:
    if table not in tables:
        return 0
    return int(connection.execute(sqlalchemy.text(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def _is_ours(connection: sqlalchemy.Connection, tables: set[str]) -> bool:
    """Tell whether a database holds nothing but experiments that come from a ledger."""
    strange = [connection.execute(sqlalchemy.text(query)).scalar_one() for query in _STRANGE]
    return not any(strange) and not _count(connection, tables, "registered_models")


def _refuse_damaged_pages(uri: str, connection: sqlalchemy.Connection) -> None:
    said = str(connection.execute(sqlalchemy.text("PRAGMA quick_check(1)")).scalar_one())
    if said != "ok":
        raise TrackingError(_damaged(uri, " ".join(said.split())))


def damage(uri: str, error: BaseException | None) -> str | None:
    """Return the line about a SQLite file that is damaged, if this is what an error comes from."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _DAMAGED:  # the rest tells which kind of page
            return _damaged(uri, str(error))
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return None


def _damaged(uri: str, what: str) -> str:
    return f"{_named(uri)}: is damaged or no database ({what}): {_rebuild(uri)}"


def _named(uri: str) -> str:
    return f"MLFLOW_TRACKING_URI = {location.shown(uri)}"


def _rebuild(uri: str) -> str:
    """Return the commands that put a SQLite file aside and show the ledger in a new one."""
    file = location.sqlite_file(uri)
    assert file is not None
    return f"mv {shlex.quote(str(file))} {_aside(file)} && adambias sync"


def _upgrade(uri: str) -> str:
    file = location.sqlite_file(uri)
    if file is None:
        # With the driver's name, which MLflow does not look for; without the password.
        return f"back it up, then mlflow db upgrade {shlex.quote(location.shown(uri))}"
    copied = f"cp {shlex.quote(str(file))} {_aside(file)}"
    return f"{copied} && mlflow db upgrade {shlex.quote(uri)}"


def _aside(file: Path) -> str:
    """Return a name beside a file that nothing has yet, for a shell."""
    names = (Path(f"{file}.old{n or ''}") for n in itertools.count())
    return shlex.quote(str(next(name for name in names if not name.exists())))


def _another_place(uri: str) -> str:
    return "set MLFLOW_TRACKING_URI to another store, and run adambias sync"
