"""What tests of networks share."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks that the test builds take no memory. No weights are drawn: that takes half a minute on this device."""
    for draw in ("kaiming_normal_", "kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
    with torch.device("meta"):
        yield
