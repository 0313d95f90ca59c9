"""A fresh VideoModel is the network, bit by bit; a removed one never was."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from model.tiny import PLAIN, Pan, frozen_copy, hooks_on, rough_flow, same_state, set_weights, tiny
from netwarp import NetWarpError, VideoModel
from netwarp.model import FlowCNN, PhotometricGate, Preprocess

LAYERS = [["stem"], ["act"], ["mid"], ["stem", "mid"], ["head"], ["output"], ["log_probs"], ["mid", "output"], []]


def logits_alone(net, frame, preprocess=PLAIN):
    """What the network says of a frame, by its own forward and plain resizing."""
    unit = frame.float() / 255 if frame.dtype == torch.uint8 else frame
    h, w = frame.shape[-2:]
    resized = preprocess.size or (h, w)
    x = preprocess(unit).to(next(net.parameters()).dtype)
    logits = net(x)
    logits = F.interpolate(logits, x.shape[-2:], mode="bilinear")[..., : resized[0], : resized[1]]
    return logits if resized == (h, w) else F.interpolate(logits, (h, w), mode="bilinear")


def assert_neutral(model, net, frames, preprocess=PLAIN):
    state = None
    with torch.no_grad():
        for previous, current in zip([frames[0], *frames], frames, strict=False):
            alone = logits_alone(net, current, preprocess)
            logits, state = model.step(current, state)
            assert torch.equal(logits, alone)
            assert torch.equal(model(current, previous, rough_flow(len(current), *current.shape[-2:])), alone)


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_a_fresh_model_is_the_network_bitwise(layers, memory, pictures):
    net = tiny()
    model = VideoModel(net, layers, flow=Pan(), memory=memory, preprocess=PLAIN, gate=PhotometricGate())
    frames = pictures(3)
    assert_neutral(model, tiny(), frames)
    assert logits_alone(net, frames[0]).std() > 0.1


@pytest.mark.parametrize("layers", [["mid"], ["output"], ["log_probs"]], ids=str)
@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(),
        Preprocess((100, 110, 120), (1, 1, 1), 255.0, "bgr"),
        Preprocess(divisor=16),
        Preprocess(size=(24, 40)),
        Preprocess(size=(21, 37), divisor=8),
    ],
    ids=["imagenet", "caffe", "padded", "resized", "resized and padded"],
)
def test_whatever_the_preprocessing(layers, preprocess, pictures):
    model = VideoModel(tiny(), layers, flow=Pan(), preprocess=preprocess, gate=PhotometricGate())
    assert_neutral(model, tiny(), pictures(3, 30, 45), preprocess)


@pytest.mark.parametrize("layers", [["mid"], ["output"], ["log_probs"]], ids=str)
def test_floating_point_frames_and_batches(layers, pictures):
    model = VideoModel(tiny(), layers, flow=Pan(), preprocess=PLAIN)
    assert_neutral(model, tiny(), [f.float() / 255 for f in pictures(3, batch=3)])


@pytest.mark.parametrize("layers", [["mid"], ["stem", "output"], ["log_probs"]], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_of_another_precision(layers, dtype, pictures):
    model = VideoModel(tiny().to(dtype), layers, flow=Pan(), preprocess=PLAIN)
    assert_neutral(model, tiny().to(dtype), pictures(3))
    assert model.step(pictures(1)[0])[0].dtype == dtype


@pytest.mark.parametrize("layers", [["mid"], ["output"]], ids=str)
def test_channels_last_networks(layers, pictures):
    net = tiny().to(memory_format=torch.channels_last)
    model = VideoModel(net, layers, flow=Pan(), preprocess=PLAIN)
    frames = [f.contiguous(memory_format=torch.channels_last) for f in pictures(3)]
    assert_neutral(model, tiny().to(memory_format=torch.channels_last), frames)


@pytest.mark.parametrize("returns", ["dict", "object"])
def test_whatever_the_network_returns(returns, pictures):
    model = VideoModel(tiny(returns=returns), ["mid", "output"], flow=Pan(), preprocess=PLAIN)
    assert_neutral(model, tiny(), pictures(3))


def test_numpy_frames(pictures):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)
    first, second = pictures(2)
    state, numpy_state = None, None
    set_weights(model)
    for frame in (first, second):
        logits, state = model.step(frame, state)
        numpy_logits, numpy_state = model.step(frame[0].permute(1, 2, 0).numpy(), numpy_state)
        assert torch.equal(logits, numpy_logits)


def test_log_probs_of_a_combined_frame_are_log_probabilities_but_for_a_constant(pictures):
    model = VideoModel(tiny(), ["log_probs"], flow=Pan(0), flow_cnn=None, start=(0.5, 0.5), preprocess=PLAIN)
    first, second = pictures(2)
    # The logits are compared at the network's own size, where they were summed.
    model.preprocess = PLAIN
    net = tiny()
    with torch.no_grad():
        logits, _ = model.step(second, model.step(first)[1])
        p, q = (net(f.float() / 255).log_softmax(1) for f in (first, second))
        expected = F.interpolate((p + q) / 2, (32, 48), mode="bilinear").softmax(1)
    # Resizing is linear, and so is the constant that a softmax takes off again.
    torch.testing.assert_close(logits.softmax(1), expected)


def test_training_mode_is_neutral_too(pictures):
    net, other = tiny(), tiny()
    model = VideoModel(net.train(), ["mid"], flow=Pan(), preprocess=PLAIN)
    net.norm.eval(), net.drop.eval()
    assert model.training
    assert torch.equal(model(*pictures(2)), logits_alone(other, pictures(2)[0]))


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_building_changes_nothing_in_the_network(layers):
    net = tiny().train()
    net.mid.eval()
    before, attributes, kind = frozen_copy(net), set(vars(net)), type(net)
    modes, grads = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    random = torch.get_rng_state()
    model = VideoModel(net, layers, flow_cnn=None, preprocess=PLAIN)
    assert same_state(net, before)
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == grads
    assert torch.equal(torch.get_rng_state(), random)
    assert set(vars(net)) == attributes
    assert type(net) is kind
    assert model.base is net


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_remove_is_exact(layers, pictures):
    net = tiny()
    before, attributes = frozen_copy(net), {k: id(v) for k, v in vars(net).items()}
    frames = pictures(3)
    with torch.no_grad():
        alone = [net(PLAIN(f.float() / 255)) for f in frames]
        model = VideoModel(net, layers, flow=Pan(), preprocess=PLAIN)
        set_weights(model)
        state = None
        for frame in frames:
            _, state = model.step(frame, state)
        model(frames[1], frames[0])
        assert model.remove() is net
        assert hooks_on(net) == 0
        assert {k: id(v) for k, v in vars(net).items()} == attributes
        assert same_state(net, before)
        assert all(torch.equal(net(PLAIN(f.float() / 255)), a) for f, a in zip(frames, alone, strict=True))
        assert model.remove() is net  # twice does no harm


def test_a_removed_model_says_so(pictures):
    model = VideoModel(tiny(), ["mid"], preprocess=PLAIN)
    model.remove()
    for call in (lambda: model.step(pictures(1)[0]), lambda: model(*pictures(2))):
        with pytest.raises(NetWarpError, match="removed"):
            call()


def test_the_network_itself_stays_what_it_is_while_a_model_holds_it(pictures):
    net = tiny()
    x = pictures(1)[0].float() / 255
    with torch.no_grad():
        alone = net(x)
        model = VideoModel(net, ["mid"], flow=Pan(), preprocess=PLAIN)
        set_weights(model)
        model.step(x)
        assert torch.equal(net(x), alone)


def test_a_copy_of_the_network_carries_no_working_hooks(pictures):
    net = tiny()
    model = VideoModel(net, ["mid"], flow=Pan(), preprocess=PLAIN)
    set_weights(model)
    twin = copy.deepcopy(net)
    x = pictures(1)[0].float() / 255
    assert torch.equal(twin(x), net(x))


def test_training_free():
    net = tiny()
    model = VideoModel(net, training_free=True, preprocess=PLAIN)
    assert model.layers == ("log_probs",)
    assert model.memory == "fused"
    assert model.flow_cnn is None
    assert model.training_free
    assert not any(p.requires_grad for p in model.netwarps.parameters())
    assert all(p.requires_grad for p in net.parameters())
    (netwarp,) = model.netwarps
    assert (netwarp.w2 > 0).all()
    torch.testing.assert_close(netwarp.w1 + netwarp.w2, torch.ones(5))  # a still video keeps its logits
    chosen = VideoModel(net, ["mid"], training_free=True, memory="previous", start=(0.8, 0.2), preprocess=PLAIN)
    assert chosen.layers == ("mid",)
    assert chosen.memory == "previous"
    assert chosen.netwarps[0].w2.unique().item() == pytest.approx(0.2)


@pytest.mark.parametrize("memory", ["fused", "previous"])
def test_training_free_has_the_probabilities_of_sums_of_log_probabilities(memory, pictures):
    """Whether or not log-probabilities are made on the way."""
    free, by_name = (VideoModel(tiny(), training_free=True, memory=memory, flow=Pan(), preprocess=PLAIN) for _ in "ab")
    by_name.training_free = False
    state = other = None
    with torch.no_grad():
        for frame in pictures(5):
            logits, state = free.step(frame, state)
            expected, other = by_name.step(frame, other)
            torch.testing.assert_close(logits.softmax(1), expected.softmax(1))
    assert not torch.allclose(state.memory[0], other.memory[0])  # else there were two of one kind


def test_training_free_keeps_the_labels_of_a_still_video(pictures):
    model = VideoModel(tiny(), training_free=True, flow="zero", preprocess=PLAIN)
    frame, state = pictures(1)[0], None
    for _ in range(5):
        logits, state = model.step(frame, state)
        assert torch.equal(logits.argmax(1), logits_alone(tiny(), frame).argmax(1))


def test_one_flow_cnn_serves_all_layers():
    cnn = FlowCNN(stride=2)
    model = VideoModel(tiny(), ["stem", "mid", "output"], flow_cnn=cnn, preprocess=PLAIN)
    assert model.flow_cnn is cnn
    assert [n.w1.numel() for n in model.netwarps] == [8, 6, 5]
    own = {name for name, _ in model.named_parameters() if not name.startswith("base.")}
    assert own == {f"netwarps.{i}.{w}" for i in range(3) for w in ("w1", "w2")} | {
        f"flow_cnn.conv{i}.{p}" for i in range(1, 5) for p in ("weight", "bias")
    }
