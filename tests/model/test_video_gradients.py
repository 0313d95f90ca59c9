"""Gradients through both frames, the features, the flow and the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from model.by_hand import ByHand
from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import VideoModel
from netwarp.errors import ConfigurationError


def video(layers, net=None, **options):
    model = VideoModel(net or tiny(), layers, flow=Pan(), preprocess=PLAIN, **options)
    set_weights(model)
    return model


def by_hand(model, net):
    weights = {name: (n.w1, n.w2) for name, n in zip(model.layers, model.netwarps, strict=True)}
    return ByHand(net, weights, model.flow_cnn)


def frames_of(pictures, count=2):
    return [f.float() / 255 for f in pictures(count)]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layers", [["stem"], ["act"], ["mid"], ["output"], ["stem", "mid"]])
def test_equal_those_of_two_branches_by_hand(layers, inplace, pictures):
    model = video(layers, tiny(inplace=inplace))
    net = tiny()
    hand = by_hand(model, net)
    current, previous = frames_of(pictures)
    flow, target = rough_flow(1, 32, 48), torch.randn(1, 5, 32, 48)

    (model(current, previous, flow) * target).sum().backward()
    own = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    (hand.pair(current, previous, flow) * target).sum().backward()
    theirs = {f"base.{name}": p.grad for name, p in net.named_parameters()}
    theirs |= {name: p.grad for name, p in model.named_parameters() if not name.startswith("base.")}

    assert own.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert gradient.any(), name
        torch.testing.assert_close(own[name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()), msg=name)


class Checkpointed(nn.Module):
    """A network whose first half is run again in the backward pass instead of being kept."""

    def __init__(self, reentrant):
        super().__init__()
        self.net = tiny()
        self.reentrant = reentrant

    def forward(self, x):
        def first_half(x):
            return self.net.mid(self.net.norm(self.net.act(self.net.stem(x))))

        middle = checkpoint(first_half, x, use_reentrant=self.reentrant)
        return self.net.head(middle.relu())


@pytest.mark.filterwarnings("ignore:None of the inputs")  # of torch's older form, where the input is a plain frame
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_layer_inside_gradient_checkpointing_is_refused(reentrant, pictures):
    """Run again in the backward pass it would have no NetWarp, and the gradients would be wrong without a word."""
    model = video(["net.mid"], Checkpointed(reentrant), flow_cnn=None)
    current, previous = frames_of(pictures)
    with pytest.raises(ConfigurationError, match="gradient checkpointing") as caught:
        model(current, previous)
    assert "\n" not in str(caught.value)
    with torch.no_grad():  # nothing is run again
        assert torch.equal(model(current, previous), video(["mid"], flow_cnn=None)(current, previous))


def test_gradient_checkpointing_elsewhere_changes_nothing(pictures):
    """Around a block without a NetWarp, and around the whole model."""
    current, previous = frames_of(pictures)
    plain, inner, whole = (video([name], net, flow_cnn=None) for name, net in (
        ("head", tiny()), ("net.head", Checkpointed(False)), ("head", tiny()),
    ))  # fmt: skip
    logits = (
        plain(current, previous),
        inner(current, previous),
        checkpoint(whole, current, previous, use_reentrant=False),
    )
    for each in logits:
        each.square().sum().backward()
    for theirs, *own in zip(plain.parameters(), inner.parameters(), whole.parameters(), strict=True):
        assert theirs.grad.any()
        for parameter in own:
            torch.testing.assert_close(parameter.grad, theirs.grad)


def test_reach_the_network_through_the_previous_frame_alone(pictures):
    model = video(["mid"])
    with torch.no_grad():
        model.netwarps[0].w1.zero_()
    model(*frames_of(pictures)).sum().backward()
    assert model.base.stem.weight.grad.any()


def test_reach_the_flow_and_the_frames(pictures):
    model = video(["mid"])
    current, previous = (f.requires_grad_() for f in frames_of(pictures))
    flow = (rough_flow(1, 32, 48) + 0.3).requires_grad_()
    model(current, previous, flow).square().sum().backward()
    assert flow.grad.any()
    assert current.grad.any()
    assert previous.grad.any()


def test_equal_finite_differences_in_double_precision(pictures):
    torch.manual_seed(1)
    model = video(["mid"], tiny().double()).double()
    current, previous = (f[..., :4, :6].double().requires_grad_() for f in frames_of(pictures))
    flow = (torch.randint(-2, 3, (1, 2, 4, 6)) * 2 + 0.6 + 0.4 * torch.rand(1, 2, 4, 6)).double().requires_grad_()
    assert torch.autograd.gradcheck(model, (current, previous, flow), atol=1e-4)


def test_all_learn_from_a_fresh_start(pictures):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    current, previous = frames_of(pictures)
    for _ in range(2):  # the FlowCNN learns once w2 has left 0
        optimiser.zero_grad()
        model(current, previous).square().mean().backward()
        optimiser.step()
    assert model.netwarps[0].w1.grad.any()
    assert model.netwarps[0].w2.grad.any()
    assert all(p.grad.any() for p in model.flow_cnn.parameters())


def test_a_stream_in_training_mode_reaches_back(pictures):
    model = video(["mid"], memory="fused").train()
    model.base.norm.eval(), model.base.drop.eval()
    first, second = frames_of(pictures)
    first.requires_grad_()
    _, state = model.step(first)
    model.step(second, state)[0].sum().backward()
    assert first.grad.any()


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("layers", [["mid"], ["stem", "output"], ["log_probs"]])
def test_a_stream_in_evaluation_mode_holds_no_graph(layers, memory, pictures):
    model, state = video(layers, memory=memory), None
    for frame in frames_of(pictures, 3):
        logits, state = model.step(frame, state)
        assert logits.requires_grad  # nobody said no_grad
        assert not state.frame.requires_grad
        assert not any(kept.requires_grad for kept in state.memory)


def test_a_frozen_network_keeps_no_gradients_and_the_netwarps_learn(pictures):
    model = video(["mid"])
    model.base.requires_grad_(False)
    model(*frames_of(pictures)).sum().backward()
    assert all(p.grad is None for p in model.base.parameters())
    assert model.netwarps[0].w2.grad.any()
