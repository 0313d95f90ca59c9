"""Equation 3 and its gate."""

import pytest
import torch

from netwarp.errors import InputError
from netwarp.ops import warp_combine
from ops.slow import SHARES

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def arguments(batch=2, channels=4, h=5, w=7, *, seed=0, gate=True, dtype=torch.float32, layout="contiguous"):
    g = torch.Generator().manual_seed(seed)
    z = [torch.randn(batch, channels, h, w, generator=g).to(dtype) for _ in range(2)]
    flow = 3 * torch.randn(batch, 2, h, w, generator=g)
    weights = [torch.randn(channels, generator=g) for _ in range(2)]
    trust = torch.rand(batch, 1, h, w, generator=g) if gate else None
    return [*(each.contiguous(memory_format=FORMATS[layout]) for each in z), flow, *weights, trust]


def off_the_grid(flow):
    """Away from whole pixels, where the derivative jumps, and in part outside the map."""
    return flow.floor() + 0.1 + 0.8 * torch.rand(flow.shape, generator=torch.Generator().manual_seed(0)).to(flow.dtype)


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("gated", [False, True])
def test_gradients_equal_finite_differences(gated, layout, interpolation):
    args = [None if a is None else a.double() for a in arguments(2, 3, 4, 3, gate=gated, layout=layout)]
    args[2] = off_the_grid(args[2])
    args = tuple(a if a is None else a.requires_grad_() for a in args)
    assert torch.autograd.gradcheck(lambda *given: warp_combine(*given, interpolation=interpolation), args)


@pytest.mark.parametrize(
    ("index", "wrong", "says"),
    [
        (0, torch.zeros(2, 4, 5, 6), "differ in shape"),
        (0, torch.zeros(2, 3, 5, 7), "differ in shape"),
        (0, torch.zeros(2, 4, 5, 7, dtype=torch.int64), "floating point"),
        (1, torch.zeros(2, 4, 5, 7, dtype=torch.int64), "floating point"),
        (1, torch.zeros(2, 4, 5, 7, dtype=torch.float64), "dtype"),
        (2, torch.zeros(2, 2, 5, 6), "does not fit"),
        (0, None, "current"),
        (3, 1.0, "w1"),
        (5, 1.0, "gate"),
        (3, torch.zeros(3), "w1"),
        (4, torch.zeros(1, 4, 1, 1), "w2"),
        (5, torch.zeros(2, 4, 5, 7), "gate"),
        (5, torch.zeros(2, 1, 10, 14), "gate"),
    ],
)
def test_arguments_that_do_not_fit(index, wrong, says):
    args = arguments()
    args[index] = wrong
    with pytest.raises(InputError, match=says) as caught:
        warp_combine(*args)
    assert "\n" not in str(caught.value)
