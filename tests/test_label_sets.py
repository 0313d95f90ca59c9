"""Names and colours of classes."""

import pytest

from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID, CITYSCAPES, IGNORE, VOC, LabelSet, label_set, voc_colour


@pytest.mark.parametrize(("labels", "count"), [(CAMVID, 11), (CITYSCAPES, 19), (VOC, 21)])
def test_well_known_sets(labels, count):
    assert len(labels) == len(labels.names) == len(labels.palette) == count
    assert len(set(labels.names)) == len(set(labels.palette)) == count
    assert all(0 <= value <= 255 for colour in labels.palette for value in colour)


def test_vocs_colour_map_as_published():
    assert [voc_colour(i) for i in (0, 1, 2, 3, 4, 8, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (64, 0, 0), (0, 64, 128), (224, 224, 192),
    ]  # fmt: skip


@pytest.mark.parametrize("known", [CAMVID, CITYSCAPES])
def test_known_names_bring_their_colours(known):
    assert label_set(len(known), known.names) == known


def test_any_number_of_classes_has_colours():
    many = label_set(1000)
    assert len(many.palette) == 1000
    assert voc_colour(IGNORE) not in many.palette


def test_names_and_colours_must_be_as_many_as_classes():
    with pytest.raises(ConfigurationError, match="2 class names for 3 classes"):
        label_set(3, ("a", "b"))
    with pytest.raises(ConfigurationError, match="2 class names but 1 colours"):
        LabelSet(("a", "b"), ((0, 0, 0),))
