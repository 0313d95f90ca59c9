"""Networks that were compiled, scripted or traced: their outputs get a memory as any network's do."""

import copy

import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, count_calls, set_weights, stream, tiny
from netwarp import VideoModel
from netwarp.errors import ConfigurationError


def compiled_in_place(net: nn.Module) -> nn.Module:
    net.compile(backend="eager")
    return net


FORMS = {
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled in place": compiled_in_place,
    "traced": lambda net: torch.jit.trace(net, torch.rand(1, 3, 16, 24), check_trace=False),
    "frozen": lambda net: torch.jit.freeze(torch.jit.trace(net.eval(), torch.rand(1, 3, 16, 24), check_trace=False)),
    "exported": lambda net: torch.export.export(
        net.eval(), (torch.rand(1, 3, 16, 24),), dynamic_shapes=({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    ).module(),
    "traced in part": lambda net: nn.Sequential(torch.jit.trace(net, torch.rand(1, 3, 16, 24)), nn.Identity()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_contract(form):
    plain = tiny()
    net = FORMS[form](copy.deepcopy(plain).eval())
    frames = [torch.rand(1, 3, 16, 24) for _ in range(3)]
    model = VideoModel(net, ["output"], Pan(), None, preprocess=PLAIN)
    reference = VideoModel(plain, ["output"], Pan(), None, preprocess=PLAIN)
    assert model.grids == reference.grids
    alone = stream(reference, frames)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stream(model, frames), alone, strict=True))
    set_weights(model)
    logits = stream(model, frames)
    with torch.no_grad():
        assert torch.equal(logits[2], model(frames[2], frames[1]))
        key, state = model.step(frames[0])
        carried, _ = model.step(frames[1], state, torch.zeros(1, 2, 16, 24), keyframe=False)
        assert torch.equal(carried, key)
        assert model.remove() is net
        assert torch.equal(net(frames[0]), plain(frames[0]))


def test_parts_beside_an_exported_one_change_their_mode():
    net = nn.Sequential(FORMS["exported"](tiny()), nn.Dropout())
    model = VideoModel(net, training_free=True, preprocess=PLAIN)
    assert net[1].training
    assert not model.eval().base[1].training
    assert model.train().base[1].training
    net.requires_grad_(False)
    assert not model.train().base[1].training


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_network_gets_the_mode_without_training():
    net = torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))).eval()
    frame = torch.rand(1, 3, 24, 32)
    logits, _ = VideoModel(net, training_free=True, preprocess=PLAIN).step(frame)
    assert torch.equal(logits, net(frame))


def test_a_compiled_network_stays_compiled():
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    net = torch.compile(tiny(), backend=backend)
    model = VideoModel(net, training_free=True, preprocess=PLAIN)
    assert not traced
    model.step(torch.rand(1, 3, 16, 24))
    assert traced


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("form", "layer", "says"),
    [
        ("compiled", "_orig_mod.mid", "compiled"),
        ("compiled in place", "mid", "compiled"),
        ("traced", "mid", "scripted"),
    ],
)
def test_their_inner_layers_hold_no_netwarp(form, layer, says):
    with pytest.raises(ConfigurationError, match=says):
        VideoModel(FORMS[form](tiny()).eval(), [layer], preprocess=PLAIN)


def test_a_network_of_other_channels_is_not_told_to_take_another_size():
    calls = count_calls(gray := nn.Sequential(nn.Conv2d(1, 4, 1)))
    with pytest.raises(ConfigurationError, match="takes 1 channels, but a frame has 3"):
        VideoModel(gray, training_free=True)
    assert not calls
