"""The definitions in ``cluster/``, as far as a machine without a cluster can check them."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

import adambias
from adambias.cli.main import main

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
IMAGE = f"adambias:{adambias.__version__}"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")

QUANTITIES = {"type": "object", "additionalProperties": {"type": "string"}}
NAMED_VALUE = {
    "type": "object",
    "required": ["name", "value"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
}
CONTAINER = {
    "type": "object",
    "required": ["name", "image", "resources"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "env": {"type": "array", "items": NAMED_VALUE},
        "envFrom": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "secretRef": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {"name": {"type": "string"}, "optional": {"type": "boolean"}},
                    }
                },
            },
        },
        "resources": {
            "type": "object",
            "required": ["requests", "limits"],
            "additionalProperties": False,
            "properties": {"requests": QUANTITIES, "limits": QUANTITIES},
        },
        "volumeMounts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "mountPath"],
                "additionalProperties": False,
                "properties": {"name": {"type": "string"}, "mountPath": {"pattern": "^/"}},
            },
        },
    },
}
POD = {
    "type": "object",
    "required": ["spec"],
    "additionalProperties": False,
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers"],
            "additionalProperties": False,
            "properties": {
                "containers": {"type": "array", "minItems": 1, "items": CONTAINER},
                "volumes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {"name": {"type": "string"}, "emptyDir": {"type": "object"}},
                    },
                },
            },
        }
    },
}
START_PARAMETERS = {"type": "object", "additionalProperties": {"type": "string"}}
HEAD = {
    "type": "object",
    "required": ["rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {"rayStartParams": START_PARAMETERS, "template": POD},
}
WORKERS = {
    "type": "object",
    "required": ["groupName", "replicas", "minReplicas", "maxReplicas", "template"],
    "additionalProperties": False,
    "properties": {
        "groupName": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 1},
        "minReplicas": {"type": "integer", "minimum": 1},
        "maxReplicas": {"type": "integer", "minimum": 1},
        "rayStartParams": START_PARAMETERS,
        "template": POD,
    },
}
RAY_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]},
                "backoffLimit": {"type": "integer", "minimum": 1},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["rayVersion", "headGroupSpec", "workerGroupSpecs"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "authOptions": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"mode": {"enum": ["disabled", "token"]}},
                        },
                        "headGroupSpec": HEAD,
                        "workerGroupSpecs": {"type": "array", "minItems": 1, "items": WORKERS},
                    },
                },
            },
        },
    },
}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(CLUSTER / name)
    return content


@pytest.fixture
def ray_job() -> dict[str, Any]:
    return read("rayjob.yaml")


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [c for group in groups for c in group["template"]["spec"]["containers"]]


def accepted_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Complete a cluster's definition and check it as ``ray up`` does first."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(config)
    validate_config(prepared)
    return prepared


def test_ray_accepts_the_definition_of_ray_up():
    prepared = accepted_by_ray(read("ray-up.yaml"))

    assert set(prepared["available_node_types"]) == {"head", "gpu"}
    assert prepared["setup_commands"] == prepared["worker_setup_commands"] == []


@pytest.mark.parametrize(
    ("key", "value"), [("max_worker", 2), ("max_workers", "two"), ("head_start_ray_commands", "x")]
)
def test_ray_would_refuse_a_misspelt_definition(key, value):
    with pytest.raises(jsonschema.ValidationError):
        accepted_by_ray({**read("ray-up.yaml"), key: value})


def test_ray_up_starts_as_many_gpu_nodes_as_it_may():
    config = read("ray-up.yaml")
    gpu = config["available_node_types"]["gpu"]

    assert gpu["min_workers"] == gpu["max_workers"] == config["max_workers"]
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}


def test_the_ray_job_has_the_fields_that_kuberay_knows(ray_job):
    jsonschema.validate(ray_job, RAY_JOB)


def test_every_container_runs_the_image_and_the_ray_of_this_version(ray_job):
    assert {container["image"] for container in containers(ray_job)} == {IMAGE}
    assert read("ray-up.yaml")["docker"]["image"] == IMAGE
    pinned = re.search(r"^ray==(\S+)$", LOCK, flags=re.M)
    assert pinned is not None
    assert ray_job["spec"]["rayClusterSpec"]["rayVersion"] == pinned.group(1)


def test_no_trial_runs_on_the_head_and_workers_have_a_gpu(ray_job):
    cluster = ray_job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]

    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert workers["minReplicas"] == workers["replicas"] == workers["maxReplicas"]
    (container,) = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_mounted_volumes_exist(ray_job):
    for group in ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod.get("volumes", [])}


def parse(words: list[str]) -> None:
    """Let the command line read a command without running it."""
    program, name, *arguments = words
    assert program == "adambias"
    command = main.commands[name]
    command.make_context(name, list(arguments))


def test_the_entrypoint_is_a_command_of_ours(ray_job):
    parse(shlex.split(ray_job["spec"]["entrypoint"]))


def commands_of(page: Path) -> list[list[str]]:
    """Find the ``adambias`` commands in the code blocks of a page."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S)
    found = [
        re.search(r"\badambias (plan|status|sweep|sync|doctor)\b[^|;&'\"#\n]*", line)
        for block in blocks
        for line in block.splitlines()
    ]
    return [shlex.split(match.group()) for match in found if match]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("cluster*.md")), ids=lambda p: p.name)
def test_the_commands_of_the_pages_are_ours(page):
    commands = commands_of(page)

    assert commands
    for words in commands:
        parse(words)


def test_the_pages_name_files_that_exist():
    pages = sorted((ROOT / "docs").glob("cluster*.md"))
    assert len(pages) == 4
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for name in set(re.findall(r"\bcluster/[\w.-]+\w", text)):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
        for link in re.findall(r"\]\(([\w./-]+\.md)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_image_copies_files_that_exist_and_are_let_through():
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    allowed = (CLUSTER / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    sources = [n for line in re.findall(r"^COPY (.+)$", text, re.M) for n in line.split()[:-1]]

    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed.splitlines(), source


def test_the_image_has_a_python_that_the_package_supports():
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    version = re.search(r"^FROM python:(\d+\.\d+)-slim$", text, re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert version is not None
    assert project["requires-python"].startswith(f">={version.group(1)}")
