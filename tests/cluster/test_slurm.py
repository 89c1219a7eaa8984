"""The Slurm script, run with stand-ins for Slurm's and Ray's commands that keep a record."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"

SRUN = """#!/bin/bash
echo "srun $*" >> "$RECORD"
while [[ ${1-} == --* ]]; do
  [[ $1 == --ntasks=* ]] && tasks=${1#*=}
  shift
done
trap 'kill $(jobs -p)' TERM
for ((i = 0; i < tasks; i++)); do "$@" & done
wait
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$RECORD"
if [[ $1 == show ]]; then printf 'node1\\nlocalhost\\nnode3\\n'; fi
"""
HOSTNAME = """#!/bin/bash
echo 172.17.0.1 127.0.0.1  # Docker's bridge first
"""
RAY = """#!/bin/bash
if [[ $1 == status ]]; then
  echo "Active:"
  grep '^ray start' "$RECORD" | sed 's/.*/ 1 node_of_it/' | head -n "${NODES_THAT_JOIN:-99}"
  echo "Pending:"
  exit 0
fi
echo "ray $* [$RAY_AUTH_MODE ${#RAY_AUTH_TOKEN}]" >> "$RECORD"
exec sleep 300
"""
COMMANDS = {"srun": SRUN, "scontrol": SCONTROL, "ray": RAY, "hostname": HOSTNAME}


class Job:
    """A Slurm job in a project's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, folder / "record"
        commands = folder / "bin"
        commands.mkdir(parents=True)
        for name, text in COMMANDS.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        self.record.touch()
        self.environment = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(folder),
            "RECORD": str(self.record),
            "ADAMBIAS_POLL_SECONDS": "0.05",
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": "20077",
            "SLURM_JOB_NODELIST": "node[1-3]",
            "SLURM_JOB_NUM_NODES": "3",
            "SLURM_CPUS_PER_TASK": "16",
            "SLURM_GPUS_ON_NODE": "4",
        }

    @contextlib.contextmanager
    def start(self, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run the script; a test that fails leaves none of its processes."""
        with subprocess.Popen(
            ["bash", str(SCRIPT), *command],
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as run:
            try:
                yield run
            except BaseException:
                os.killpg(run.pid, signal.SIGKILL)
                raise

    def lines(self) -> list[str]:
        return self.record.read_text().splitlines()


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(tmp_path / "mein Prüfstand" / "project")


def still_running(marker: str) -> list[str]:
    found = subprocess.run(["pgrep", "-af", marker], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_its_syntax_is_right():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    assert os.access(SCRIPT, os.X_OK)


def test_a_head_and_workers_join_before_the_command_runs(job):
    shown = 'printf "%s\\n" "$RAY_ADDRESS" "$ADAMBIAS_STORE" "$PWD" "$RAY_TMPDIR"'
    shown += '; grep -c "^ray start" "$RECORD"'
    with job.start("bash", "-c", shown) as run:
        out, err = run.communicate(timeout=120)

    assert run.returncode == 0, err
    address, store, folder, temporary, joined = out.splitlines()
    assert address == "127.0.0.1:20077", "on the way to the second node, no bridge's"
    assert temporary == f"/tmp/ray-{os.getuid()}", "no long TMPDIR of the job"
    assert (store, folder) == (f"{job.folder}/runs", str(job.folder))
    assert joined == "3"
    head, *workers = [line for line in job.lines() if line.startswith("ray start")]
    assert "--head" in head
    assert f"--port={address.rpartition(':')[2]}" in head
    assert all(f"--address={address}" in line for line in workers)
    assert all("--num-cpus=16 --num-gpus=4" in line for line in (head, *workers))
    assert all(line.endswith("[token 64]") for line in (head, *workers)), "Ray asks for a token"
    assert any(line.startswith("srun --nodes=2 --ntasks=2 --exclude=node1") for line in job.lines())
    assert not any("requeue" in line for line in job.lines())
    assert still_running(str(job.folder)) == []


def test_the_exit_code_is_the_commands(job):
    with job.start("bash", "-c", "exit 7") as run:
        run.communicate(timeout=120)

    assert run.returncode == 7


def test_before_the_time_limit_the_command_is_interrupted_and_the_job_queued_again(job):
    waiting = "trap 'echo interrupted; exit 130' INT; touch ready; while :; do sleep 0.05; done"
    with job.start("bash", "-c", waiting) as run:
        deadline = time.monotonic() + 120
        while not (job.folder / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=120)

    assert "interrupted" in out
    assert job.lines()[-1] == "scontrol requeue 20077"
    assert run.returncode != 0
    assert still_running(str(job.folder)) == []


def test_one_node_needs_no_workers(job):
    with job.start("true", SLURM_JOB_NUM_NODES="1") as run:
        _, err = run.communicate(timeout=120)

    assert run.returncode == 0, err
    assert len([line for line in job.lines() if line.startswith("ray start")]) == 1


def test_nodes_that_do_not_join_end_the_job_with_a_line(job):
    fast = {"NODES_THAT_JOIN": "1", "ADAMBIAS_POLL_SECONDS": "0"}
    with job.start("touch", "ran", **fast) as run:
        _, err = run.communicate(timeout=120)

    assert run.returncode == 1
    assert "error: only 1 of 3 nodes joined Ray at" in err
    assert not (job.folder / "ran").exists()


def test_a_node_without_an_address_ends_the_job_with_a_line(job):
    (job.folder / "bin" / "scontrol").write_text("#!/bin/bash\necho node1\necho no.such.node.\n")
    with job.start("touch", "ran") as run:
        _, err = run.communicate(timeout=120)

    assert run.returncode == 1
    assert err.splitlines()[-1].startswith(
        "error: node node1 finds no way to node no.such.node. (see above): its name must have an"
    )
    assert not (job.folder / "ran").exists()
