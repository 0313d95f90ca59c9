import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.feeding import slow_iou
from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import InstanceIoU, IoU, TrimapCurve, TrimapIoU, confusion_matrix, iou_per_class, mean_iou

seeds = st.integers(0, 2**32 - 1)


def random_labels(rng, classes, shape):
    """Targets with ignored pixels, predictions with labels outside the classes."""
    target = rng.integers(0, classes, shape)
    target[rng.random(shape) < 0.2] = 255
    prediction = np.where(rng.random(shape) < 0.5, target, rng.integers(0, classes + 2, shape))
    return prediction, target


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 6), st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)))
def test_equals_the_definition_over_all_frames(seed, classes, shape):
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


@pytest.mark.parametrize("classes", [0, -1, 256])
def test_an_impossible_number_of_classes(classes):
    labels = np.zeros((1, 1), int)
    for refused in (
        lambda: confusion_matrix(labels, labels, classes),
        *(lambda metric=metric: metric(classes) for metric in (IoU, TrimapCurve, InstanceIoU)),
    ):
        with pytest.raises(ConfigurationError, match=f"not {classes}"):
            refused()


def test_no_pixels_at_all():
    assert confusion_matrix(np.zeros((0, 4), int), np.zeros((0, 4), int), 3).sum() == 0


@pytest.mark.parametrize("label", [5, 254, 256, 2**32 + 3, -1, -(2**40)])
@pytest.mark.parametrize("metric", [IoU(5), TrimapIoU(5), TrimapCurve(5, (1, 2))], ids=lambda m: type(m).__name__)
def test_no_label_wraps_round_to_a_class(metric, label):
    with pytest.raises(InputError, match=f"label {label}, .* 5 classes"):
        metric.update(torch.zeros(1, 3, dtype=torch.int64), torch.tensor([[0, 255, label]]))
    assert all(getattr(metric, state).sum() == 0 for state in metric._shapes)


@pytest.mark.parametrize("label", [5, 255, 10**6, 2**32 + 3, -1, -(2**40)])
def test_no_prediction_wraps_round_to_a_class(label):
    matrix = confusion_matrix(torch.tensor([[label, 3]]), torch.tensor([[3, 3]]), 5)
    assert matrix[3].tolist() == [0, 0, 0, 1, 0, 1]
