"""Attributes of the names that netwarp looks for may mean something else in a foreign network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, hooks_on, tiny
from netwarp import VideoModel
from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID
from netwarp.model import Preprocess


def video(net, **options):
    return VideoModel(net, ["mid"], flow=Pan(), **options)


def test_names_colours_and_preprocessing_are_taken():
    net = tiny()
    net.classes, net.palette = list("abcde"), [[i, i, i] for i in range(5)]
    net.preprocess = Preprocess((0.5,) * 3, (0.5,) * 3)
    model = video(net)
    assert model.classes == ("a", "b", "c", "d", "e")
    assert model.palette == tuple((i, i, i) for i in range(5))
    assert model.preprocess == net.preprocess


def test_a_list_of_known_names_brings_its_colours():
    net = tiny(classes=11)
    net.classes = list(CAMVID.names)
    assert video(net).palette == CAMVID.palette


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", 5),
        ("classes", [0, 1, 2]),
        ("classes", torch.zeros(5)),
        ("classes", nn.Linear(2, 2)),
        ("palette", lambda: 3),
        ("palette", "viridis"),
        ("preprocess", lambda x: x / 255),
        ("preprocess", True),
    ],
)
def test_anything_else_by_these_names_is_left_alone(name, value):
    net = tiny()
    setattr(net, name, value)
    model = video(net)
    assert model.classes[0] == "class 0"
    assert model.palette[1] == (128, 0, 0)
    assert model.preprocess == Preprocess()


def test_what_is_said_goes_before_what_is_carried():
    net = tiny()
    net.classes, net.preprocess, net.palette = list("abcde"), Preprocess(divisor=8), [(0, 0, 0)] * 5
    model = video(net, classes=list("vwxyz"), preprocess=PLAIN, palette=np.full((5, 3), 7, np.uint8))
    assert model.classes == ("v", "w", "x", "y", "z")
    assert model.preprocess == PLAIN
    assert model.palette == ((7, 7, 7),) * 5


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("classes", ["a", "b"], "2 class names for 5"),
        ("palette", [(1, 2, 3)] * 4, "4 colours for 5"),
        ("palette", [(1, 2, 300)] * 5, "0–255"),
        ("palette", [(1, 2)] * 5, "RGB"),
        ("palette", ["red"] * 5, "RGB"),
        ("palette", [1] * 5, "RGB"),
    ],
)
def test_wrong_names_and_colours_are_refused_whoever_says_them(name, value, says):
    net = tiny()
    with pytest.raises(ConfigurationError, match=says):
        video(net, **{name: value})
    setattr(net, name, value)
    with pytest.raises(ConfigurationError, match=says) as caught:
        video(net)
    assert "\n" not in str(caught.value)
    assert hooks_on(net) == 0
