"""The place where kernels plug in, and every kernel of this machine against plain PyTorch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.ops import reference, warp, warp_combine
from netwarp.ops.kernels import WARP_COMBINE, memory_format
from ops.test_warp_combine import FORMATS, arguments

NAMES = ("current", "previous", "flow", "w1", "w2", "gate")


class Recorder:
    def __init__(self):
        self.combined = []
        self.pulled = []

    def combine(self, *arguments):
        self.combined.append(arguments)
        return arguments[1] + 1

    def gradients(self, grad, *arguments):
        *sources, needed = arguments
        self.pulled.append(needed)
        return [torch.full_like(source, 7) for source, wanted in zip(sources, needed, strict=True) if wanted]


def test_what_is_listed_is_used_with_checked_arguments_forward_and_backward(monkeypatch):
    kernel = Recorder()
    monkeypatch.setitem(WARP_COMBINE, "cpu", kernel)
    args = arguments()
    args[3].requires_grad_()
    combined = warp_combine(*args)
    assert torch.equal(combined, args[1] + 1)
    assert all(torch.equal(got, given) for got, given in zip(kernel.combined[0], args, strict=True))
    combined.sum().backward()
    assert kernel.pulled == [[False, False, False, True, False, False]]
    assert torch.equal(args[3].grad, torch.full_like(args[3], 7))

    features = args[1].clone().requires_grad_()
    warp(features, args[2]).sum().backward()
    assert kernel.combined[1][0] is None
    assert kernel.combined[1][3:] == (None, None, None)
    assert torch.equal(features.grad, torch.full_like(features, 7))

    args[2] = args[2][..., 1:]
    with pytest.raises(InputError):
        warp_combine(*args)
    assert len(kernel.combined) == 2


def test_a_device_that_is_not_listed_gets_plain_pytorch(monkeypatch):
    args = arguments()
    monkeypatch.setitem(WARP_COMBINE, "cuda", Recorder())
    monkeypatch.delitem(WARP_COMBINE, "cpu")
    assert torch.equal(warp_combine(*args), reference.combine(*args))
    assert torch.equal(warp(args[1], args[2]), reference.combine(None, args[1], args[2], None, None, None))


def off_the_grid(flow):
    """Away from whole pixels, where the derivative jumps, and in part outside the map."""
    return flow.floor() + 0.1 + 0.8 * torch.rand(flow.shape, generator=torch.Generator().manual_seed(0)).to(flow.dtype)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("layout", FORMATS)
def test_the_references_gradients_are_those_of_autograd(layout, gated):
    sources = [None if a is None else a.double() for a in arguments(2, 4, 5, 6, gate=gated)]
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    sources[2] = off_the_grid(sources[2])
    leaves = [a.requires_grad_() for a in sources if a is not None]
    result = reference.combine(*sources)
    grad = torch.randn_like(result)
    expected = torch.autograd.grad(result, leaves, grad)
    needed = [a is not None for a in sources]
    with torch.no_grad():
        found = reference.gradients(grad, *sources, needed)
    for name, ours, theirs in zip(NAMES, found, expected, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
    assert found[0].is_contiguous(memory_format=FORMATS[layout])


def kernels():
    return sorted(kind for kind in WARP_COMBINE if kind == "cpu" or torch.cuda.is_available())


SIZES = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 7), st.integers(1, 9))
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@pytest.mark.parametrize("device", kernels())
@given(
    size=SIZES,
    layouts=st.tuples(*[st.sampled_from(list(FORMATS))] * 3),
    gated=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    flow_dtype=st.sampled_from(DTYPES[:2]),
    reach=st.sampled_from([0.0, 0.3, 3.0, 1e9]),
    needed=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 999),
)
def test_a_kernel_equals_the_reference(device, size, layouts, gated, dtype, flow_dtype, reach, needed, seed):
    sources = [None if a is None else a.to(device) for a in arguments(*size, seed=seed, gate=gated)]
    sources[:2] = [z.to(dtype).contiguous(memory_format=FORMATS[f]) for z, f in zip(sources[:2], layouts, strict=False)]
    sources[2] = (reach * sources[2]).to(flow_dtype)
    kernel = WARP_COMBINE[device]
    # Differences of neighbours are summed up: on the way there they may cancel out.
    close = {"rtol": 1e-2, "atol": 1e-2} if dtype == torch.bfloat16 else {"rtol": 2e-5, "atol": 2e-5}
    ours, theirs = kernel.combine(*sources), reference.combine(*sources)
    torch.testing.assert_close(ours, theirs, **close)
    assert memory_format(ours) == memory_format(theirs)
    grad = torch.randn(theirs.shape).to(theirs).contiguous(memory_format=FORMATS[layouts[2]])
    needed = [wanted and source is not None for wanted, source in zip(needed, sources, strict=True)]
    pulled = kernel.gradients(grad, *sources, needed)
    expected = reference.gradients(grad, *sources, needed)
    assert len(pulled) == sum(needed)
    for one, other in zip(pulled, expected, strict=True):
        torch.testing.assert_close(one, other, **close)
        assert one.is_contiguous() == other.is_contiguous()


@pytest.mark.parametrize("device", kernels())
@pytest.mark.parametrize("layout", FORMATS)
def test_a_kernel_warps_alone(device, layout):
    _, previous, flow, *_ = arguments(2, 5, 6, 7)
    alone = (None, previous.to(device, memory_format=FORMATS[layout]), flow.to(device), None, None, None)
    kernel = WARP_COMBINE[device]
    torch.testing.assert_close(kernel.combine(*alone), reference.combine(*alone), rtol=1e-6, atol=1e-6)
    grad = torch.randn_like(alone[1])
    needed = [False, True, True, False, False, False]
    for ours, theirs in zip(
        kernel.gradients(grad, *alone, needed), reference.gradients(grad, *alone, needed), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", kernels())
@pytest.mark.parametrize("layout", FORMATS)
def test_flow_of_nan_stays_where_it_is(device, layout):
    sources = [a.to(device) for a in arguments(2, 5, 6, 7)]
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    kernel = WARP_COMBINE[device]
    sources[5] = torch.ones_like(sources[5])
    grad = torch.randn_like(sources[0])
    clean, needed = kernel.combine(*sources), [True, False, True, False, False, True]
    pulled = kernel.gradients(grad, *sources, needed)
    sources[2][1, 0, 2, 3] = float("nan")
    spoilt, also = kernel.combine(*sources), kernel.gradients(grad, *sources, needed)
    assert spoilt[1, :, 2, 3].isnan().all()
    assert also[1][1, 1, 2, 3].isnan()
    for one, other in zip([spoilt, *also], [clean, *pulled], strict=True):
        one[1, :, 2, 3] = other[1, :, 2, 3]
        assert torch.equal(one, other)


@pytest.mark.parametrize("layout", FORMATS)
def test_infinity_in_the_current_representation_does_not_leak_into_a_warp(layout):
    """0 · ∞ is NaN: the warp alone is not the sum with weights 0 and 1."""
    previous = torch.randn(1, 3, 4, 5).contiguous(memory_format=FORMATS[layout])
    previous[0, :, 0, 0] = float("inf")
    warped = warp(previous, torch.zeros(1, 2, 4, 5))
    assert torch.equal(warped.isfinite(), previous.isfinite() & ~torch.zeros_like(warped, dtype=torch.bool))
