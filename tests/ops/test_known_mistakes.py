"""What the known PyTorch port of NetWarp gets wrong: each mistake is imitated here, and shown to be absent.

It clips the transformed flow with a ReLU, resizes a flow without its values, normalises coordinates for aligned
corners but samples without, and runs RAFT with 20 updates for every frame.
"""

import inspect

import pytest
import torch
import torch.nn.functional as F

from model.tiny import tiny
from netwarp.flow import DISFlow, RAFTFlow
from netwarp.model import FlowCNN, NetWarp, VideoModel
from netwarp.ops import warp
from ops.test_warp import constant


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(("u", "v"), [(-7.0, 0.0), (0.0, -7.0), (-5.0, -3.0), (6.0, -2.0), (6.0, 2.0)])
def test_motion_to_the_left_and_up_survives_the_flow_cnn(u, v, stride):
    frame = torch.rand(1, 3, 16, 24)
    corrected = FlowCNN(stride=stride)(constant(u, v, 16, 24), frame, frame)
    middle = corrected[0, :, corrected.shape[2] // 2, corrected.shape[3] // 2] * stride
    torch.testing.assert_close(middle, torch.tensor([u, v]), rtol=0, atol=0.3)


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_even_an_untrained_flow_cnn_of_the_papers_start_is_not_clipped(variant):
    cnn = FlowCNN(variant, start="gaussian")
    flow = torch.cat((constant(-100.0, -100.0, 16, 24), constant(100.0, 100.0, 16, 24)), dim=3)
    corrected = cnn(flow, *torch.rand(2, 1, 3, 16, 48))
    assert (corrected < 0).any()
    assert (corrected > 0).any()


def test_values_of_a_flow_are_rescaled_with_its_size():
    moved = torch.zeros(1, 1, 8, 8)
    moved[..., 4, 6] = 1
    netwarp = NetWarp(1, start=(0.0, 1.0))
    # 16 pixels of the frame are 2 of the map: what was at column 6 is at column 4 now.
    combined = netwarp(torch.zeros(1, 1, 8, 8), moved, constant(16.0, 0.0, 64, 64))
    assert combined[0, 0, 4, 4] == 1
    not_rescaled = warp(moved, F.interpolate(constant(16.0, 0.0, 64, 64), (8, 8)))
    assert not_rescaled[0, 0, 4, 4] == 0  # the mistake is one that this test would see


def test_sampling_is_at_pixel_indices():
    features, flow = torch.randn(1, 2, 6, 9), torch.zeros(1, 2, 6, 9)
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 6), indexing="xy"), -1)[None]
    mixed = F.grid_sample(features, grid, align_corners=False, padding_mode="border")
    assert not torch.allclose(mixed, features, atol=0.1)  # the mistake: zero flow blurs and stretches the map
    assert torch.equal(warp(features, flow), features)
    aligned = F.grid_sample(features, grid, align_corners=True, padding_mode="border")
    torch.testing.assert_close(aligned, features, rtol=1e-4, atol=1e-4)


def test_flow_is_that_of_the_paper_unless_somebody_asks_for_raft():
    """DIS, "which takes only about 5ms"; and RAFT, where it is asked for, runs torchvision's 12 updates and not 20."""
    assert isinstance(VideoModel(tiny(), ["mid"]).flow, DISFlow)
    assert inspect.signature(RAFTFlow).parameters["updates"].default == 12
