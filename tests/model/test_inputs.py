"""Frames on their way into a network: as users hand them in, checked, and prepared."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.model.inputs import Preprocess, as_frames, as_preprocess, check_flow, to_unit_range

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "view", [np.s_[:], np.s_[:, :, ::-1], np.s_[::-1], np.s_[:, ::2], np.s_[:1, ::-1], np.s_[:1, :1, ::-1]]
)
def test_numpy_and_its_views_as_opencv_users_make_them(view):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)[view]
    frame = as_frames(image, CPU)
    assert (frame.dtype, frame.shape) == (torch.uint8, (1, 3, *image.shape[:2]))
    assert np.array_equal(frame[0].permute(1, 2, 0).numpy(), image)


@pytest.mark.filterwarnings("error")
def test_numpy_that_cannot_be_written():
    image = np.zeros((3, 4, 6), np.uint8)
    image.setflags(write=False)
    assert as_frames(image.transpose(1, 2, 0), CPU).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_floating_point_frames_keep_their_dtype_and_are_computed_in_float32_or_better(dtype):
    frame = torch.rand(2, 3, 4, 5).to(dtype)
    assert as_frames(frame, CPU).dtype == dtype
    unit = to_unit_range(frame)
    assert unit.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(unit, frame.to(unit.dtype))
    # Of flow too: what is done to it afterwards would lose more than its values have lost.
    assert check_flow(torch.ones(2, 2, 4, 5, dtype=dtype), frame).dtype == unit.dtype


def test_bytes_in_unit_range():
    assert torch.equal(to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0.0, 51 / 255, 1.0]))


def test_a_little_overshoot_is_no_mistake():
    assert as_frames(torch.tensor([-0.1, 0.5, 1.2]).view(1, 3, 1, 1), CPU).max() > 1


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        *((np.zeros(shape, np.uint8), r"\[H,W,3\]") for shape in ((4, 6), (4, 6, 4), (1, 4, 6, 3))),
        *((torch.zeros(shape), r"\[B,3,H,W\]") for shape in ((3, 4, 6), (1, 4, 6, 3))),
        *((frame, "empty") for frame in (np.zeros((0, 6, 3), np.uint8), torch.zeros(0, 3, 4, 6))),
        (np.zeros((4, 6, 3), np.float32), "uint8"),
        (torch.zeros(1, 3, 4, 6, dtype=torch.int32), "int32"),
        (torch.full((1, 3, 4, 6), 255.0), "255"),
        (torch.full((1, 3, 4, 6), -1.0), "0–1"),
        (torch.full((1, 3, 4, 6), float("nan")), "NaN"),
        *((frame, type(frame).__name__) for frame in ("frame.png", None, [[0, 0, 0]])),
    ],
)
def test_what_is_no_frame(frame, says):
    with pytest.raises(InputError, match=says):
        as_frames(frame, CPU)


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        *((torch.zeros(shape), "for this frame") for shape in ((1, 2, 4, 7), (2, 2, 4, 6), (2, 4, 6))),
        (torch.zeros(1, 2, 4, 6).int(), "int32"),
        (torch.full((1, 2, 4, 6), float("nan")), "NaN"),
        (torch.full((1, 2, 4, 6), float("inf")), "infinite"),
    ],
)
def test_what_is_no_flow_for_a_frame(flow, says):
    with pytest.raises(InputError, match=says):
        check_flow(flow, torch.zeros(1, 3, 4, 6))


def test_imagenet_by_default():
    frame = torch.rand(2, 3, 4, 5)
    prepared = Preprocess()(frame)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        torch.testing.assert_close(prepared[:, channel], (frame[:, channel] - mean) / std)


def test_caffe_networks_mean_in_bgr_of_255():
    white_red = torch.zeros(1, 3, 1, 1)
    white_red[:, 0] = 1
    prepared = Preprocess((103.939, 116.779, 123.68), (1, 1, 1), 255.0, "bgr")(white_red)
    torch.testing.assert_close(prepared.flatten(), torch.tensor([-103.939, -116.779, 255 - 123.68]))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
def test_padding_repeats_the_edge_up_to_multiples(h, w, divisor):
    preprocess = Preprocess((0, 0, 0), (1, 1, 1), divisor=divisor)
    frame = torch.rand(1, 3, h, w)
    prepared = preprocess(frame)
    resized, padded = preprocess.grid((h, w))
    assert resized == (h, w)
    assert tuple(prepared.shape[-2:]) == padded
    assert all(p % divisor == 0 and 0 <= p - n < divisor for p, n in zip(padded, (h, w), strict=True))
    assert torch.equal(prepared[..., :h, :w], frame)
    assert torch.equal(prepared[..., h:, :], prepared[..., h - 1 : h, :].expand_as(prepared[..., h:, :]))
    assert torch.equal(prepared[..., w:], prepared[..., w - 1 : w].expand_as(prepared[..., w:]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_a_frame_of_whole_numbers_is_refused(dtype):
    with pytest.raises(InputError, match=str(dtype)):
        Preprocess()(torch.full((1, 3, 4, 4), 200, dtype=dtype))


def test_a_size_of_the_networks_own():
    preprocess = Preprocess(size=(20, 30), divisor=8)
    assert preprocess.grid((100, 77)) == ((20, 30), (24, 32))
    assert preprocess(torch.rand(1, 3, 100, 77)).shape == (1, 3, 24, 32)
    flat = preprocess(torch.full((1, 3, 100, 77), 0.5))
    torch.testing.assert_close(flat, Preprocess()(torch.full((1, 3, 24, 32), 0.5)))


@given(st.integers(1, 60), st.sampled_from([(8, 1), (16, 5), (4, 3)]))
def test_padding_up_to_a_remainder(length, form):
    divisor, remainder = form
    height = Preprocess(divisor=divisor, remainder=remainder).grid((length, 1))[1][0]
    assert height % divisor == remainder
    assert 0 <= height - length < divisor


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_keeps_the_dtype_and_the_frame(dtype):
    frame = torch.rand(1, 3, 6, 6).to(dtype)
    before = frame.clone()
    assert Preprocess(divisor=4)(frame).dtype == dtype
    assert torch.equal(frame, before)


def test_round_trip_through_json():
    full = Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 255.0, "bgr", 8, (713, 713))
    for each in (Preprocess(), full, Preprocess(divisor=8, remainder=1)):
        assert Preprocess.from_dict(json.loads(json.dumps(each.to_dict()))) == each
    assert "remainder" not in full.to_dict()  # older versions read what they know


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5,)}, {"std": (1.0, 1.0)}, {"std": (1.0, 0.0, 1.0)}, {"std": (1.0, math.inf, 1.0)}, {"scale": 0.0},
        {"scale": math.nan}, {"order": "rbg"}, {"divisor": 0}, {"remainder": 1}, {"divisor": 8, "remainder": -1},
        {"divisor": 8, "remainder": 8}, {"size": (0, 5)}, {"size": (5,)},
    ],
)  # fmt: skip
def test_values_that_make_no_sense(options):
    with pytest.raises(ConfigurationError, match=list(options)[-1]):
        Preprocess(**options)


@pytest.mark.parametrize(
    "wrong", [{"mean": None}, {"std": "abc"}, {"scale": "1"}, {"divisor": "8"}, {"size": 7}, {"size": ("a", 2)}]
)
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Preprocess(**wrong)


def test_an_image_processor_is_taken_for_preprocessing():
    processor = SimpleNamespace(image_mean=[0.1, 0.2, 0.3], image_std=0.5, do_normalize=True)
    processor.do_flip_channel_order = True
    assert as_preprocess(processor) == Preprocess((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), order="bgr")
    with pytest.raises(ConfigurationError, match="image processor"):
        as_preprocess("imagenet")
