"""Equation 3 and its gate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.ops import warp, warp_combine
from ops.slow import slow_warp

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def arguments(batch=2, channels=4, h=5, w=7, *, seed=0, gate=True, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    z = [torch.randn(batch, channels, h, w, generator=g).to(dtype) for _ in range(2)]
    flow = 3 * torch.randn(batch, 2, h, w, generator=g)
    weights = [torch.randn(channels, generator=g) for _ in range(2)]
    return [*z, flow, *weights, torch.rand(batch, 1, h, w, generator=g) if gate else None]


def slow_combine(current, previous, flow, w1, w2, gate):
    warped, present = slow_warp(previous, flow), current.double()
    result = torch.empty_like(present)
    for b in range(present.shape[0]):
        for c in range(present.shape[1]):
            trust = 1.0 if gate is None else gate[b, 0].double()
            brought = trust * warped[b, c] + (1 - trust) * present[b, c]
            result[b, c] = float(w1[c]) * present[b, c] + float(w2[c]) * brought
    return result


@given(st.integers(1, 2), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(0, 999))
def test_equals_equations_1_to_3(batch, channels, h, w, gate, seed):
    args = arguments(batch, channels, h, w, seed=seed, gate=gate)
    torch.testing.assert_close(warp_combine(*args).double(), slow_combine(*args), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_fresh_weights_pass_the_current_representation_on_bitwise(dtype):
    current, previous, flow, _, _, gate = arguments(dtype=dtype)
    combined = warp_combine(current, previous, flow, torch.ones(4), torch.zeros(4), gate)
    assert torch.equal(combined, current)
    assert combined.dtype == dtype


def test_only_the_past():
    current, previous, flow, *_ = arguments()
    assert torch.equal(warp_combine(current, previous, flow, torch.zeros(4), torch.ones(4)), warp(previous, flow))


def test_a_gate_of_one_is_the_papers_equation_and_of_zero_the_current_frame():
    current, previous, flow, w1, w2, gate = arguments()
    plain = warp_combine(current, previous, flow, w1, w2)
    opened = warp_combine(current, previous, flow, w1, w2, torch.ones_like(gate))
    torch.testing.assert_close(opened, plain)
    closed = warp_combine(current, previous, flow, w1, w2, torch.zeros_like(gate))
    torch.testing.assert_close(closed, (w1 + w2).view(1, -1, 1, 1) * current)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded_once(dtype):
    current, previous, flow, w1, w2, gate = arguments(dtype=dtype)
    combined = warp_combine(current, previous, flow, w1, w2, gate)
    assert torch.equal(combined, warp_combine(current.float(), previous.float(), flow, w1, w2, gate).to(dtype))


@pytest.mark.parametrize("layout", FORMATS)
def test_keeps_the_memory_format_of_the_current_representation(layout):
    current, previous, *rest = arguments()
    plain = warp_combine(current, previous, *rest)
    combined = warp_combine(current.contiguous(memory_format=FORMATS[layout]), previous, *rest)
    assert combined.is_contiguous(memory_format=FORMATS[layout])
    assert torch.equal(combined, plain)
    other = warp_combine(current, previous.contiguous(memory_format=FORMATS[layout]), *rest)
    assert other.is_contiguous()
    assert torch.equal(other, plain)


@pytest.mark.parametrize("gated", [False, True])
def test_gradients_equal_finite_differences(gated):
    args = [None if a is None else a.double() for a in arguments(2, 3, 4, 3, gate=gated)]
    args[2] = args[2].floor() + 0.1 + 0.8 * torch.rand(args[2].shape, dtype=torch.float64)
    args = [a if a is None else a.requires_grad_() for a in args]
    assert torch.autograd.gradcheck(warp_combine, tuple(args))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({0: torch.zeros(2, 4, 5, 6)}, "differ in shape"),
        ({0: torch.zeros(2, 3, 5, 7)}, "differ in shape"),
        ({0: torch.zeros(2, 4, 5, 7, dtype=torch.int64)}, "floating point"),
        ({1: torch.zeros(2, 4, 5, 7, dtype=torch.int64)}, "floating point"),
        ({1: torch.zeros(2, 4, 5, 7, dtype=torch.float64)}, "dtype"),
        ({2: torch.zeros(2, 2, 5, 6)}, "does not fit"),
        ({0: None}, "current must be a torch tensor"),
        ({3: 1.0}, "w1 must be a torch tensor"),
        ({5: 1.0}, "gate must be a torch tensor"),
        ({3: torch.zeros(3)}, "w1"),
        ({4: torch.zeros(1, 4, 1, 1)}, "w2"),
        ({5: torch.zeros(2, 4, 5, 7)}, "gate"),
        ({5: torch.zeros(2, 1, 10, 14)}, "gate"),
    ],
)
def test_arguments_that_do_not_fit(change, says):
    args = arguments()
    for index, tensor in change.items():
        args[index] = tensor
    with pytest.raises(InputError, match=says) as caught:
        warp_combine(*args)
    assert "\n" not in str(caught.value)
