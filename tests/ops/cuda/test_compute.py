"""How a GPU's kernels divide and order their work: in Triton's interpreter, and on a GPU where there is one."""

import itertools

import pytest
import torch

from netwarp.ops import reference
from ops.cuda.interpreter import Interpreted
from ops.slow import SHARES
from ops.test_kernels import compare, on, results
from ops.test_warp_combine import FORMATS, arguments

SMALL = {"tile_h": 2, "tile_w": 4, "tile_c": 2, "warps": 4, "together": 2}


@pytest.fixture(scope="module", params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


@pytest.fixture(scope="module")
def kernel(device):
    """On a CPU the interpreted one."""
    if device == "cuda":
        from netwarp.ops.cuda import compute

        return compute
    return Interpreted()


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


@pytest.mark.parametrize(
    ("layout", "dtype", "gated", "batch"),
    [("contiguous", torch.bfloat16, False, 1), ("channels-last", torch.float32, True, 2)],
)
@pytest.mark.usefixtures("small_blocks")
def test_tiles_and_blocks_fit_together(kernel, device, layout, gated, dtype, batch):
    """Five channels are three blocks, and two go together: one is left over."""
    sources = on(device, arguments(batch, 5, 3, 5, gate=gated, dtype=dtype, layout=layout))
    grad, needed = torch.randn_like(sources[0]), [source is not None for source in sources]
    for how in SHARES:
        ours, theirs = (results(each, sources, grad, needed, how) for each in (kernel, reference))
        compare(ours, theirs, dtype)


@pytest.mark.parametrize(("layout", "dtype"), [*zip(FORMATS, (torch.float32, torch.bfloat16), strict=True)])
@pytest.mark.usefixtures("deterministic")
def test_in_a_fixed_order_gradients_are_the_same_bitwise(kernel, device, layout, dtype):
    """Many pixels give to few: the flow leaves the map."""
    sources = on(device, arguments(2, 3, 3, 5, dtype=dtype, layout=layout))
    sources[2] *= 3
    grad, needed = torch.randn_like(sources[0]), [True] * 6
    once, again = (kernel.gradients(grad, sources, needed) for _ in range(2))
    compare(once, reference.gradients(grad, sources, needed), dtype)
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
    kernel.gradients(grad, (None, grad, flow.to(device), None, None, None), [False, True] + [False] * 4)
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
    sources = on(device, arguments(1, 3, 3, 4, layout=layout))
    grad, needed = torch.randn_like(sources[0]), [True] * 6
    narrow = results(kernel, sources, grad, needed)
    monkeypatch.setitem(modules.Maps.constants.__globals__, "needs_wide_offsets", lambda *_: True)
    wide = results(kernel, sources, grad, needed)
    assert all(torch.equal(one, other) for one, other in zip(narrow, wide, strict=True))
