"""What was measured on: what explains a time, and nothing that says whose machine it is."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from netwarp._version import __version__
from netwarp.inference.threads import cores_of_process

Machine = dict[str, str | int | None]

PACKAGES = {"torchvision": "torchvision", "opencv": "opencv-python-headless", "numba": "numba", "triton": "triton"}


def machine(device: str, threads: int | None = None) -> Machine:
    """Facts of this machine, for the heads of tables and for JSON."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "cpu": _cpu(),
        "cores": cores_of_process(),
        "threads": threads or torch.get_num_threads(),
        "device": device,
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "netwarp": __version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        **{name: _version(package) for name, package in PACKAGES.items()},
    }


def machine_line(facts: Machine) -> str:
    """The same as a sentence.

    >>> machine_line({"cpu": "EPYC", "cores": 2, "threads": 1, "gpu": None, "torch": "2.13", "triton": None})
    'EPYC, 2 cores, 1 thread, torch 2.13'
    """
    parts = [str(facts["cpu"]), _count(facts["cores"], "core"), _count(facts["threads"], "thread")]
    parts += [str(facts["gpu"])] if facts["gpu"] else []
    apart = ("cpu", "cores", "threads", "gpu", "device", "system")
    parts += [f"{name} {value}" for name, value in facts.items() if name not in apart and value is not None]
    return ", ".join(parts)


def _count(number: str | int | None, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's model."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        if said:
            return said
    return platform.processor() or platform.machine()
