"""Confidence: the probability of each label as the network alone would say it, and the gate's trust."""

import numpy as np
import pytest
import torch

from netwarp import Sliding, VideoModel, segment


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
