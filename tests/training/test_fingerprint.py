"""Which trainings are the same, and what tells others apart."""

import copy
import dataclasses

import pytest
import torch

from netwarp.training import Rates, TrainSettings
from netwarp.training.checkpoint import difference, fingerprint
from training.toy import clips, small_model

BASIS = {
    "model": small_model,
    "settings": TrainSettings(),
    "samples": clips().samples(),
    "unlabelled": (),
    "validation": None,
    "caller": {"base": "netwarp:espnet"},
}


def marks(**changed):
    values = BASIS | changed
    model = values.pop("model")()
    model.base.requires_grad_(False)
    return fingerprint(model, *values.values())


def other_base():
    model = small_model()
    with torch.no_grad():
        model.base.head.weight.view(-1)[3] += 1e-6
    return model


def other_netwarps():
    model = small_model()
    with torch.no_grad():
        model.netwarps[0].w1 += 1
    return model


def test_the_same_is_the_same_whatever_the_weights_that_are_trained():
    assert difference(marks(), marks()) is None
    assert difference(marks(), marks(model=other_netwarps)) is None
    how = TrainSettings(checkpoint_every=7, workers=3, tensorboard=True, accelerator="cpu")
    assert difference(marks(), marks(settings=how)) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"settings": TrainSettings(steps=7)}, "training.steps was 1000 and is 7"),
        ({"settings": TrainSettings(train_base=("head",))}, 'training.train_base was null and is ["head"]'),
        ({"caller": {"base": "netwarp:streetnet"}}, 'base was "netwarp:espnet" and is "netwarp:streetnet"'),
        ({"samples": clips().samples()[1:]}, "data.clips differ"),
        ({"samples": clips().samples(3)}, "data.clips differ"),
        ({"validation": clips()}, "data.validation clips differ"),
        ({"model": other_base}, "model.frozen weights differ"),
        ({"model": lambda: small_model(layers=("output",))}, 'model.layers was ["encoder"] and is ["output"]'),
        ({"model": lambda: small_model(memory="fused")}, 'model.memory was "previous" and is "fused"'),
    ],
)
def test_what_differs_is_named(changed, said):
    assert difference(marks(), marks(**changed)) == said


def test_every_setting_that_decides_is_in_it():
    ours = marks()["training"]
    assert ours.keys() == TrainSettings().deciding().keys()
    for name in ours:
        changed = copy.deepcopy(marks())
        changed["training"][name] = "something else"
        said = difference(marks(), changed)
        assert said is None if name in ("rate", "rates", "clip_gradient") else name in said
    assert dataclasses.asdict(TrainSettings()).keys() > ours.keys()


def test_a_rate_that_was_too_high_may_be_lowered():
    lower = TrainSettings(rate=1e-5, rates=Rates(netwarps=1e-4), clip_gradient=1.0)
    assert difference(marks(), marks(settings=lower)) is None
