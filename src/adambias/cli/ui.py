"""The MLflow UI over everything recorded so far: ``make ui``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adambias.core import no_telemetry as telemetry
from adambias.core.entry import terminable
from adambias.core.errors import AdambiasError, ConfigError, TrackingError
from adambias.core.extras import need
from adambias.core.output import outlive_readers
from adambias.tracking.mlflow import content, location

HOST = "127.0.0.1"
PORT = 5000
START_SECONDS = 120.0
"""Most seconds that the server takes to answer for the first time."""


def main(arguments: list[str] | None = None) -> int:
    """Serve the UI until Ctrl-C; ``python -m adambias.cli.ui --port 5001``."""
    parser = argparse.ArgumentParser(prog="adambias.cli.ui", description=__doc__)
    parser.add_argument("--port", help=f"{PORT} by default, or ADAMBIAS_UI_PORT")
    given = parser.parse_args(arguments).port
    telemetry.opt_out()
    outlive_readers()
    try:
        serve(Path.cwd(), _port(given))
    except AdambiasError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _port(given: str | None) -> int:
    """Return the port asked for on the command line or in the environment, else `PORT`."""
    name = "ADAMBIAS_UI_PORT" if given is None else "--port"
    words = os.environ.get(name) or str(PORT) if given is None else given
    if not words.isdecimal() or not 1 <= int(words) <= 65535:
        raise ConfigError(name, words, "must be a port, 1 to 65535")
    return int(words)


def serve(root: Path, port: int = PORT) -> None:
    """Serve the UI over the tracking store of a project until Ctrl-C or SIGTERM.

    Parameters
    ----------
    root : Path
        The project's folder.
    port : int
        Port on 127.0.0.1.

    Raises
    ------
    TrackingError
        If the port is taken, the server does not start, or the store cannot be used.
    """
    uri = location.tracking_uri(root)
    if location.is_remote(uri):
        print(f"MLFLOW_TRACKING_URI is a server: open {uri}")
        return
    need("mlflow")
    refuse_taken(port)
    location.refuse_unreachable(uri)
    file = location.sqlite_file(uri)
    if file is not None and not file.exists():
        if not (root / "params.yaml").is_file():
            allowed = "no such file, and no params.yaml: go to a folder with a project or a store"
            raise TrackingError(f"{file}: {allowed}")
        print(
            f"{file}: nothing is recorded yet; make reproduce fills it, adambias sync rebuilds it"
        )
    print(f"starting the MLflow server over {location.shown(uri)} …", flush=True)
    from adambias.tracking.mlflow import schema

    schema.refuse_unusable(uri)  # the server would migrate it
    with _until_signal(), running(uri, port) as server:
        _introduce(port, root)
        server.wait()


def refuse_taken(port: int) -> None:
    """Raise if something listens on ``port`` already.

    Raises
    ------
    TrackingError
        With a line that names the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise TrackingError(
                f"port {port} on {HOST}: cannot be used ({error.strerror}): end what uses it "
                f"(perhaps another make ui) or choose another: ADAMBIAS_UI_PORT={port + 1} make ui"
            ) from None


@contextlib.contextmanager
def running(uri: str, port: int, workers: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``mlflow server`` with proxied artifacts, ready to answer inside the body.

    Parameters
    ----------
    uri : str
        Database behind the server.
    port : int
        A free port on 127.0.0.1.
    workers : int
        Server processes.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", str(workers), "--artifacts-destination"]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not an argument, where ps shows a password
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    server = subprocess.Popen(
        [*command, location.artifacts_destination(uri)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = _Output(server)
    try:
        _wait_until_it_answers(server, port, output)
        yield server
    finally:
        _stop(server)


class _Output:
    """What the server prints, kept in case it does not start."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        import collections
        import threading

        self.lines: collections.deque[str] = collections.deque(maxlen=50)
        self._stream = server.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._stream is not None
        for line in self._stream:
            self.lines.append(line.decode(errors="replace").rstrip())

    def last(self) -> str:
        return next((line for line in reversed(self.lines) if line.strip()), "no output")


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, output: _Output) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            time.sleep(0.2)  # lets the last lines arrive
            raise TrackingError(f"the MLflow server ended as it started: {output.last()}")
        try:
            _get(port, "/health")
            return
        except OSError:
            time.sleep(0.2)
    raise TrackingError(f"the MLflow server does not answer after {START_SECONDS:.0f} s")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers, gently first."""
    for kind, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(seconds)


@contextlib.contextmanager
def _until_signal() -> Iterator[None]:
    """Take Ctrl-C and SIGTERM as the usual end."""
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        print("\nthe MLflow server is stopped")


def _introduce(port: int, root: Path) -> None:
    """Print the addresses, and what there is to click."""
    address = f"http://{HOST}:{port}"
    print(f"MLflow is at {address} (Ctrl-C ends it)")
    for experiment in _experiments(port):
        print(f"  {experiment['name']:<32} {address}{_page(experiment)}")
    print(_reports(root))
    print(
        "Choose Model training at the top left, once, and close the assistant.\n"
        "Open an experiment. The link above its table leads to the sweep's own run, with "
        "description and figure;\nevery other run is a trial: Overview for its parameters, Model "
        "metrics for its curves, Artifacts for its\nhistory. The second button above the table "
        "draws the curves of many. Sort: any metric.\n"
        "Group by: the tag group, for the mean over seeds."
    )
    sys.stdout.flush()


def _reports(root: Path) -> str:
    """Return the addresses of the reports, or how to make one."""
    pages = [root / "reports" / "index.html", *sorted(root.glob("*/report.html"))]
    found = [page.absolute().as_uri() for page in pages if page.is_file()]
    if found:
        return f"Claims, verdicts and figures: {', '.join(found)}"
    return (
        "No report yet: dvc repro makes reports/index.html, adambias run FILE one beside the file."
    )


def _page(experiment: dict[str, Any]) -> str:
    """Return the address of an experiment's table, with the columns that were chosen for it."""
    page = f"/{content.page(experiment['experiment_id'])}"
    tags = {tag["key"] for tag in experiment.get("tags", [])}
    shared = "mlflow.sharedViewState.trials" in tags
    return f"{page}&viewStateShareKey=trials" if shared else page


def _experiments(port: int) -> list[dict[str, Any]]:
    try:
        answer = _get(port, "/api/2.0/mlflow/experiments/search?max_results=50")
    except OSError:
        return []
    found = json.loads(answer).get("experiments", [])
    named = [e for e in found if e["name"].startswith("adambias/")]
    return sorted(named, key=lambda e: str(e["name"]))


def _get(port: int, path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    sys.exit(main())
