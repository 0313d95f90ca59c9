"""Frames on their way into a network."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError
from netwarp.model import Preprocess


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


def test_older_versions_read_what_they_know():
    assert "remainder" not in Preprocess(divisor=8).to_dict()
    odd = Preprocess(divisor=8, remainder=1)
    assert Preprocess.from_dict(json.loads(json.dumps(odd.to_dict()))) == odd


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_keeps_the_dtype_and_the_frame(dtype):
    frame = torch.rand(1, 3, 6, 6).to(dtype)
    before = frame.clone()
    assert Preprocess(divisor=4)(frame).dtype == dtype
    assert torch.equal(frame, before)


def test_round_trip_through_json():
    preprocess = Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 255.0, "bgr", 8, (713, 713))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
    assert Preprocess.from_dict(json.loads(json.dumps(Preprocess().to_dict()))) == Preprocess()


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5,)},
        {"std": (1.0, 1.0)},
        {"std": (1.0, 0.0, 1.0)},
        {"scale": 0.0},
        {"scale": -1.0},
        {"order": "rbg"},
        {"divisor": 0},
        {"remainder": 1},
        {"divisor": 8, "remainder": -1},
        {"divisor": 8, "remainder": 8},
        {"size": (0, 5)},
        {"size": (5,)},
        {"size": ()},
        {"size": (5, 5, 3)},
        {"mean": (0.5, math.nan, 0.5)},
        {"std": (1.0, math.inf, 1.0)},
        {"scale": math.nan},
    ],
)
def test_values_that_make_no_sense(options):
    with pytest.raises(ConfigurationError) as caught:
        Preprocess(**options)
    assert "\n" not in str(caught.value)
