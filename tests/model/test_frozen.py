"""What is frozen rests: no dropout, no new statistics, whatever is called."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, frozen_copy, same_state, tiny
from netwarp import VideoModel


def video(net=None, **options):
    return VideoModel(net or tiny(), ["mid"], **{"flow": Pan(), "preprocess": PLAIN, **options})


def training(model):
    return {name for name, module in model.named_modules() if module.training}


class Outer(nn.Module):
    """Something of the user's with a video model in it, as a trainer has."""

    def __init__(self, model):
        super().__init__()
        self.model = model


@pytest.mark.parametrize("call", [lambda o: o.train(), lambda o: o.model.train(), lambda o: o.eval().train(True)])
def test_a_frozen_network_stays_in_evaluation_mode(call):
    model = video()
    model.base.requires_grad_(False)
    call(Outer(model))
    assert training(model) == {"", "netwarps", "netwarps.0", *(n for n, _ in model.named_modules() if "flow_cnn" in n)}


def test_and_its_batch_norm_counts_nothing(pictures):
    model = video()
    model.base.requires_grad_(False)
    before = frozen_copy(model.base)
    current, previous = pictures(2)
    first = model.train()(current, previous)
    first.sum().backward()
    assert same_state(model.base, before)
    assert torch.equal(model(current, previous), first)  # no dropout either


def test_a_network_that_is_trained_trains():
    model = video().train()
    assert training(model) == {name for name, _ in model.named_modules()}
    assert training(model.eval()) == set()


def test_of_a_network_frozen_in_part_the_frozen_part_rests():
    model = video()
    model.base.stem.requires_grad_(False)
    model.base.norm.requires_grad_(False)
    model.train()
    resting = {name for name, _ in model.base.named_modules()} - training(model.base)
    assert resting == {"stem", "norm"}


def test_a_frozen_block_rests_with_all_that_is_in_it():
    """Its dropout too, which has no parameters to freeze."""

    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Dropout())
            self.mid = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout())
            self.drop = nn.Dropout()

        def forward(self, x):
            return self.drop(self.mid(self.encoder(x)))

    model = video(Blocks())
    model.base.encoder.requires_grad_(False)
    model.train()
    assert training(model.base) == {"", "mid", "mid.0", "mid.1", "drop"}
    model.base.encoder.requires_grad_(True)
    assert training(model.train().base) == {name for name, _ in model.base.named_modules()}


def test_a_network_without_parameters_rests():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.cat((x, -x), 1)

    model = VideoModel(Fixed(), ["output"], flow=Pan(), preprocess=PLAIN).train()
    assert model.training
    assert not model.base.training


def test_a_new_model_changes_no_mode():
    net = tiny().requires_grad_(False).train()
    assert training(video(net).base) == {name for name, _ in net.named_modules()}
