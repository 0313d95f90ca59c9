"""Labels renumbered as a network has its classes."""

import numpy as np
import pytest

from netwarp.bases import load_base
from netwarp.datasets.class_order import doubts_about, in_order_of
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.errors import ConfigurationError
from netwarp.evaluation.evaluate import evaluate
from netwarp.label_sets import CAMVID, LabelSet
from netwarp.model import VideoModel
from netwarp.streets.labelled_clips import street_clips

COLOURS = LabelSet(("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
LABELS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)


def colours():
    image = np.zeros((2, 3, 3), np.uint8)
    frames = (ClipFrame("a", lambda: image), ClipFrame("b", lambda: image, labels=lambda: LABELS))
    return ClipData("colours", COLOURS, (Clip("clip", frames),))


def test_labels_and_names_and_colours_move_together():
    data = in_order_of(colours(), ["Blue", "red", "GREEN", "void"])
    assert data.classes == LabelSet(("blue", "red", "green"), ((0, 0, 255), (255, 0, 0), (0, 255, 0)))
    first, second = data.clips[0].frames
    assert first.labels is None
    assert second.labels().tolist() == [[1, 2, 0], [0, 255, 1]]
    assert second.labels().dtype == np.uint8
    for value in (0, 1, 2):  # a class keeps its name
        moved = int(second.labels()[value == LABELS][0])
        assert data.classes.names[moved] == COLOURS.names[value]


@pytest.mark.parametrize(
    "outputs",
    [
        ["red", "green", "blue"],
        ["red", "green", "blue", "void"],
        ["void", "blue", "green", "red"],  # an output of its own among them: numbers are all there is to go by
        ["red", "red", "blue"],
        ["class 0", "class 1", "class 2"],
        ["red", "green"],
        [],
    ],
)
def test_else_the_data_stay_as_they_are(outputs):
    data = colours()
    assert in_order_of(data, outputs) is data


def test_the_public_dilation_network_is_scored_by_name():
    """Yu and Koltun's order is not CamVid's; the IoU of each class is that counted by hand, name by name."""
    base = load_base("netwarp:dilation8@0.0625")
    assert set(base.classes) == set(CAMVID.names)
    assert base.classes != CAMVID.names
    original, model = street_clips("val", clips=1, frames=2, size=(24, 32)), VideoModel(base, [])
    said, truth = [], []
    for frame in original.clips[0].frames:
        logits, _ = model.step(frame.image())
        said += [base.classes[i] for i in logits.argmax(1).flatten().tolist()]
        truth += [CAMVID.names[i] for i in frame.labels().ravel().tolist()]
    data = in_order_of(original, base.classes)
    scores = evaluate({"row": model}, data)["row"]
    for name, found in zip(data.classes.names, scores["per_class"], strict=True):
        either = sum(name in pair for pair in zip(said, truth, strict=True))
        both = sum(pair == (name, name) for pair in zip(said, truth, strict=True))
        assert found == pytest.approx(100 * both / either) if either else np.isnan(found)


def test_doubts_are_said_where_names_differ():
    assert doubts_about(["Red", "green", "blue", "void"], colours()) is None
    assert doubts_about(["class 0", "class 1", "class 2"], colours()) is None
    doubts = doubts_about(["red", "tree", "sky"], colours())
    assert "2 of 3 classes have other names, such as 'tree' for 'green'" in doubts
    with pytest.raises(ConfigurationError, match="2 outputs, but colours has 3 classes"):
        doubts_about(["red", "green"], colours())
