from __future__ import annotations

import numpy as np
import pytest

from netwarp.datasets.cityscapes import AVERAGE_INSTANCE_SIZES, IDS, to_ids, to_train_ids
from netwarp.errors import InputError
from netwarp.label_sets import CITYSCAPES


def test_equal_to_cityscapesscripts_table():
    table = pytest.importorskip("cityscapesscripts.helpers.labels")
    for label in table.labels:
        if label.id >= 0:
            assert to_train_ids(np.array([label.id]))[0] == label.trainId
    for train_id in [*range(19), 255]:
        label = table.trainId2label[train_id]
        assert to_ids(np.array([train_id]))[0] == label.id
        if train_id != 255:
            assert CITYSCAPES.names[train_id] == label.name
            assert CITYSCAPES.palette[train_id] == label.color
            assert (train_id in AVERAGE_INSTANCE_SIZES) == label.hasInstances


def test_equal_to_cityscapesscripts_average_sizes():
    script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    table = pytest.importorskip("cityscapesscripts.helpers.labels")
    evaluated = {name: size for name, size in script.args.avgClassSize.items() if table.name2label[name].trainId != 255}
    assert {CITYSCAPES.names[train_id]: size for train_id, size in AVERAGE_INSTANCE_SIZES.items()} == evaluated


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint16"])
def test_there_and_back(dtype):
    train_ids = np.array([[*range(19), 255]], dtype)
    ids = to_ids(train_ids)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[*IDS, 0]]
    assert np.array_equal(to_train_ids(ids), train_ids)
    assert to_train_ids(ids).dtype == np.uint8


def test_ids_that_are_not_evaluated_are_ignored():
    others = [i for i in range(34) if i not in IDS]
    assert len(others) == 15
    assert (to_train_ids(np.array(others)) == 255).all()


@pytest.mark.parametrize("wrong", [34, 255, -1, 1000])
def test_what_is_no_id(wrong):
    with pytest.raises(InputError, match=rf"a file holds {wrong} in 2 of its pixels.*0 to 33") as error:
        to_train_ids(np.array([[7, wrong], [wrong, 8]]), "a file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", [19, 254, -1, 256])
def test_what_is_no_train_id(wrong):
    with pytest.raises(InputError, match=rf"holds {wrong} in 1 of its pixels.*0 to 18, and 255"):
        to_ids(np.array([0, wrong, 255]))
