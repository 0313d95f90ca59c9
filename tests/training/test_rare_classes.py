"""Weights of classes against the formula."""

import numpy as np
import pytest

from netwarp.training import class_weights
from training.toy import CLASSES


@pytest.mark.parametrize("constant", [1.05, 1.10])
def test_weights_grow_as_classes_get_rarer(constant):
    maps = [np.array([[0] * 5 + [1] + [255] * 2], np.uint8), np.array([[0, 1], [255, 255]], np.uint8)]
    expected = [1 / np.log(constant + share) for share in (0.75, 0.25, 0.0)]
    assert class_weights(maps, CLASSES, constant).tolist() == pytest.approx(expected)


def test_no_labels_at_all_weigh_the_same():
    weights = class_weights([np.full((2, 2), 255, np.uint8)], CLASSES)
    assert len(set(weights.tolist())) == 1
