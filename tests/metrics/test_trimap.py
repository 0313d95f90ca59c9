import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError
from netwarp.metrics import IoU, TrimapCurve, TrimapIoU, trimap, trimap_distance

CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid"
seeds = st.integers(0, 2**32 - 1)


def blobs(seed, h, w):
    """Labels in patches, with ignored pixels among them."""
    rng = np.random.default_rng(seed)
    small = rng.choice([0, 1, 2, 255], size=(-(-h // 3), -(-w // 3)), p=[0.4, 0.3, 0.2, 0.1])
    return np.kron(small, np.ones((3, 3), int))[:h, :w]


def slow_trimap(labels, width):
    """For every pixel: is there, within chessboard distance width-1, one with a 4-neighbour of another label?"""
    h, w = labels.shape

    def at_change(y, x):
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return any(0 <= j < h and 0 <= i < w and labels[j, i] != labels[y, x] for j, i in around)

    changes = [place for place in np.ndindex(h, w) if at_change(*place)]
    band = np.zeros((h, w), bool)
    for y, x in np.ndindex(h, w):
        near = any(max(abs(y - j), abs(x - i)) <= width - 1 for j, i in changes)
        band[y, x] = near and labels[y, x] != 255
    return band


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 4))
def test_width_w_is_the_release_scripts_square_of_2w_minus_1(seed, width):
    """As the script does it: OpenCV's dilation of the boundary by a t×t square; t = 3 is width 2."""
    import cv2

    labels = blobs(seed, 14, 17)
    edge = np.zeros(labels.shape, np.uint8)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    t = 2 * width - 1
    expected = (cv2.dilate(edge, np.ones((t, t), np.uint8)) > 0) & (labels != 255)
    assert np.array_equal(trimap(labels, width).numpy(), expected)


def test_a_batch_is_its_frames_and_the_labels_are_left_alone():
    labels = torch.stack([torch.from_numpy(blobs(seed, 8, 9)) for seed in range(3)]).to(torch.uint8)
    copy = labels.clone()
    assert torch.equal(trimap(labels, 2), torch.stack([trimap(frame, 2) for frame in labels]))
    assert torch.equal(labels, copy)


@pytest.mark.parametrize("width", [0, -1])
def test_an_impossible_width(width):
    labels = np.zeros((2, 2), int)
    for refused in (lambda: trimap(labels, width), lambda: TrimapIoU(2, width), lambda: TrimapCurve(3, (width, 2))):
        with pytest.raises(ConfigurationError, match=f"not {width}"):
            refused()
    with pytest.raises(ConfigurationError, match="at least one width"):
        TrimapCurve(3, ())


def slow_script(pairs, classes, t):
    """tIoU as the authors' script has it: all but the boundary, dilated by a t×t square, becomes ignored; then IoU."""
    hits, unions = np.zeros(classes), np.zeros(classes)
    for prediction, target in pairs:
        h, w = target.shape
        boundary = np.zeros((h, w), bool)
        for y, x in np.ndindex(h, w):
            for j, i in ((y + 1, x), (y, x + 1)):
                if j < h and i < w and target[y, x] != target[j, i]:
                    boundary[y, x] = boundary[j, i] = True
        masked = np.full((h, w), 255)
        reach = t // 2
        for y, x in np.ndindex(h, w):
            if boundary[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].any():
                masked[y, x] = target[y, x]
        for c in range(classes):
            counted = masked != 255
            hits[c] += (counted & (masked == c) & (prediction == c)).sum()
            unions[c] += (counted & ((masked == c) | (prediction == c))).sum()
    return [100 * hit / union if union else math.nan for hit, union in zip(hits, unions, strict=True)]


def frames_with_predictions(seeds, h, w):
    for seed in seeds:
        target = blobs(seed, h, w)
        rng = np.random.default_rng(seed)
        yield np.where(rng.random((h, w)) < 0.7, np.where(target == 255, 0, target), rng.integers(0, 5, (h, w))), target


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(1, 12), st.integers(1, 14), st.sampled_from([1, 3, 5, 7]))
def test_equals_the_release_scripts_tiou(seed, h, w, t):
    """Its t = 3 is our width 2, the paper's default."""
    pairs = list(frames_with_predictions(range(seed, seed + 3), h, w))
    metric = TrimapIoU(4, width=(t + 1) // 2)
    for pair in pairs:
        metric.update(*pair)
    expected = slow_script(pairs, 4, t)
    np.testing.assert_allclose(metric.per_class().numpy(), expected, rtol=1e-12)
    present = [score for score in expected if not math.isnan(score)]
    assert metric.compute() == pytest.approx(np.mean(present) if present else math.nan, nan_ok=True)
    assert TrimapIoU(4).width == 2


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 12), st.integers(1, 14), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_a_curve_is_the_trimap_iou_at_every_width(seed, h, w, widths):
    curve, everywhere = TrimapCurve(4, widths), IoU(4)
    assert TrimapCurve(4).widths == tuple(range(1, 21))
    singles = {width: TrimapIoU(4, width) for width in widths}
    for pair in frames_with_predictions(range(seed, seed + 2), h, w):
        for metric in (curve, everywhere, *singles.values()):
            metric.update(*pair)
    assert torch.equal(curve.everywhere, everywhere.matrix)
    assert list(curve.compute()) == sorted(set(widths))
    for index, (width, score) in enumerate(curve.compute().items()):
        assert torch.equal(curve.matrices[index], singles[width].matrix)
        assert score == pytest.approx(singles[width].compute(), nan_ok=True, abs=0)
        assert torch.equal(curve.per_class()[index].nan_to_num(-1), singles[width].per_class().nan_to_num(-1))


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 10), st.integers(1, 10), st.integers(1, 6))
def test_distances_are_the_widths_at_which_bands_begin(seed, h, w, furthest):
    labels = blobs(seed, h, w)
    distance = trimap_distance(labels, furthest)
    assert distance.shape == labels.shape
    for width in range(1, furthest + 1):
        assert np.array_equal((distance <= width).numpy() & (labels != 255), slow_trimap(labels, width))
    assert int(distance.max()) <= furthest + 1
