"""Confidence: the probability of each label as the network alone would say it, and the gate's trust."""

import numpy as np
import pytest
import torch

from netwarp import Sliding, VideoModel, segment, warp


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, 5, 3, padding=1)


@pytest.fixture
def video():
    """A pan over noise, smooth enough for flow."""
    scene = np.random.default_rng(0).integers(0, 256, (6, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(scene[:, 2 * i : 2 * i + 64]) for i in range(7)]


@pytest.mark.parametrize("windows", [False, True])
def test_it_is_the_largest_probability(network, video, windows: bool):
    model = VideoModel(network, [])
    if windows:
        model = Sliding(model, window=32)
    state = None
    for result in segment(video, model, confidence=True):
        with torch.no_grad():
            logits, state = model.step(result.frame, state)
        expected = (logits if windows else logits.softmax(1)).max(1).values[0]
        np.testing.assert_allclose(result.confidence, expected.numpy(), atol=1e-5)
        assert result.trust is None
    assert next(segment(video, model)).confidence is None


@pytest.mark.parametrize("options", [{}, {"keyframes": 3}, {"lag": 2}, {"edges": "off", "keyframes": 2}])
def test_trust_is_the_gates(network, video, options: dict):
    model = VideoModel(network, training_free=True)
    before = None
    for result in segment(video, model, confidence=True, **options):
        assert result.confidence.shape == result.labels.shape
        assert 0 <= result.confidence.min() <= result.confidence.max() <= 1
        if result.fresh:
            assert result.trust is None
        elif before is not None and "keyframes" not in options:
            frames = [torch.from_numpy(f).permute(2, 0, 1)[None] for f in (result.frame, before)]
            expected = model.gate(*frames, model.estimate_flow(*frames))[0, 0]
            np.testing.assert_allclose(result.trust, expected.numpy(), atol=1e-5)
        else:
            assert result.trust.shape == result.labels.shape
        before = result.frame


def test_doubt_is_what_all_flow_since_the_keyframe_loses(network, video):
    model = VideoModel(network, training_free=True)
    sure = None
    before = None
    for result in segment(video, model, confidence=True, keyframes=4, detect_cuts=False):
        frame = torch.from_numpy(result.frame).permute(2, 0, 1)[None]
        if result.keyframe:
            sure = torch.ones(1, 1, 48, 64)
        else:
            flow = model.estimate_flow(frame, before)
            sure = model.gate(frame, before, flow) * warp(sure, flow)
        np.testing.assert_allclose(result.doubt, 1 - sure[0, 0].numpy(), atol=1e-5)
        before = frame
    assert next(segment(video, model, confidence=True)).doubt is None, "nothing is carried"


def test_looking_ahead_doubts_what_neither_side_knows(network, video):
    model = VideoModel(network, training_free=True)
    options = {"confidence": True, "keyframes": 6, "detect_cuts": False}
    behind, both = ([r.doubt for r in segment(video, model, lag=lag, **options)] for lag in (0, 6))
    assert not both[0].any()
    assert not both[6].any()
    frames = [torch.from_numpy(each).permute(2, 0, 1)[None] for each in video]
    sure = torch.ones(1, 1, 48, 64)
    for i in range(5, 0, -1):  # from the keyframe 6 back
        flow = model.estimate_flow(frames[i], frames[i + 1])
        sure = model.gate(frames[i], frames[i + 1], flow) * warp(sure, flow)
        np.testing.assert_allclose(both[i], np.minimum(behind[i], 1 - sure[0, 0].numpy()), atol=1e-5)
        sure = torch.maximum(sure, torch.from_numpy(1 - behind[i])[None, None])
    assert both[5].mean() < 0.5 * behind[5].mean()
