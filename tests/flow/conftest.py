import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def raft_file(tmp_path_factory):
    """A file of weights for RAFT-small: of the right form, but untrained."""
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "small.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    return path


@pytest.fixture
def moved():
    """Make (current, previous) of one texture, such that backward flow is exactly (u, v) everywhere."""

    def make(u: int, v: int, h: int = 96, w: int = 128, seed: int = 0) -> tuple[Tensor, Tensor]:
        import cv2

        margin = max(abs(u), abs(v))
        noise = np.random.default_rng(seed).uniform(0, 255, (h + 2 * margin, w + 2 * margin, 3)).astype(np.float32)
        smooth = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 12))
        smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255
        scene = torch.from_numpy(smooth.astype(np.uint8)).permute(2, 0, 1)[None]
        # current(x, y) = scene(x + margin, y + margin) = previous(x + u, y + v)
        current = scene[..., margin : margin + h, margin : margin + w]
        previous = scene[..., margin - v : margin - v + h, margin - u : margin - u + w]
        return current.contiguous(), previous.contiguous()

    return make
