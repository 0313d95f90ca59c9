"""What is launched: only what is wanted, and machine code as it was meant, from Triton's compiler for a GPU."""

import re
from functools import partial

import pytest
import torch

from netwarp.ops.cuda import compute
from ops.cuda.compiler import Recorder
from ops.test_warp_combine import FORMATS, arguments

SOURCES = ("current", "previous", "flow", "w1", "w2", "gate")


@pytest.fixture
def launches(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(compute, "launch", recorder)
    return recorder


tensors = partial(arguments, 1, 64, 16, 64)


@pytest.mark.parametrize("place", range(6))
def test_what_is_not_wanted_is_neither_computed_nor_allocated(launches, place):
    sources = tensors()
    assert compute.gradients(sources[0], sources, [False] * 6) == launches.launches == []
    compute.gradients(sources[0], sources, [place == other for other in range(6)])
    (pull,) = launches.launches
    made = {name for name in pull.arguments if name.startswith("of_") and pull.arguments[name] is not None}
    assert made == {f"of_{SOURCES[place]}"}
    # A map is read only where a gradient needs it; w2's needs the current one as there is a gate.
    assert (pull.arguments["current"] is not None) == (SOURCES[place] in ("w1", "w2", "gate"))
    assert (pull.arguments["previous"] is not None) == (SOURCES[place] in ("flow", "w2", "gate"))


def test_the_previous_ones_gradient_is_scattered_or_gathered(launches, monkeypatch):
    """Gathered in half precision, which would need another map to add to, and where PyTorch is to be deterministic."""
    needed = [True, True, True, True, True, True]
    sources = tensors()
    compute.gradients(sources[0], sources, needed)
    assert [launch.name for launch in launches.launches] == ["pull"]
    assert launches["pull"].arguments["of_previous"].dtype == torch.float32

    launches.launches.clear()
    half = tensors(dtype=torch.bfloat16)
    compute.gradients(half[0], half, needed)
    assert [launch.name for launch in launches.launches] == ["pull", "link_as_they_come", "gather"]
    assert launches["pull"].arguments["of_previous"] is None
    assert launches["gather"].arguments["of_previous"].dtype == torch.bfloat16

    launches.launches.clear()
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    # The sort of what a launch leaves unwritten, here, is of anything.
    compute.gradients(sources[0], sources, needed)
    assert [launch.name for launch in launches.launches] == ["pull", "number_cells", "link_in_order", "gather"]
    assert launches["pull"].arguments["of_previous"] is None


def test_maps_are_handed_over_as_they_are(launches):
    for layout in FORMATS:
        launches.launches.clear()
        sources = tensors(layout=layout)
        compute.combine(sources)
        (combine,) = launches.launches
        assert all(combine.arguments[name] is tensor for name, tensor in zip(SOURCES, sources, strict=True))


def accesses(program):
    """Kinds of access to the GPU's memory in PTX, with the bits that go at once: ``ld 128``."""
    found = set()
    for kind, count, bits in re.findall(r"\b(ld|st|atom|red)\.global\S*?(?:\.v(\d))?\.[bf](\d+)\b", program):
        found.add(f"{'red' if kind == 'atom' else kind} {int(count or 1) * int(bits)}")
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_maps_are_read_and_written_16_bytes_at_a_time(launches, dtype):
    sources = tensors(dtype=dtype, layout="channels-last", gate=False)
    compute.combine(sources)
    kernel = launches["combine"].compile()
    # The flow, two values of a pixel, is all that is read otherwise; weights lie side by side too.
    assert accesses(kernel.asm["ptx"]) == {"ld 32", "ld 128", "st 128"}
    assert kernel.metadata.shared == 0
    if dtype == torch.bfloat16:
        assert "cvt.rn.bf16x2.f32" in kernel.asm["ptx"]  # rounded, not cut off


def test_planes_are_read_one_value_a_thread_and_nothing_goes_through_shared_memory(launches):
    compute.combine(tensors(dtype=torch.bfloat16))
    kernel = launches["combine"].compile()
    assert accesses(kernel.asm["ptx"]) == {"ld 32", "ld 16", "st 16"}
    assert kernel.metadata.shared == 0


def test_channels_last_gradients_are_scattered_16_bytes_at_a_time_and_nobody_waits_for_what_was_there(launches):
    sources = tensors(layout="channels-last")
    compute.gradients(sources[0], sources, [True] * 6)
    kernel = launches["pull"].compile()
    assert {"red 128", "ld 128", "st 128"} <= accesses(kernel.asm["ptx"])
    assert "acq_rel" not in kernel.asm["ptx"]
    assert "fence" not in kernel.asm["ptx"]


def test_what_gathers_compiles_too_also_for_an_older_gpu(launches, monkeypatch):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    sources = arguments(2, 19, 9, 20)
    compute.gradients(sources[0], sources, [False, True, False, False, False, False])
    for launch in launches.launches:
        assert "atom" not in launch.compile(capability=80).asm["ptx"]
    launches.launches.clear()
    monkeypatch.undo()
    monkeypatch.setattr(compute, "launch", launches)
    half = arguments(2, 19, 9, 20, dtype=torch.float16)
    compute.gradients(half[0], half, [False, True, False, False, False, False])
    assert "exch.b32" in launches["link_as_they_come"].compile(capability=80).asm["ptx"]
