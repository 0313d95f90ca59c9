from __future__ import annotations

import pytest
import torch

from netwarp.errors import InputError
from netwarp.flow import TrueFlow, make_flow


def test_it_is_only_known_to_whoever_has_the_clips():
    frame = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)
    flow = make_flow("true")
    assert isinstance(flow, TrueFlow)
    assert make_flow(flow.spec).spec == "true"
    with pytest.raises(InputError, match="estimate it"):
        flow(frame, frame, 1)
