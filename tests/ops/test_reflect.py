"""Reflection against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.ops import reflect


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30))
def test_reflection_is_numpys(height, width, margin):
    image = torch.rand(2, 3, height, width)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    np.testing.assert_array_equal(reflect(image, margin).numpy(), expected)


def test_a_margin_of_nothing_copies_nothing():
    image = torch.rand(1, 2, 4, 5)
    assert reflect(image, 0) is image


def test_what_cannot_be_reflected():
    with pytest.raises(InputError, match=r"\[B,C,H,W\]"):
        reflect(torch.zeros(3, 4, 5), 1)
    with pytest.raises(InputError, match="0 pixels or more, not -1"):
        reflect(torch.zeros(1, 3, 4, 5), -1)
