"""The GPU that a training was granted: there, or a line that says why not."""

from __future__ import annotations

import pytest
import torch

from adambias.core.errors import AdambiasError
from adambias.training import devices

NEW = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build
GCC version:  gcc version 12.2.0
"""
OLD = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make torch and the driver report what a machine has."""

    def make(*, sees, cuda, text=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: sees)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        file = tmp_path / "version"
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(devices, "DRIVER", file)

    return make


def test_a_gpu_that_is_there_is_the_first_that_the_process_sees(machine):
    machine(sees=True, cuda="12.8")
    assert devices.granted_gpu() == torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("cuda", "text", "words"),
    [
        (None, None, rf"\(torch {torch.__version__} without CUDA; no NVIDIA driver\)"),
        ("13.0", OLD, rf"\(torch {torch.__version__} for CUDA 13.0; NVIDIA driver 535.104.05\)"),
        ("12.8", NEW, r"NVIDIA driver 570.86.15\): install a build that fits the driver, or set"),
        ("12.8", "", r"no NVIDIA driver\)"),
    ],
)
def test_one_that_is_not_is_a_line_with_build_and_driver(machine, cuda, text, words):
    machine(sees=False, cuda=cuda, text=text)
    words = words.replace("+", r"\+")
    with pytest.raises(AdambiasError, match=words) as error:
        devices.granted_gpu()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("set gpus_per_trial = 0")


def test_gpus_are_named_with_their_compute_capability(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"NVIDIA H{i + 1}00")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: (9, i))
    assert devices.gpus() == [
        "NVIDIA H100 (compute capability 9.0)",
        "NVIDIA H200 (compute capability 9.1)",
    ]
