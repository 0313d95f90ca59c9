"""Every kernel against plain PyTorch and the equations: compiled loops, and Triton's, interpreted or on a GPU."""

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from netwarp.errors import InputError
from netwarp.ops import reference, warp, warp_combine
from netwarp.ops.kernels import WARP_COMBINE, memory_format
from ops.slow import SHARES, slow_combine
from ops.test_warp_combine import FORMATS, arguments, off_the_grid

NAMES = ("current", "previous", "flow", "w1", "w2", "gate")
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class Recorder:
    def __init__(self):
        self.combined = []
        self.pulled = []

    def combine(self, operands, interpolation):
        self.combined.append((*operands, interpolation))
        return operands[1] + 1

    def gradients(self, grad, sources, needed, interpolation):
        self.pulled.append((needed, interpolation))
        return [torch.full_like(source, 7) for source, wanted in zip(sources, needed, strict=True) if wanted]


def test_what_is_listed_is_used_with_checked_arguments_forward_and_backward(monkeypatch):
    kernel = Recorder()
    monkeypatch.setitem(WARP_COMBINE, "cpu", kernel)
    args = arguments()
    args[3].requires_grad_()
    combined = warp_combine(*args, interpolation="bicubic")
    assert torch.equal(combined, args[1] + 1)
    *handed, interpolation = kernel.combined[0]
    assert all(torch.equal(got, given) for got, given in zip(handed, args, strict=True))
    combined.sum().backward()
    assert kernel.pulled == [([False, False, False, True, False, False], "bicubic")]
    assert interpolation == "bicubic"
    assert torch.equal(args[3].grad, torch.full_like(args[3], 7))

    features = args[1].clone().requires_grad_()
    warp(features, args[2]).sum().backward()
    assert kernel.combined[1][0] is None
    assert kernel.combined[1][3:] == (None, None, None, "bilinear")
    assert torch.equal(features.grad, torch.full_like(features, 7))

    args[2] = args[2][..., 1:]
    with pytest.raises(InputError):
        warp_combine(*args)
    assert len(kernel.combined) == 2


def test_a_device_that_is_not_listed_gets_plain_pytorch(monkeypatch):
    args = arguments()
    monkeypatch.setitem(WARP_COMBINE, "cuda", Recorder())
    monkeypatch.delitem(WARP_COMBINE, "cpu")
    assert torch.equal(warp_combine(*args), reference.combine(args))
    assert torch.equal(warp(args[1], args[2]), reference.combine((None, args[1], args[2], None, None, None)))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
def test_the_references_gradients_are_those_of_autograd(layout, interpolation, gated):
    sources = [None if a is None else a.double() for a in arguments(2, 4, 5, 6, gate=gated, layout=layout)]
    sources[2] = off_the_grid(sources[2])
    leaves = [a.requires_grad_() for a in sources if a is not None]
    result = reference.combine(sources, interpolation)
    grad = torch.randn_like(result)
    expected = torch.autograd.grad(result, leaves, grad)
    needed = [a is not None for a in sources]
    with torch.no_grad():
        found = reference.gradients(grad, sources, needed, interpolation)
    for name, ours, theirs in zip(NAMES, found, expected, strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
    assert found[0].is_contiguous(memory_format=FORMATS[layout])


@pytest.mark.parametrize("layout", FORMATS)
def test_all_the_references_gradients_take_five_representations_of_memory_at_a_time(layout):
    """Two of which are results."""
    sources = arguments(1, 512, 8, 8, layout=layout)
    grad = torch.randn_like(sources[0])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        found = reference.gradients(grad, sources, [True] * 6)
    held, most = 0, 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert len(found) == 6
    assert 2 < most / grad.nbytes < 5.5


KERNELS = ["numba", "interpreted", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request):
    if request.param == "interpreted":
        pytest.importorskip("triton")
        from ops.cuda.interpreter import Interpreted

        return Interpreted()
    return WARP_COMBINE["cpu" if request.param == "numba" else "cuda"]


@pytest.fixture(scope="module")
def device(kernel):
    return "cuda" if kernel is WARP_COMBINE["cuda"] else "cpu"


def on(device, tensors):
    return [None if tensor is None else tensor.to(device) for tensor in tensors]


def close(dtype):
    # Differences of neighbours are summed up: on the way there they may cancel out.
    return {"rtol": 1e-2, "atol": 1e-2} if dtype.itemsize == 2 else {"rtol": 2e-5, "atol": 2e-5}


def compare(ours, theirs, dtype):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **close(dtype))
        assert one.is_contiguous() == other.is_contiguous()
        assert memory_format(one) == memory_format(other)


def results(kernel, sources, grad, needed, *how):
    return [kernel.combine(sources, *how), *kernel.gradients(grad, sources, needed, *how)]


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("layout", FORMATS)
def test_equals_equations_1_to_3(kernel, device, layout, gated, interpolation):
    args = arguments(2, 3, 3, 4, gate=gated, layout=layout)
    combined = kernel.combine(on(device, args), interpolation)
    torch.testing.assert_close(combined.cpu().double(), slow_combine(*args, interpolation), rtol=1e-5, atol=1e-5)


def equals_the_reference(kernel, device, data, sizes):
    """Sizes, formats, dtypes, lengths of the flow and gradients asked for, as they are drawn."""
    layouts = data.draw(st.tuples(*[st.sampled_from(list(FORMATS))] * 4))
    dtype, others = (
        data.draw(st.sampled_from(FLOATS)),
        data.draw(st.sampled_from([f for f in FLOATS if f != torch.float16])),
    )
    size, interpolation = data.draw(sizes), data.draw(st.sampled_from(list(SHARES)))
    sources = on(device, arguments(*size, seed=data.draw(st.integers(0, 999)), gate=data.draw(st.booleans())))
    sources[:2] = [z.to(dtype).contiguous(memory_format=FORMATS[f]) for z, f in zip(sources[:2], layouts, strict=False)]
    flow = data.draw(st.sampled_from([0.0, 0.3, 1.0, 3.0, 1e9])) * sources[2]
    sources[2] = flow.to(torch.float32 if others == torch.bfloat16 else others, memory_format=FORMATS[layouts[2]])
    sources[3:] = [None if source is None else source.to(others) for source in sources[3:]]
    grad = torch.randn(size).to(sources[0]).contiguous(memory_format=FORMATS[layouts[3]])
    wanted = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    needed = [asked and source is not None for asked, source in zip(wanted, sources, strict=True)]
    ours = results(kernel, sources, grad, needed, interpolation)
    assert len(ours) == 1 + sum(needed)
    compare(ours, results(reference, sources, grad, needed, interpolation), dtype)


@given(st.data())
def test_loops_equal_the_reference_at_many_sizes(data):
    equals_the_reference(WARP_COMBINE["cpu"], "cpu", data, st.tuples(*map(st.integers, (1,) * 4, (2, 17, 7, 9))))


@pytest.mark.parametrize("kernel", KERNELS[1:], indirect=True)
@given(st.data())
# No shrinking: the interpreter takes its time.
@settings(max_examples=20, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_kernels_of_a_gpu_equal_the_reference(kernel, device, data):
    sizes = ((1, 1, 1, 1), (2, 3, 1, 5), (1, 2, 6, 1), (1, 17, 2, 3), (2, 5, 3, 4))
    equals_the_reference(kernel, device, data, st.sampled_from(sizes))


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
def test_in_float64_nothing_but_the_order_of_sums_is_left_to_differ(kernel, device, layout, interpolation):
    sources = [source.double() for source in on(device, arguments(1, 3, 3, 4, layout=layout))]
    grad = torch.randn_like(sources[0])
    ours, theirs = (results(each, sources, grad, [True] * 6, interpolation) for each in (kernel, reference))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", FORMATS)
def test_each_gradient_alone_and_none(kernel, device, layout):
    sources = on(device, arguments(1, 3, 2, 4, layout=layout))
    grad = torch.randn_like(sources[0])
    every = reference.gradients(grad, sources, [True] * 6)
    for place, expected in enumerate(every):
        alone = kernel.gradients(grad, sources, [place == other for other in range(6)])
        compare(alone, [expected], torch.float32)
    assert kernel.gradients(grad, sources, [False] * 6) == []


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
def test_warps_alone(kernel, device, layout, interpolation):
    _, previous, flow, *_ = on(device, arguments(2, 5, 3, 4, layout=layout))
    alone, needed = (None, previous, flow, None, None, None), [False, True, True, False, False, False]
    grad = torch.randn_like(previous)
    ours, theirs = (results(each, alone, grad, needed, interpolation) for each in (kernel, reference))
    compare(ours, theirs, torch.float32)


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
def test_flow_of_nan_stays_where_it_is(kernel, device, layout, interpolation):
    sources = on(device, arguments(2, 3, 3, 4, layout=layout))
    sources[5] = torch.ones_like(sources[5])
    grad, needed = torch.randn_like(sources[0]), [True, False, True, False, False, True]
    clean = results(kernel, sources, grad, needed, interpolation)
    sources[2][1, 0, 2, 3] = float("nan")
    spoilt = results(kernel, sources, grad, needed, interpolation)
    assert spoilt[0][1, :, 2, 3].isnan().all()
    assert spoilt[2][1, 0, 2, 3] == 0  # nowhere, as good as outside
    assert spoilt[2][1, 1, 2, 3].isnan()
    for one, other in zip(spoilt, clean, strict=True):
        one[1, :, 2, 3] = other[1, :, 2, 3]
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flow_of_nan_pulls_on_the_map_and_not_on_what_lies_beside_it(kernel, device, dtype):
    sources = on(device, arguments(1, 2, 3, 4, gate=False, dtype=dtype))
    sources[2][:] = float("nan")
    (pulled,) = kernel.gradients(torch.ones_like(sources[0]), sources, [False, True, False, False, False, False])
    assert pulled[..., :2, :2].isnan().all()
    assert not pulled[..., 2:, :].any()
    assert not pulled[..., 2:].any()


@pytest.mark.parametrize("interpolation", SHARES)
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_must_be_exact(kernel, device, layout, dtype, interpolation):
    """An integer flow is a shift, fresh weights pass the current frame on, and so does a gate at either end."""
    current, previous, flow, _, _, gate = on(device, arguments(1, 4, 3, 5, dtype=dtype, layout=layout))
    ones, zeros, none = torch.ones(4, device=device), torch.zeros(4, device=device), torch.zeros_like(gate)
    assert torch.equal(kernel.combine((current, previous, flow, ones, zeros, gate), interpolation), current)
    assert torch.equal(kernel.combine((current, previous, flow, zeros, ones, none), interpolation), current)
    shift = torch.tensor([-2.0, 1.0], device=device).view(1, 2, 1, 1).expand(1, 2, 3, 5)
    rows, columns = (torch.arange(3) + 1).clamp(0, 2), (torch.arange(5) - 2).clamp(0, 4)
    shifted = previous[:, :, rows.to(device)][..., columns.to(device)]
    assert torch.equal(kernel.combine((None, previous, shift, None, None, None), interpolation), shifted)
    assert torch.equal(kernel.combine((current, previous, shift, zeros, ones, 1 - none), interpolation), shifted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded_once(kernel, device, dtype):
    current, previous, *rest = on(device, arguments(1, 3, 3, 5, dtype=dtype))
    exact = kernel.combine((current.float(), previous.float(), *rest)).to(dtype)
    # On a GPU the two are compiled apart, and may be rounded apart.
    near = 0 if device == "cpu" else torch.finfo(dtype).eps
    torch.testing.assert_close(kernel.combine((current, previous, *rest)), exact, rtol=near, atol=0)


def test_tensors_that_are_views_or_share_memory(kernel, device):
    store = torch.randn(1, 6, 10, 8, device=device)
    features = store.permute(0, 3, 1, 2)[:, ::2, ::2, 1::2]
    flow = (3 * torch.randn(5, 3, 2, device=device)).permute(2, 1, 0).unsqueeze(0)
    gate = torch.rand(1, 1, 1, 5, device=device).expand(1, 1, 3, 5)
    weights = torch.randn(4, 2, device=device)[:, 0]
    sources, grad = (features, features, flow, weights, weights, gate), torch.ones((), device=device).expand(1, 4, 3, 5)
    ours, theirs = (results(each, sources, grad, [True] * 6) for each in (kernel, reference))
    compare(ours, theirs, torch.float32)


def test_behind_the_operators_autograd_finds_its_way(kernel, device, monkeypatch):
    monkeypatch.setitem(WARP_COMBINE, device, kernel)
    args = on(device, arguments(1, 2, 3, 4))
    args[2] = off_the_grid(args[2].cpu()).to(device)
    leaves = [tensor.requires_grad_() for tensor in args]
    ours, theirs = warp_combine(*leaves), reference.combine(leaves)
    torch.testing.assert_close(ours, theirs)
    expected = torch.autograd.grad(theirs.square().sum(), leaves)
    for one, other in zip(torch.autograd.grad(ours.square().sum(), leaves), expected, strict=True):
        torch.testing.assert_close(one, other, **close(torch.float32))
    assert memory_format(warp(leaves[1], leaves[2])) == torch.contiguous_format


@pytest.mark.parametrize("layout", FORMATS)
def test_infinity_in_the_current_representation_does_not_leak_into_a_warp(layout):
    """0 · ∞ is NaN: the warp alone is not the sum with weights 0 and 1."""
    previous = torch.randn(1, 3, 4, 5).contiguous(memory_format=FORMATS[layout])
    previous[0, :, 0, 0] = float("inf")
    assert torch.equal(warp(previous, torch.zeros(1, 2, 4, 5)).isfinite(), previous.isfinite())
