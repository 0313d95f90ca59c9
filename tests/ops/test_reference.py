"""What plain PyTorch costs; what it computes is tested in test_kernels.py, and by all that is held against it."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from netwarp.ops import reference
from ops.test_warp_combine import FORMATS, arguments


@pytest.mark.parametrize("layout", FORMATS)
def test_all_gradients_take_five_representations_of_memory_at_a_time(layout):
    """Two of which are results."""
    sources = arguments(1, 512, 8, 8)
    sources[:2] = [z.contiguous(memory_format=FORMATS[layout]) for z in sources[:2]]
    grad = torch.randn_like(sources[0])
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        found = reference.gradients(grad, *sources, [True] * 6)
    held, most = 0, 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert len(found) == 6
    assert 2 < most / grad.nbytes < 5.5
