"""What every network must get from a VideoModel, whoever wrote it: those of other libraries, and ours.

To put another one to the test, add it to ``tests/bases/networks.py``.
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from bases.networks import CLASSES, NETWORKS, build
from model.tiny import Pan, frozen_copy, hooks_on, same_state, set_weights, stream
from netwarp import VideoModel
from netwarp.model.answer import logits_of
from netwarp.model.outputs import output_grid, to_frame_size

PLACES = [(name, layer) for name, network in NETWORKS.items() for layer in network.layers]
every_place = pytest.mark.parametrize(("name", "layer"), PLACES, ids=[f"{n} at {p}" for n, p in PLACES])


@cache
def network(name: str) -> nn.Module:
    """Built once: that no test leaves a trace in it is part of what they check."""
    return build(name)


@cache
def clip(name: str) -> tuple[Tensor, ...]:
    """Three frames of a pan, as the network's users have them."""
    h, w = NETWORKS[name].size
    scene = torch.rand(1, 3, h // 4, w // 4 + 4, generator=torch.Generator().manual_seed(0))
    scene = torch.nn.functional.interpolate(scene, (h, w + 16), mode="bicubic").clamp(0, 1)
    return tuple((255 * scene[..., i : i + w]).to(torch.uint8) for i in (0, 4, 8))


@torch.no_grad()
def logits_alone(name: str, frame: Tensor) -> Tensor:
    """What the network says of a frame, without netwarp in between."""
    net, size = network(name), tuple(frame.shape[-2:])
    resized, padded = net.preprocess.grid(size)
    return to_frame_size(logits_of(net(net.preprocess(frame.float() / 255))), resized, padded, size, output_grid(net))


@cache
def alone(name: str) -> tuple[Tensor, ...]:
    return tuple(logits_alone(name, frame) for frame in clip(name))


def video(name: str, layer: str) -> VideoModel:
    torch.manual_seed(0)  # of the FlowCNN
    return VideoModel(network(name), [layer], flow=Pan(4), example_size=NETWORKS[name].size)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_worth_a_test(name):
    """Its signal is alive: it differs over space, and from frame to frame."""
    net, outputs = network(name), {"binary": 1, "multilabel": 3, "hf:depth_anything": 1}.get(name, CLASSES)
    assert not net.training
    assert len(net.classes) == len(net.palette) == outputs
    images = torch.rand(2, 3, *NETWORKS[name].size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = logits_of(net(net.preprocess(images)))
    assert logits.shape[:2] == (2, outputs)
    assert logits.std(dim=(2, 3)).mean() > 1e-2
    assert (logits[0] - logits[1]).abs().mean() > 1e-2


@every_place
def test_contract(name, layer):
    net, frames, said_alone = network(name), clip(name), alone(name)
    hooks = hooks_on(net)  # transformers hangs up some of its own
    before, attributes = frozen_copy(net), {key: id(value) for key, value in vars(net).items()}
    model = video(name, layer)
    assert list(net.state_dict()) == list(before)

    # Fresh, it is the network bitwise.
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stream(model, frames[:2]), said_alone, strict=False))
    with torch.no_grad():
        assert torch.equal(model(frames[1], frames[0]), said_alone[1])

    # With the past let in, a stream is its pairs bitwise, and the past has an effect.
    set_weights(model)
    logits = stream(model, frames)
    with torch.no_grad():
        assert torch.equal(logits[2], model(frames[2], frames[1]))
    assert logits[2].isfinite().all()
    assert (logits[2] - said_alone[2]).abs().max() > 1e-3 * said_alone[2].std()

    # The network itself goes on as it was, and nothing of the model stays behind.
    assert model.remove() is net
    assert torch.equal(logits_alone(name, frames[0]), said_alone[0])
    assert hooks_on(net) == hooks
    assert same_state(net, before)
    assert {key: id(value) for key, value in vars(net).items()} == attributes
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_previous_frames_pass_stops_at_the_netwarp(name):
    net, frames = network(name), clip(name)
    layer = NETWORKS[name].layers[0]
    ended: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ended.append(name))
        for name, module in net.named_modules()
        if name
    ]
    try:
        model = video(name, layer)
        ended.clear()
        with torch.no_grad():
            model(frames[1], frames[0])
        model.remove()
    finally:
        for handle in handles:
            handle.remove()
    # What ended before the layer did, and the layer, ran for both frames; all that follows ran for one.
    first = ended[: ended.index(layer) + 1]
    assert ended[len(first) : 2 * len(first)] == first
    assert ended.count(layer) == 2
    after = ended[2 * len(first) :]
    assert after
    whole = [*first, *after]
    assert [ended.count(n) - whole.count(n) for n in set(whole)] == [first.count(n) for n in set(whole)]


@pytest.mark.parametrize("name", NETWORKS)
def test_training_free(name):
    """Its place is the network's answer."""
    model = VideoModel(network(name), training_free=True, example_size=NETWORKS[name].size)
    frames = clip(name)
    logits = stream(model, frames)
    assert torch.equal(logits[0], alone(name)[0])
    with torch.no_grad():
        assert torch.equal(logits[1], model(frames[1], frames[0]))
    assert logits[2].isfinite().all()
    assert not torch.equal(logits[2], alone(name)[2])


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_the_network_through_both_frames(name):
    net = network(name)
    model = video(name, NETWORKS[name].layers[0])
    set_weights(model)
    current, previous = (f.float().div(255).requires_grad_() for f in clip(name)[1::-1])
    model(current, previous).square().mean().backward()
    assert current.grad.any()
    assert previous.grad.any()
    assert model.netwarps[0].w2.grad.any()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters())
    net.zero_grad()
    model.remove()
