"""Losses against torch's own and against loops over pixels; weights of classes against the formula."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from netwarp.model import PhotometricGate
from netwarp.model.task import Task
from netwarp.training import class_weights
from netwarp.training.losses import consistency_sum, label_weight
from training.toy import CLASSES


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 5), st.booleans(), st.data())
def test_a_batch_in_pieces_is_the_weighted_mean_of_the_whole(seed, batch, classes, weighted, data):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (batch, 4, 5), generator=generator)
    labels[torch.rand(batch, 4, 5, generator=generator) < 0.3] = 255
    labels[0, 0, 0] = 0
    weights = torch.rand(classes, generator=generator) + 0.1 if weighted else None
    cut = data.draw(st.integers(0, batch))
    pieces = [slice(0, cut), slice(cut, batch)]
    total = sum(float(label_weight(labels[p], weights)) for p in pieces)
    loss = sum(float(Task(3).loss_sum(logits[p], labels[p], weights)) for p in pieces if p.stop > p.start)
    expected = F.cross_entropy(logits.float(), labels, weights, ignore_index=255)
    assert loss / total == pytest.approx(float(expected), rel=1e-5)


def test_nothing_labelled_weighs_and_costs_nothing():
    labels = torch.full((1, 4, 5), 255)
    assert float(label_weight(labels, None)) == float(label_weight(labels, torch.ones(3))) == 0
    assert float(Task(3).loss_sum(torch.randn(1, 3, 4, 5), labels, torch.ones(3))) == 0


def always(current, previous, flow):
    return torch.ones_like(flow[:, :1])


def by_hand(logits, flows, trust):
    """Pixel by pixel, for flow in whole pixels."""
    clips, total = logits[0].shape[0], 0.0
    h, w = logits[0].shape[-2:]
    for b in range(clips):
        for t in range(1, len(logits)):
            before, now = logits[t - 1][b].softmax(0).numpy(), logits[t][b].softmax(0).numpy()
            for y in range(h):
                for x in range(w):
                    from_x, from_y = x + int(flows[b, t - 1, 0, y, x]), y + int(flows[b, t - 1, 1, y, x])
                    if 0 <= from_x < w and 0 <= from_y < h:
                        p, q = before[:, from_y, from_x], now[:, y, x]
                        total += float(trust[t - 1][b, 0, y, x]) * float((p * np.log(p / q)).sum()) / (h * w)
    return total / (len(logits) - 1)


@pytest.mark.parametrize("length", [2, 3])
def test_consistency_is_the_divergence_from_what_the_flow_brings(length):
    torch.manual_seed(length)
    logits = [torch.randn(2, 4, 5, 6) for _ in range(length)]
    flows = torch.randint(-2, 3, (2, length - 1, 2, 5, 6)).float()
    trust = [torch.rand(2, 1, 5, 6) for _ in range(length - 1)]
    left = list(trust)
    got = consistency_sum(logits, torch.zeros(2, length, 3, 5, 6), flows, lambda *_: left.pop(0), Task(3))
    assert float(got) == pytest.approx(by_hand(logits, flows, trust), rel=1e-4)


def test_frames_that_agree_along_the_flow_cost_nothing():
    wide = torch.randn(1, 3, 6, 10)
    before, now = wide[..., :8], wide[..., 2:]  # everything moves two pixels to the left
    flows = torch.zeros(1, 1, 2, 6, 8)
    flows[:, :, 0] = 2
    frames = torch.zeros(1, 2, 3, 6, 8)
    assert float(consistency_sum([before, now], frames, flows, always, Task(3))) == pytest.approx(0, abs=1e-6)
    assert float(consistency_sum([before, now], frames, -flows, always, Task(3))) > 0.1


def test_the_past_is_not_to_follow_the_present():
    before, now = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(1, 3, 4, 4, requires_grad=True)
    consistency_sum([before, now], torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 1, 2, 4, 4), always, Task(3)).backward()
    assert before.grad is None
    assert now.grad.abs().sum() > 0


def test_where_frames_do_not_match_it_counts_less():
    logits = [torch.randn(1, 3, 8, 8) for _ in range(2)]
    same = torch.rand(1, 1, 3, 8, 8).repeat(1, 2, 1, 1, 1)
    other = same.clone()
    other[:, 1, :, :4] = 1 - other[:, 1, :, :4].round()
    flows = torch.zeros(1, 1, 2, 8, 8)
    gate = PhotometricGate()
    full = consistency_sum(logits, same, flows, gate, Task(3))
    assert float(full) == pytest.approx(float(consistency_sum(logits, same, flows, always, Task(3))))
    assert float(consistency_sum(logits, other, flows, gate, Task(3))) < 0.8 * float(full)
    assert math.isfinite(float(full))


@pytest.mark.parametrize("constant", [1.05, 1.10])
def test_weights_grow_as_classes_get_rarer(constant):
    maps = [np.array([[0] * 5 + [1] + [255] * 2], np.uint8), np.array([[0, 1], [255, 255]], np.uint8)]
    expected = [1 / np.log(constant + share) for share in (0.75, 0.25, 0.0)]
    assert class_weights(maps, CLASSES, constant).tolist() == pytest.approx(expected)


def test_no_labels_at_all_weigh_the_same():
    weights = class_weights([np.full((2, 2), 255, np.uint8)], CLASSES)
    assert len(set(weights.tolist())) == 1
