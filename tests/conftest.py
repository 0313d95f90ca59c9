"""What all tests share. It also lets them import each other's networks: ``from bases.networks import build``."""

import gc
import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor
from tqdm import tqdm

# What is drawn must not depend on the day, and a slow machine is no failure.
settings.register_profile("netwarp", deadline=None, derandomize=True)
settings.load_profile("netwarp")
# One thread: the tensors are tiny, sums then come out the same everywhere, and two test processes (and commands that
# they start, which inherit the variable) do not wait for each other's threads.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# The first backward pass of a process starts threads for all devices there are, and after torch.export, whose fake ones
# count, that forbids forked processes a backward pass of their own. Before it there are none.
torch.ones(1, requires_grad=True).backward()
# tqdm's own lock is shared with forked processes: of one that is killed while it holds it, nobody gets it back.
tqdm.set_lock(threading.RLock())
# A shell has Ctrl-C ignored by what it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Files of seven seconds and more, the longest first. Two processes share the files, each taking the next when it has
# done one: begun last, a long one would keep one of them busy while the other has nothing left.
LONG = (
    "export/test_export",
    "model/test_network_contract",
    "fleet/test_ray",
    "live/test_live",
    "test_real_video",
    "test_examples",
    "live/test_page",
    "lab/paper/test_reproduce",
    "model/test_grid",
    "cli/test_process",
    "cli/test_train",
    "training/test_resume",
    "lab/study/test_experiment",
    "cli/test_segment",
    "fleet/test_fleet",
    "ops/test_kernels",
    "bases/test_in_engine",
    "cli/test_bad_input",
    "model/test_flow_cnn",
    "lab/benchmark/test_command",
    "training/test_train",
    "lab/demo/test_demo",
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist's own order is by the number of tests


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        begun = {f"tests/{name}.py": place for place, name in enumerate(LONG)}
        items.sort(key=lambda item: begun.get(item.nodeid.partition("::")[0], len(LONG)))


def pytest_collection_finish() -> None:
    """All that was imported stays: looking through it for what could be freed takes a seventh of the tests' time."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture
def pictures() -> Callable[..., list[Tensor]]:
    """Make the uint8 frames ``[batch,3,H,W]`` of a camera that pans over a smooth random picture."""

    def make(count: int, height: int = 32, width: int = 48, *, batch: int = 1, step: int = 2, seed: int = 0):
        rng = np.random.default_rng(seed)
        wide = width + step * count
        coarse = torch.from_numpy(rng.uniform(0, 255, (batch, 3, height // 8 + 2, wide // 8 + 2))).float()
        scene = torch.nn.functional.interpolate(coarse, (height, wide), mode="bicubic", align_corners=False)
        scene = scene.clamp(0, 255).to(torch.uint8)
        return [scene[..., i * step : i * step + width].contiguous() for i in range(count)]

    return make
