"""Labels of many classes without their logits at the frame's size: the same labels to the last pixel."""

import pytest
import torch
import torch.nn.functional as F

from model.tiny import PLAIN, Pan, tiny
from netwarp import Preprocess, VideoModel
from netwarp.model import unrolled
from netwarp.model.outputs import contenders


@pytest.mark.parametrize(
    "preprocess", [PLAIN, Preprocess(divisor=32), Preprocess(size=(40, 24)), Preprocess(size=(200, 300))]
)
def test_labels_are_those_of_all_logits(preprocess, monkeypatch):
    model = VideoModel(tiny(classes=40), ["log_probs"], Pan(), None, preprocess=preprocess, start=(0.2, 0.8))
    state = other = None
    for seed in range(3):
        frame = torch.rand(1, 3, 63, 95, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            logits, state = model.step(frame, state)
            monkeypatch.setattr(unrolled, "AT_ONCE", 3 * 63 * 95)
            labels, other = model.step(frame, other, as_labels=True)
        assert torch.equal(labels, logits.argmax(1))


def test_only_what_can_win_is_brought_up():
    logits = torch.randn(1, 9, 6, 8)
    logits[:, 5] -= 20
    logits[:, 7] = logits[:, :5].amax(1) - 1e-3  # never the largest, but close
    kept = contenders(logits)
    assert 5 not in kept
    assert 7 in kept
    up = F.interpolate(logits, (50, 70), mode="bilinear")
    assert set(up.argmax(1).unique().tolist()) <= set(kept.tolist())


def test_a_class_that_wins_between_two_winners_only_is_brought_up():
    logits = torch.full((1, 4, 2, 2), -100.0)
    logits[0, 0, :, 0] = logits[0, 1, :, 1] = 10
    logits[0, 2] = 9  # above both in the middle, where they fall
    assert F.interpolate(logits, (2, 8), mode="bilinear").argmax(1).unique().tolist() == [0, 1, 2]
    assert contenders(logits).tolist() == [0, 1, 2]
