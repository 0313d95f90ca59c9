"""Which modules return the same whenever they see the same frame."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bases.networks import build
from model.tiny import tiny
from netwarp.model.outputs import Hooks
from netwarp.model.replay.settled import Settled, Watch, condition_of, is_opaque


def replayable(network):
    settled = Settled(list(network.modules()))
    return {name for name, module in network.named_modules() if module in settled.replayable}


def block():
    """Two convolutions with batch norm, one after the other."""
    part = lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))  # noqa: E731
    return nn.Sequential(part(), part()).eval().requires_grad_(False)


ALL = {"", "0", "0.0", "0.1", "1", "1.0", "1.1"}


def test_all_that_is_frozen():
    assert replayable(block()) == ALL


def test_nothing_in_which_something_is_trained():
    network = block()
    network[1][0].bias.requires_grad_(True)
    assert replayable(network) == ALL - {"", "1", "1.0"}


def test_nothing_that_gathers_statistics():
    network = block()
    network[0][1].train()
    assert replayable(network) == ALL - {"", "0", "0.1"}


def test_nothing_that_takes_statistics_of_the_batch():
    network = block()
    network[0][1] = nn.BatchNorm2d(3, track_running_stats=False).eval()
    assert replayable(network) == ALL - {"", "0", "0.1"}


def test_a_module_that_only_holds_others_may_be_in_training_mode():
    network = block()
    network.register_buffer("mean", torch.zeros(3))
    network.training = True
    assert replayable(network) == ALL


def test_what_is_tapped_but_nothing_around_it():
    network = block()
    taps = Hooks(network, ["0"])
    settled = Settled(list(network.modules()))
    assert settled.tapped == {network[0]}
    assert not settled.watched
    assert replayable(network) == ALL - {""}
    taps.remove()
    assert replayable(network) == ALL


def test_hooks_of_others_are_seen():
    network = block()
    network[0].register_forward_hook(lambda *_: None)
    network[1][1].register_forward_pre_hook(lambda *_: None)
    assert Settled(list(network.modules())).watched == {network[0], network[1][1]}


def test_a_model_of_transformers_keeps_its_own_hooks_inside():
    network = build("hf:segformer").requires_grad_(False)
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 96), output_hidden_states=True)
    stages = [m for name, m in network.named_modules() if name in ("segformer.stages.0", "segformer.stages.1")]
    assert all(stage._forward_hooks for stage in stages)
    settled = Settled(list(network.modules()))
    assert not settled.watched
    assert {network, network.segformer} <= settled.replayable
    assert not settled.replayable & set(stages)  # it has hooks inside, and somebody above may listen


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.drop.train(),
        lambda net: net.mid.requires_grad_(False),
        lambda net: net.mid.bias.requires_grad_(False),
        lambda net: net.mid.register_forward_hook(print),
        lambda net: net.mid.register_forward_pre_hook(print),
    ],
)
def test_conditions_tell_all_this_apart(change):
    net = tiny()
    before = condition_of(list(net.modules()))
    assert condition_of(list(net.modules())) == before
    change(net)
    assert condition_of(list(net.modules())) != before


def test_compiled_modules_are_opaque():
    net = tiny()
    assert not is_opaque(net)
    assert is_opaque(torch.compile(net, backend="eager"))
    net.compile(backend="eager")
    assert is_opaque(net)


class TestWatch:
    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors: tensors[0].add_(1),
            lambda tensors: tensors[0].view(-1)[3:].zero_(),
            lambda tensors: tensors.reverse(),
            lambda tensors: tensors.pop(),
            lambda tensors: setattr(tensors[1], "data", tensors[1].data * 2),
            lambda tensors: tensors.__setitem__(1, torch.ones(3)),
        ],
    )
    def test_a_change_is_noticed_once(self, change):
        tensors = [torch.rand(2, 3), torch.rand(3)]
        watch = Watch()
        assert watch.changed(tensors)
        assert not watch.changed(tensors)
        change(tensors)
        assert watch.changed(tensors)
        assert not watch.changed(tensors)

    @pytest.mark.parametrize(
        "write",
        [
            lambda tensors: tensors[0].copy_(tensors[0].clone()),
            lambda tensors: tensors[0].add_(0),
            lambda tensors: tensors.__setitem__(1, tensors[1].clone()),
        ],
    )
    def test_writing_the_same_again_is_no_change(self, write):
        tensors = [torch.rand(2, 3), torch.rand(3)]
        watch = Watch()
        watch.changed(tensors)
        write(tensors)
        assert not watch.changed(tensors)

    def test_looking_anew(self):
        mean, variance = torch.zeros(3), torch.ones(3)
        watch = Watch()
        watch.changed([mean, variance])
        torch.batch_norm(torch.rand(2, 3), None, None, mean, variance, True, 0.1, 1e-5, False)
        watch.look_anew()
        assert watch.changed([mean, variance])
        watch.look_anew()
        assert not watch.changed([mean, variance])
