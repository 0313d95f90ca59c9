"""Frames as users hand them in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netwarp.errors import InputError
from netwarp.model.inputs import as_frames, check_flow, to_unit_range

CPU = torch.device("cpu")


def test_numpy_and_tensor_are_the_same_frame():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    frame = as_frames(image, CPU)
    assert frame.dtype == torch.uint8
    assert frame.shape == (1, 3, 4, 6)
    assert all(frame[0, c, y, x] == image[y, x, c] for c in range(3) for y in range(4) for x in range(6))


@pytest.mark.parametrize("view", [np.s_[:, :, ::-1], np.s_[::-1], np.s_[:, ::2], np.s_[:1, ::-1], np.s_[:1, :1, ::-1]])
def test_numpy_views_as_opencv_users_make_them(view):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)[view]
    assert np.array_equal(as_frames(image, CPU)[0].permute(1, 2, 0).numpy(), image)


@pytest.mark.filterwarnings("error")
def test_numpy_that_cannot_be_written():
    image = np.zeros((3, 4, 6), np.uint8)
    image.setflags(write=False)
    assert as_frames(image.transpose(1, 2, 0), CPU).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_floating_point_frames_keep_their_dtype(dtype):
    frame = torch.rand(2, 3, 4, 5).to(dtype)
    assert as_frames(frame, CPU).dtype == dtype
    unit = to_unit_range(frame)
    assert unit.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(unit, frame.to(unit.dtype))


def test_bytes_in_unit_range():
    assert torch.equal(to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0.0, 51 / 255, 1.0]))


def test_a_little_overshoot_is_no_mistake():
    assert as_frames(torch.tensor([-0.1, 0.5, 1.2]).view(1, 3, 1, 1), CPU).max() > 1


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (np.zeros((4, 6), np.uint8), r"\[H,W,3\]"),
        (np.zeros((4, 6, 4), np.uint8), r"\[H,W,3\]"),
        (np.zeros((3, 4, 6), np.uint8), r"\[H,W,3\]"),
        (np.zeros((4, 6, 3), np.float32), "uint8"),
        (np.zeros((1, 4, 6, 3), np.uint8), r"\[H,W,3\]"),
        (np.zeros((0, 6, 3), np.uint8), "empty"),
        (torch.zeros(3, 4, 6), r"\[B,3,H,W\]"),
        (torch.zeros(1, 4, 4, 6), r"\[B,3,H,W\]"),
        (torch.zeros(1, 4, 6, 3), r"\[B,3,H,W\]"),
        (torch.zeros(0, 3, 4, 6), "empty"),
        (torch.zeros(1, 3, 0, 6), "empty"),
        (torch.zeros(1, 3, 4, 6, dtype=torch.int32), "int32"),
        (torch.zeros(1, 3, 4, 6, dtype=torch.bool), "bool"),
        (torch.full((1, 3, 4, 6), 255.0), "255"),
        (torch.full((1, 3, 4, 6), -1.0), "0–1"),
        (torch.full((1, 3, 4, 6), float("nan")), "NaN"),
        (torch.full((1, 3, 4, 6), float("inf")), "0–1"),
        ("frame.png", "str"),
        (None, "NoneType"),
        ([[0, 0, 0]], "list"),
    ],
)
def test_what_is_no_frame(frame, says):
    with pytest.raises(InputError, match=says) as caught:
        as_frames(frame, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        (torch.zeros(1, 2, 4, 7), "for this frame"),
        (torch.zeros(2, 2, 4, 6), "for this frame"),
        (torch.zeros(1, 3, 4, 6), "for this frame"),
        (torch.zeros(2, 4, 6), "for this frame"),
        (torch.zeros(1, 2, 4, 6).int(), "int32"),
        (torch.full((1, 2, 4, 6), float("nan")), "NaN"),
        (torch.full((1, 2, 4, 6), float("inf")), "infinite"),
    ],
)
def test_what_is_no_flow_for_a_frame(flow, says):
    with pytest.raises(InputError, match=says):
        check_flow(flow, torch.zeros(1, 3, 4, 6))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_flow_is_float32_or_better(dtype):
    """What is done to it afterwards, resizing first of all, would lose more than its values have lost."""
    frame = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)
    flow = check_flow(torch.ones(1, 2, 4, 6, dtype=dtype), frame)
    assert flow.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
