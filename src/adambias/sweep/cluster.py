"""Join a Ray cluster, or start Ray here, and refuse in seconds what it could never run."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import adambias
from adambias.config import SEMANTICS_VERSION, Resources
from adambias.core.errors import AdambiasError, SweepError
from adambias.ledger.ledger import Ledger
from adambias.sweep.own_ray import reaping, watched

ANSWER_SECONDS = 5.0
"""Most seconds that the head of a cluster takes to answer for the first time."""
SOCKET_BYTES = 107
"""Bytes that the path of a Unix socket may have."""
SOCKET = "/session_2026-01-31_23-59-59_999999_4194304/sockets/plasma_store"
"""The longest that Ray appends to its temporary folder."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Where Ray's files go if the temporary folder will not do."""


def look_at_cluster(resources: Resources, store: str) -> str:
    """Join the cluster as a sweep does, refuse what it can never run, and say what it has.

    Raises
    ------
    SweepError
        As :func:`run_on_ray` does.
    """
    with connection(lambda line: None):
        preflight(demand(resources), store)
        nodes = sum(node["Alive"] for node in ray.nodes())
        return f"{_there()} on {nodes} {'node' if nodes == 1 else 'nodes'}"


def demand(resources: Resources) -> dict[str, float]:
    """Return what a trial asks of a node, by Ray's names of resources."""
    return {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}


def _there() -> str:
    there = ray.cluster_resources()
    return f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"


@contextlib.contextmanager
def connection(say: Callable[[str], None]) -> Iterator[None]:
    """Join or start Ray; one that runs already in this process is used and left."""
    # SweepProgress and error.txt tell of failures; Tune would print each one's trace as well.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        if not quoted_python().items() <= ray.get_runtime_context().runtime_env.items():
            raise SweepError(
                f"Ray runs already, and could start no worker with {sys.executable}: start it with "
                f"ray.init(runtime_env={quoted_python()}), or end it with ray.shutdown()"
            )
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    # RAY_ADDRESS=local and none at all both mean a Ray of our own.
    address = None if address == "local" else address
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    settings["runtime_env"] = quoted_python()
    if not address:
        # "local", because ray.init by itself joins a Ray that it finds here
        # (ray/_private/worker.py); no dashboard, because nothing here uses it.
        settings |= {"include_dashboard": False, "address": "local", "_temp_dir": _ray_folder()}
        _keep_token()
    elif address != "auto":
        _refuse_unreachable(address)
    say(f"joining Ray at {address}" if address else "starting Ray on this machine")
    try:
        with _sigterm_kept():
            ray.init(**settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise SweepError(_no_ray(address, str(error).strip().splitlines()[0])) from None
    say(f"Ray has {_there()}")
    # Ray prints the last page of a lost node's log here; what a trial has lost is said anyway.
    ray._private.worker.print_to_stdstream = lambda *data, **settings: None
    with contextlib.ExitStack() as ends:
        if not address:
            ends.enter_context(reaping())
        ends.callback(ray.shutdown)
        if not address:
            ends.enter_context(watched())
        yield


def quoted_python() -> dict[str, str]:
    """Return the runtime environment that workers need to start, empty where they need none.

    Ray starts a worker by a line of bash in which it quotes all but the path of Python
    (ray/_private/runtime_env/context.py): with a space in it none would ever start.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"py_executable": quoted}


def _ray_folder() -> str | None:
    """Return a folder for the files of a Ray of our own, None if Ray's default will do.

    Its sockets do not fit into a long temporary folder, as batch systems and macOS give one.
    """
    given = os.environ.get("RAY_TMPDIR")
    default = given or os.environ.get("TMPDIR") or "/tmp"
    if _takes_sockets(Path(default, "ray")):
        return None
    if given is None:
        for place in SHORT_FOLDERS:
            folder = Path(place, f"ray-{os.getuid()}")
            if _takes_sockets(folder):
                return str(folder)
    name, most = "RAY_TMPDIR" if given else "TMPDIR", SOCKET_BYTES - len(SOCKET) - len("/ray")
    raise SweepError(
        f"{name} = {default}: cannot be written, or is too long for Ray's sockets: set RAY_TMPDIR "
        f"to a folder whose path has at most {most} bytes"
    )


def _takes_sockets(folder: Path) -> bool:
    return len(os.fsencode(folder)) + len(SOCKET) <= SOCKET_BYTES and _is_writable(folder)


def _is_writable(folder: Path) -> bool:
    """Tell whether a folder, or the one that it would be made in, takes files."""
    # Not made here: Ray makes its own such that other users of the machine can use it too.
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError:
        return False
    return True


def _keep_token() -> None:
    """Give a Ray of our own its token where it cannot keep one: in a home that is not writable."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    try:
        kept = _is_writable(Path.home() / ".ray")
    except RuntimeError:  # no HOME, and a user whom the system does not know
        kept = False
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _refuse_unreachable(address: str) -> None:
    """Raise within seconds if nothing listens there; Ray would try for a quarter of an hour."""
    parts = urlsplit(f"//{address}")
    try:
        port = parts.port
    except ValueError:  # no number, or none that a port can have
        port = None
    # Tune "may not work as expected" through a client connection, Ray's documentation says.
    if "://" in address or parts.hostname is None or port is None:
        raise SweepError(
            f"RAY_ADDRESS = {address}: must be host:port of the cluster's head, auto or local; a "
            "sweep runs on a machine of the cluster, not through ray://"
        )
    try:
        socket.create_connection((parts.hostname, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise SweepError(_no_ray(address, error.strerror or str(error))) from None


def _no_ray(address: str | None, reason: str) -> str:
    if address:
        return (
            f"RAY_ADDRESS = {address}: cannot be joined ({reason}): start the cluster, or unset it "
            "to run on this machine"
        )
    return (
        f"Ray cannot be started on this machine ({reason}): mend that, set RAY_ADDRESS to a "
        "cluster, or sweep with --executor inline"
    )


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep the present handler of SIGTERM: with Ray's own the driver would end without a word."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    # Only a process's main thread may set a handler.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def preflight(request: dict[str, float], store: str) -> None:
    """Refuse in seconds what the cluster can never run.

    Raises
    ------
    SweepError
        Naming the setting or the node, and the mend.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    # One node has to have all that a trial asks for: a sum over nodes, or the largest of each, says
    # nothing. Without this check Tune waits for ever
    # (ray/tune/execution/insufficient_resources_manager.py).
    fitting = nodes
    for name, amount in request.items():
        largest = max((node["Resources"].get(name, 0.0) for node in fitting), default=0.0)
        fitting = [node for node in fitting if node["Resources"].get(name, 0.0) >= amount]
        if not fitting:
            raise SweepError(
                f"resources.{name.lower()}s_per_trial = {amount:g}: no node of the cluster has "
                f"more than {largest:g} {name} (beside what else a trial asks for): ask for less, "
                "or join a larger cluster"
            )
    # A folder may exist on every node and yet be another one on each: only a file tells.
    if len(nodes) > 1:
        ledger, probe = Ledger.open(store), f".probe-{uuid.uuid4().hex[:8]}"
        ledger.store.write(probe, b"probe")
        try:
            _check_nodes(nodes, ledger, probe)
        finally:
            ledger.store.delete([probe])


def _check_nodes(nodes: list[dict[str, Any]], ledger: Ledger, probe: str) -> None:
    # All nodes are asked before the first answer is awaited, so that a slow one costs its time
    # once.
    checks = []
    for node in nodes:
        # Hard affinity: the task fails if the node is gone, rather than answering for another.
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        check = _check_node.options(scheduling_strategy=there).remote(ledger.store.uri, probe)
        checks.append((node["NodeManagerHostname"], check))
    for host, check in checks:
        try:
            version, semantics, problem = ray.get(check, timeout=120)
        except ray.exceptions.RayError as error:
            line = str(error).strip().splitlines()[-1]
            raise SweepError(
                f"node {host}: adambias cannot run there ({line}): install version "
                f"{adambias.__version__} on every node"
            ) from None
        if (version, semantics) != (adambias.__version__, SEMANTICS_VERSION):
            raise SweepError(
                f"node {host}: has adambias {version} (semantics {semantics}), the driver "
                f"{adambias.__version__} (semantics {SEMANTICS_VERSION}): install the same version"
            )
        if problem:
            raise SweepError(
                f"node {host}: cannot use the ledger {ledger.store.where()} ({problem}): use a "
                "shared folder or an s3:// URI as ADAMBIAS_STORE"
            )


@ray.remote(num_cpus=0)  # so that a node whose cores are all taken still answers
def _check_node(store: str, probe: str) -> tuple[str, int, str]:
    """Return this node's version and semantics, and what keeps it from the ledger, if anything.

    ``probe`` is a file that the driver has just written there.
    """
    own = f".probe-{uuid.uuid4().hex[:8]}"
    try:
        ledger = Ledger.open(store)
        known = ledger.store.exist([probe])[0]
        ledger.store.write(own, b"probe")
        ledger.store.delete([own])
    except (AdambiasError, OSError) as error:
        return adambias.__version__, SEMANTICS_VERSION, str(error)
    problem = "" if known else "it is another folder than the driver's"
    return adambias.__version__, SEMANTICS_VERSION, problem
