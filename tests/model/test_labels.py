"""The fast way to labels is argmax to the last bit: ties, NaN, and every layout."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.model.outputs import labels_of


@given(
    st.integers(1, 2), st.integers(1, 24), st.integers(1, 7), st.integers(1, 40), st.booleans(), st.integers(1, 4),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]), st.integers(0, 5),
)  # fmt: skip
def test_it_is_argmax(batch, classes, h, w, last, levels, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, levels, (batch, classes, h, w), generator=generator).to(dtype)  # full of ties
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    labels = labels_of(logits)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, logits.argmax(1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite(value):
    logits = torch.zeros(1, 5, 2, 33)
    logits[:, 3, :, ::3] = value
    assert torch.equal(labels_of(logits), logits.argmax(1))
