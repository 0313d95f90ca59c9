"""What all tests share. It also lets them import each other's networks: ``from bases.networks import build``."""

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
# tqdm's own lock is shared with forked processes: of one that is killed while it holds it, nobody gets it back.
tqdm.set_lock(threading.RLock())
# A shell has Ctrl-C ignored by what it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
