"""One NetWarp, held against Eq. 1–3."""

import pytest
import torch
import torch.nn.functional as F

from netwarp.errors import ConfigurationError, InputError
from netwarp.model import NetWarp
from netwarp.ops import resize_flow
from ops.slow import SHARES, slow_combine


def test_a_fresh_one_is_the_identity_bitwise():
    current, previous = torch.randn(2, 2, 4, 5, 7)
    netwarp = NetWarp(4)
    assert torch.equal(netwarp.w1, torch.ones(4))
    assert torch.equal(netwarp.w2, torch.zeros(4))
    assert torch.equal(netwarp(current, previous, 9 * torch.randn(2, 2, 40, 56)), current)


@pytest.mark.parametrize("interpolation", SHARES)
def test_equals_equation_3_by_a_loop(interpolation):
    current, previous = torch.randn(2, 2, 3, 4, 5)
    netwarp, flow = NetWarp(3, interpolation=interpolation), 2 * torch.randn(2, 2, 4, 5)
    w1, w2 = torch.tensor([[0.5, 1.0, -0.3], [0.5, 0.2, 1.1]])
    netwarp.load_state_dict({"w1": w1, "w2": w2})
    expected = slow_combine(current, previous, flow, w1, w2, None, interpolation)
    torch.testing.assert_close(netwarp(current, previous, flow).double(), expected, rtol=1e-5, atol=1e-6)


def test_brings_a_flow_of_the_frames_grid_to_its_own():
    current, previous, flow = *torch.randn(2, 2, 3, 4, 5), 9 * torch.randn(2, 2, 32, 40)
    netwarp = NetWarp(3, start=(0.6, 0.4))
    resized = netwarp(current, previous, resize_flow(flow, (4, 5)))
    assert torch.equal(netwarp(current, previous, flow), resized)


def test_brings_a_gate_of_the_frames_grid_to_its_own():
    current, previous = torch.randn(2, 1, 3, 4, 5)
    flow = torch.zeros(1, 2, 32, 40)
    netwarp = NetWarp(3, start=(0.0, 1.0))
    gate = torch.zeros(1, 1, 32, 40)
    gate[..., :, 20:] = 1  # the right half, but for the column at its edge, is trusted
    combined = netwarp(current, previous, flow, gate)
    torch.testing.assert_close(combined[..., :2], current[..., :2])
    torch.testing.assert_close(combined[..., 3:], previous[..., 3:])
    # Every fine pixel counts: a coarse gate is an average, not a sample.
    speckled = torch.zeros(1, 1, 32, 40)
    speckled[..., ::2, ::2] = 1
    mixed = netwarp(current, previous, flow, speckled)
    torch.testing.assert_close(mixed, torch.lerp(current, previous, 0.25), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("fine", [True, False])
def test_a_coarser_flow_than_the_representation(fine):
    """FlowCNN at a stride hands a coarse flow to a finer layer."""
    current, previous = torch.randn(2, 1, 3, 8, 12)
    flow = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1).repeat(1, 1, 4, 6)
    netwarp = NetWarp(3, start=(0.0, 1.0))
    shifted = F.pad(previous, (0, 2, 2, 0), mode="replicate")[..., :8, 2:]
    assert torch.equal(netwarp(current, previous, flow if not fine else resize_flow(flow, (16, 24))), shifted)


def test_what_makes_no_sense():
    with pytest.raises(ConfigurationError, match="at least 1 channel"):
        NetWarp(0)
    with pytest.raises(InputError, match="w1"):
        NetWarp(4)(*torch.zeros(2, 1, 3, 4, 5), torch.zeros(1, 2, 4, 5))
