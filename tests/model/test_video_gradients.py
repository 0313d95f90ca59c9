"""Gradients through both frames, the features, the flow and the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from model.by_hand import ByHand
from model.tiny import PLAIN, Pan, rough_flow, tiny, video
from netwarp import VideoModel
from netwarp.errors import ConfigurationError


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
    with pytest.raises(ConfigurationError, match="gradient checkpointing"):
        model(current, previous)
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


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("layers", [["mid"], ["stem", "output"], ["log_probs"]])
def test_a_stream_in_evaluation_mode_holds_no_graph(layers, memory, pictures):
    model, state = video(layers, memory=memory), None
    for frame in frames_of(pictures, 3):
        logits, state = model.step(frame, state)
        assert logits.requires_grad  # nobody said no_grad
        assert not state.frame.requires_grad
        assert not any(kept.requires_grad for kept in state.memory)
