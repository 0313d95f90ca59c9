"""A GPU's kernels against plain PyTorch and the equations: in Triton's interpreter, and on a GPU where there is one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netwarp.ops import reference, warp, warp_combine
from netwarp.ops.kernels import WARP_COMBINE, memory_format
from ops.cuda.interpreter import Interpreted
from ops.test_kernels import off_the_grid
from ops.test_warp_combine import FORMATS, arguments, slow_combine

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SMALL = {"tile_h": 2, "tile_w": 4, "tile_c": 2, "warps": 4, "together": 2}


@pytest.fixture(scope="module", params=DEVICES)
def kernel(request):
    """On a CPU the interpreted one."""
    if request.param == "cuda":
        from netwarp.ops.cuda import compute

        return compute
    return Interpreted()


@pytest.fixture(scope="module")
def device(kernel):
    return "cpu" if isinstance(kernel, Interpreted) else "cuda"


@pytest.fixture
def modules(kernel):
    """The modules behind a kernel, which for the interpreter are copies."""
    return kernel.compute if isinstance(kernel, Interpreted) else kernel


@pytest.fixture
def small_blocks(modules, monkeypatch):
    """Many programs, each with several tiles where it takes several, even on the smallest map."""

    def divide(*_):
        return modules.blocks.Blocks(**SMALL)

    monkeypatch.setattr(modules.blocks, "for_forward", divide)
    monkeypatch.setattr(modules.blocks, "for_backward", divide)
    monkeypatch.setattr(modules.blocks, "FILLED", 16)


@pytest.fixture
def deterministic(monkeypatch):
    """As ``torch.use_deterministic_algorithms``, which imports PyTorch's compiler."""
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)


def on(device, tensors):
    return [None if tensor is None else tensor.to(device) for tensor in tensors]


def close(dtype):
    return {"rtol": 1e-2, "atol": 1e-2} if dtype.itemsize == 2 else {"rtol": 2e-5, "atol": 2e-5}


def compare(ours, theirs, dtype):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **close(dtype))
        assert one.is_contiguous() == other.is_contiguous()
        assert memory_format(one) == memory_format(other)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("layout", FORMATS)
def test_equals_equations_1_to_3(kernel, device, layout, gated):
    args = arguments(2, 3, 3, 4, gate=gated)
    args[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in args[:2]]
    combined = kernel.combine(*on(device, args))
    torch.testing.assert_close(combined.cpu().double(), slow_combine(*args), rtol=1e-5, atol=1e-5)


SIZES = ((1, 1, 1, 1), (2, 3, 1, 5), (1, 2, 6, 1), (1, 17, 2, 3), (2, 5, 3, 4))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@given(
    size=st.sampled_from(SIZES),
    layouts=st.tuples(*[st.sampled_from(list(FORMATS))] * 4),
    gated=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    others=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    reach=st.sampled_from([0.0, 0.3, 1.0, 1e9]),
    needed=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 999),
)
# No shrinking: the interpreter takes its time.
@settings(max_examples=20, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_equals_the_reference(kernel, device, size, layouts, gated, dtype, others, reach, needed, seed):
    sources = on(device, arguments(*size, seed=seed, gate=gated))
    sources[:2] = [z.to(dtype).contiguous(memory_format=FORMATS[f]) for z, f in zip(sources[:2], layouts, strict=False)]
    sources[2] = (reach * sources[2]).to(torch.float32 if others == torch.bfloat16 else others)
    sources[2] = sources[2].contiguous(memory_format=FORMATS[layouts[2]])
    sources[3:] = [None if source is None else source.to(others) for source in sources[3:]]
    compare([kernel.combine(*sources)], [reference.combine(*sources)], dtype)
    grad = torch.randn(size).to(sources[0]).contiguous(memory_format=FORMATS[layouts[3]])
    needed = [wanted and source is not None for wanted, source in zip(needed, sources, strict=True)]
    compare(kernel.gradients(grad, *sources, needed), reference.gradients(grad, *sources, needed), dtype)


@pytest.mark.parametrize(("dtype", "gated", "batch"), [(torch.float32, True, 2), (torch.bfloat16, False, 1)])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.usefixtures("small_blocks")
def test_tiles_and_blocks_fit_together(kernel, device, layout, gated, dtype, batch):
    """Five channels are three blocks, and two go together: one is left over."""
    sources = on(device, arguments(batch, 5, 3, 5, gate=gated))
    sources[:2] = [z.to(dtype).contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    compare([kernel.combine(*sources)], [reference.combine(*sources)], dtype)
    grad, needed = torch.randn_like(sources[0]), [source is not None for source in sources]
    compare(kernel.gradients(grad, *sources, needed), reference.gradients(grad, *sources, needed), dtype)


@pytest.mark.parametrize("layout", FORMATS)
def test_in_float64_nothing_but_the_order_of_sums_is_left_to_differ(kernel, device, layout):
    sources = [source.double() for source in on(device, arguments(1, 3, 3, 4))]
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    grad = torch.randn_like(sources[0])
    ours = [kernel.combine(*sources), *kernel.gradients(grad, *sources, [True] * 6)]
    theirs = [reference.combine(*sources), *reference.gradients(grad, *sources, [True] * 6)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", FORMATS)
def test_each_gradient_alone_and_none(kernel, device, layout):
    sources = on(device, arguments(1, 3, 2, 4))
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    grad = torch.randn_like(sources[0])
    every = reference.gradients(grad, *sources, [True] * 6)
    for place, expected in enumerate(every):
        alone = kernel.gradients(grad, *sources, [place == other for other in range(6)])
        compare(alone, [expected], torch.float32)
    assert kernel.gradients(grad, *sources, [False] * 6) == []


@pytest.mark.parametrize("layout", FORMATS)
def test_warps_alone(kernel, device, layout):
    _, previous, flow, *_ = arguments(2, 5, 3, 4)
    previous = previous.contiguous(memory_format=FORMATS[layout])
    alone = (None, *on(device, (previous, flow)), None, None, None)
    compare([kernel.combine(*alone)], [reference.combine(*alone)], torch.float32)
    grad, needed = torch.randn_like(alone[1]), [False, True, True, False, False, False]
    compare(kernel.gradients(grad, *alone, needed), reference.gradients(grad, *alone, needed), torch.float32)


@pytest.mark.parametrize(("layout", "dtype"), [*zip(FORMATS, (torch.float32, torch.bfloat16), strict=True)])
@pytest.mark.usefixtures("deterministic")
def test_in_a_fixed_order_gradients_are_the_same_bitwise(kernel, device, layout, dtype):
    """Many pixels give to few: the flow leaves the map."""
    sources = on(device, arguments(2, 3, 3, 5))
    sources[:2] = [z.to(dtype).contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    sources[2] *= 3
    grad, needed = torch.randn_like(sources[0]), [True] * 6
    once, again = (kernel.gradients(grad, *sources, needed) for _ in range(2))
    compare(once, reference.gradients(grad, *sources, needed), dtype)
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


def lists(heads, nexts):
    found = {}
    for cell, pixel in enumerate(heads.tolist()):
        found[cell] = []
        while pixel >= 0:
            found[cell].append(pixel)
            pixel = nexts[pixel].item()
    return found


@pytest.mark.parametrize("in_order", [False, True])
def test_lists_hold_the_pixels_of_a_cell(kernel, device, modules, monkeypatch, in_order):
    """And in order where that is asked for."""
    batch, h, w = 2, 4, 5
    flow = 3 * torch.randn(batch, 2, h, w)
    seen = []
    launch = modules.launch

    def noting(kernel, programs, warps, *given, **constants):
        launch(kernel, programs, warps, *given, **constants)
        seen.append(dict(zip(kernel.arg_names, given, strict=False)))

    monkeypatch.setattr(modules, "launch", noting)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: in_order)
    grad = torch.randn(batch, 1, h, w, device=device).bfloat16()
    kernel.gradients(grad, None, grad, flow.to(device), None, None, None, [False, True, False, False, False, False])
    expected = {cell: [] for cell in range(batch * h * w)}
    for number, (b, y, x) in enumerate(itertools.product(range(batch), range(h), range(w))):
        column = int((x + flow[b, 0, y, x]).clamp(0, w - 1))
        row = int((y + flow[b, 1, y, x]).clamp(0, h - 1))
        expected[(b * h + row) * w + column].append(number)
    found = lists(seen[-1]["heads"], seen[-1]["nexts"])
    assert found == expected if in_order else {cell: sorted(pixels) for cell, pixels in found.items()} == expected


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.usefixtures("deterministic")
def test_offsets_of_64_bits_give_the_same(kernel, device, modules, layout, monkeypatch):
    sources = on(device, arguments(1, 3, 3, 4))
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    grad, needed = torch.randn_like(sources[0]), [True] * 6
    narrow = [kernel.combine(*sources), *kernel.gradients(grad, *sources, needed)]
    monkeypatch.setitem(modules.Maps.constants.__globals__, "needs_wide_offsets", lambda *_: True)
    wide = [kernel.combine(*sources), *kernel.gradients(grad, *sources, needed)]
    assert all(torch.equal(one, other) for one, other in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("layout", FORMATS)
def test_flow_of_nan_stays_where_it_is(kernel, device, layout):
    sources = on(device, arguments(2, 3, 3, 4))
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    sources[5] = torch.ones_like(sources[5])
    grad = torch.randn_like(sources[0])
    needed = [True, False, True, False, False, True]
    clean = [kernel.combine(*sources), *kernel.gradients(grad, *sources, needed)]
    sources[2][1, 0, 2, 3] = float("nan")
    spoilt = [kernel.combine(*sources), *kernel.gradients(grad, *sources, needed)]
    assert spoilt[0][1, :, 2, 3].isnan().all()
    assert spoilt[2][1, 0, 2, 3] == 0  # nowhere, as good as outside
    assert spoilt[2][1, 1, 2, 3].isnan()
    for one, other in zip(spoilt, clean, strict=True):
        one[1, :, 2, 3] = other[1, :, 2, 3]
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flow_of_nan_pulls_on_the_map_and_not_on_what_lies_beside_it(kernel, device, dtype):
    sources = on(device, arguments(1, 2, 3, 4, gate=False))
    sources[:2] = [z.to(dtype) for z in sources[:2]]
    sources[2][:] = float("nan")
    (pulled,) = kernel.gradients(torch.ones_like(sources[0]), *sources, [False, True, False, False, False, False])
    assert pulled[..., :2, :2].isnan().all()
    assert not pulled[..., 2:, :].any()
    assert not pulled[..., 2:].any()


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_must_be_exact(kernel, device, layout, dtype):
    """An integer flow is a shift, fresh weights pass the current frame on, and so does a gate at either end."""
    current, previous, flow, _, _, gate = on(device, arguments(1, 4, 3, 5, dtype=dtype))
    current, previous = (z.contiguous(memory_format=FORMATS[layout]) for z in (current, previous))
    ones, zeros, none = torch.ones(4, device=device), torch.zeros(4, device=device), torch.zeros_like(gate)
    assert torch.equal(kernel.combine(current, previous, flow, ones, zeros, gate), current)
    assert torch.equal(kernel.combine(current, previous, flow, zeros, ones, none), current)
    shift = torch.tensor([-2.0, 1.0], device=device).view(1, 2, 1, 1).expand(1, 2, 3, 5)
    rows, columns = (torch.arange(3) + 1).clamp(0, 2), (torch.arange(5) - 2).clamp(0, 4)
    shifted = previous[:, :, rows.to(device)][..., columns.to(device)]
    assert torch.equal(kernel.combine(None, previous, shift, None, None, None), shifted)
    assert torch.equal(kernel.combine(current, previous, shift, zeros, ones, 1 - none), shifted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded_once(kernel, device, dtype):
    current, previous, *rest = on(device, arguments(1, 3, 3, 5, dtype=dtype))
    combined = kernel.combine(current, previous, *rest)
    exact = kernel.combine(current.float(), previous.float(), *rest)
    # On a GPU the two are compiled apart, and may be rounded apart.
    close = {"rtol": 0, "atol": 0} if device == "cpu" else {"rtol": torch.finfo(dtype).eps, "atol": 0}
    torch.testing.assert_close(combined, exact.to(dtype), **close)


def test_tensors_that_are_views_or_share_memory(kernel, device):
    store = torch.randn(1, 6, 10, 8, device=device)
    features = store.permute(0, 3, 1, 2)[:, ::2, ::2, 1::2]
    flow = (3 * torch.randn(5, 3, 2, device=device)).permute(2, 1, 0).unsqueeze(0)
    gate = torch.rand(1, 1, 1, 5, device=device).expand(1, 1, 3, 5)
    weights = torch.randn(4, 2, device=device)[:, 0]
    sources = (features, features, flow, weights, weights, gate)
    compare([kernel.combine(*sources)], [reference.combine(*sources)], torch.float32)
    grad = torch.ones((), device=device).expand(1, 4, 3, 5)
    compare(
        kernel.gradients(grad, *sources, [True] * 6), reference.gradients(grad, *sources, [True] * 6), torch.float32
    )


def test_behind_the_operators_autograd_finds_its_way(kernel, device, monkeypatch):
    monkeypatch.setitem(WARP_COMBINE, device, kernel)
    args = on(device, arguments(1, 2, 3, 4))
    args[2] = off_the_grid(args[2].cpu()).to(device)
    leaves = [tensor.requires_grad_() for tensor in args]
    ours, theirs = warp_combine(*leaves), reference.combine(*leaves)
    torch.testing.assert_close(ours, theirs)
    expected = torch.autograd.grad(theirs.square().sum(), leaves)
    for one, other in zip(torch.autograd.grad(ours.square().sum(), leaves), expected, strict=True):
        torch.testing.assert_close(one, other, **close(torch.float32))
    assert memory_format(warp(leaves[1], leaves[2])) == torch.contiguous_format
