from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import IoU, confusion_matrix, iou_per_class, mean_iou

seeds = st.integers(0, 2**32 - 1)


def random_labels(rng, classes, shape):
    """Targets with ignored pixels, predictions with labels outside the classes."""
    target = rng.integers(0, classes, shape)
    target[rng.random(shape) < 0.2] = 255
    prediction = np.where(rng.random(shape) < 0.5, target, rng.integers(0, classes + 2, shape))
    return prediction, target


def slow_iou(prediction, target, classes):
    """IoU of each class from its definition, by sets of pixels."""
    scores = []
    places = [i for i in np.ndindex(target.shape) if target[i] != 255]
    for c in range(classes):
        of_class = {i for i in places if target[i] == c}
        taken_for_it = {i for i in places if prediction[i] == c}
        union = of_class | taken_for_it
        scores.append(100 * len(of_class & taken_for_it) / len(union) if union else math.nan)
    return scores


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 6), st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_equals_the_definition(seed, classes, shape):
    prediction, target = random_labels(np.random.default_rng(seed), classes, shape)
    expected = slow_iou(prediction, target, classes)
    matrix = confusion_matrix(prediction, target, classes)
    np.testing.assert_allclose(iou_per_class(matrix).numpy(), expected, rtol=1e-12)
    present = [s for s in expected if not math.isnan(s)]
    assert mean_iou(matrix) == pytest.approx(sum(present) / len(present) if present else math.nan, nan_ok=True)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_every_cell_counts_its_pairs(seed):
    prediction, target = random_labels(np.random.default_rng(seed), 4, (5, 6))
    matrix = confusion_matrix(prediction, target, 4)
    assert matrix.shape == (4, 5)
    assert matrix.dtype == torch.int64
    for t in range(4):
        for p in range(4):
            assert matrix[t, p] == ((target == t) & (prediction == p)).sum()
        assert matrix[t, 4] == ((target == t) & (prediction >= 4)).sum()
    assert matrix.sum() == (target != 255).sum()


def test_frames_add_up_and_a_batch_is_its_frames():
    rng = np.random.default_rng(0)
    frames = [random_labels(rng, 5, (4, 6)) for _ in range(3)]
    one_by_one, at_once = IoU(5), IoU(5)
    for prediction, target in frames:
        one_by_one.update(prediction, target)
    at_once.update(np.stack([f[0] for f in frames]), np.stack([f[1] for f in frames]))
    assert torch.equal(one_by_one.matrix, at_once.matrix)
    wide = [np.concatenate([f[i] for f in frames], 1) for i in (0, 1)]
    np.testing.assert_allclose(one_by_one.per_class().numpy(), slow_iou(*wide, 5))
    # over the data set, which is not the mean of the frames' own means
    assert one_by_one.compute() != pytest.approx(np.mean([mean_iou(confusion_matrix(*f, 5)) for f in frames]))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", ">i4", "uint16"])
def test_numpy_of_any_integer_type_layout_and_access(dtype):
    prediction, target = (a.astype(dtype) for a in random_labels(np.random.default_rng(1), 5, (4, 6)))
    expected = confusion_matrix(prediction.astype(int), target.astype(int), 5)
    assert torch.equal(confusion_matrix(prediction[:, ::-1], target[:, ::-1], 5), expected)
    prediction.flags.writeable = False
    assert torch.equal(confusion_matrix(prediction, torch.from_numpy(target.astype(int)), 5), expected)


def test_uint8_tensors_do_not_overflow():
    labels = torch.arange(250, dtype=torch.uint8).view(10, 25)
    assert torch.equal(confusion_matrix(labels, labels, 250).diagonal(), torch.ones(250, dtype=torch.int64))


@pytest.mark.parametrize(
    ("prediction", "target", "words"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"\[1, 2, 3\] and"),
        (np.zeros((2, 3), int), np.zeros((1, 2, 4), int), r"\[1, 2, 3\] and"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), int), "float32"),
        (torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.long), "bool"),
        ([[0, 1]], np.zeros((1, 2), int), "list"),
        (np.zeros((1, 2), object), np.zeros((1, 2), int), "object"),
        (np.zeros((1, 1, 2, 3), int), np.zeros((1, 1, 2, 3), int), r"\[H,W\]"),
    ],
)
def test_bad_labels_are_refused_and_change_nothing(prediction, target, words):
    iou = IoU(4)
    with pytest.raises(InputError, match=words):
        iou.update(prediction, target)
    assert iou.matrix.sum() == 0


@pytest.mark.parametrize("classes", [0, -1, 256])
def test_an_impossible_number_of_classes(classes):
    labels = np.zeros((1, 1), int)
    with pytest.raises(ConfigurationError, match=f"not {classes}"):
        confusion_matrix(labels, labels, classes)
    with pytest.raises(ConfigurationError, match=f"not {classes}"):
        IoU(classes)


def test_no_pixels_at_all():
    assert confusion_matrix(np.zeros((0, 4), int), np.zeros((0, 4), int), 3).sum() == 0


@pytest.mark.parametrize("label", [5, 254, 256, 2**32 + 3, -1, -(2**40)])
def test_no_label_wraps_round_to_a_class(label):
    target = torch.tensor([[0, 255, label]])
    with pytest.raises(InputError, match=f"label {label}, .* 5 classes"):
        confusion_matrix(torch.zeros(1, 3, dtype=torch.int64), target, 5)


@pytest.mark.parametrize("label", [5, 255, 10**6, 2**32 + 3, -1, -(2**40)])
def test_no_prediction_wraps_round_to_a_class(label):
    matrix = confusion_matrix(torch.tensor([[label, 3]]), torch.tensor([[3, 3]]), 5)
    assert matrix[3].tolist() == [0, 0, 0, 1, 0, 1]
