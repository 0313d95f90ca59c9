"""Gradients: of a pair against two branches by hand, and of a clip against the stream that it is."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as run_again

from model.by_hand import by_hand
from model.tiny import count_calls, frozen_copy, rough_flow, stream, tiny, video
from netwarp.errors import ConfigurationError, InputError

PLACES = [["stem"], ["mid"], ["output"], ["log_probs"], ["stem", "mid"], ["act", "mid", "log_probs"], []]


def clip(frames=4, batch=2, h=16, w=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flows = torch.stack([rough_flow(batch, h, w, seed=i) for i in range(frames - 1)], 1) if frames > 1 else None
    return torch.randint(0, 256, (batch, frames, 3, h, w), dtype=torch.uint8, generator=generator), flows


def steps(model, frames, flows, **options):
    return stream(model, frames.unbind(1), [None, *(() if flows is None else flows.unbind(1))], **options)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(own, theirs, *, exactly=False):
    assert own.keys() == theirs.keys()
    for name, gradient in theirs.items():
        scale = 0.0 if exactly else 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(own[name], gradient, rtol=0 if exactly else 1e-4, atol=scale, msg=name)


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("layers", PLACES, ids=str)
class TestIsTheStream:
    @pytest.mark.parametrize("count", [1, 4])
    def test_bitwise(self, layers, memory, count):
        model = video(layers, memory=memory)
        frames, flows = clip(count)
        expected = steps(model, frames, flows)
        assert torch.equal(model.unroll(frames, flows), expected[-1])
        assert all(map(torch.equal, model.unroll(frames, flows, every=True), expected))

    def test_gradients_through_time(self, layers, memory):
        model = video(layers, memory=memory).train()
        model.base.eval()  # batch norm and dropout as they are; the stream of a model in training keeps its graph
        frames, flows = clip()
        own = gradients(model, model.unroll(frames, flows).square().sum())
        assert_same_gradients(own, gradients(model, steps(model, frames, flows, graph=True)[-1].square().sum()))


def test_flow_is_estimated_where_it_is_not_given():
    model = video(["mid"], memory="fused")
    frames, _ = clip()
    flows = torch.stack([model.estimate_flow(frames[:, i + 1], frames[:, i]) for i in range(3)], 1)
    model.flow.calls = 0
    assert torch.equal(model.unroll(frames), model.unroll(frames, flows))
    assert model.flow.calls == 3


@pytest.mark.parametrize(
    ("options", "stem", "head"),
    [
        ({"layers": ["mid"]}, 2, 1),  # its own representation of the frame before is all that one looks at
        ({"layers": ["mid"], "memory": "fused"}, 4, 1),
        ({"layers": ["stem", "mid"]}, 4, 1),
        ({"layers": ["log_probs"]}, 2, 2),
        ({"layers": []}, 1, 1),
    ],
)
def test_what_no_result_depends_on_does_not_run(options, stem, head):
    net = tiny()
    calls = count_calls(net)
    model, (frames, flows) = video(net=net, **options), clip()
    calls.clear()
    model.unroll(frames, flows)
    assert (calls["stem"], calls["head"]) == (stem, head)
    calls.clear()
    model.unroll(frames, flows, every=True)
    assert (calls["stem"], calls["head"]) == (4, 4)


class TestDetached:
    @pytest.mark.parametrize("memory", ["previous", "fused"])
    def test_the_past_is_the_same_and_gets_no_gradient(self, memory):
        model = video(["stem", "mid"], memory=memory)
        frames, flows = clip()
        whole, cut = model.unroll(frames, flows), model.unroll(frames, flows, detach=True)
        assert torch.equal(whole, cut)
        own = gradients(model, cut.square().sum())
        state = None
        with torch.no_grad():
            for i in range(3):
                _, state = model.step(frames[:, i], state, flows[:, i - 1] if i else None)
        last = model.step(frames[:, 3], state, flows[:, 2])[0]
        assert_same_gradients(own, gradients(model, last.square().sum()))
        assert not torch.equal(own["base.stem.weight"], gradients(model, whole.square().sum())["base.stem.weight"])

    def test_of_every_frame_each_gets_its_own(self):
        model = video(["mid"], memory="fused")
        frames, flows = clip()
        own = gradients(model, sum(x.square().sum() for x in model.unroll(frames, flows, every=True, detach=True)))
        stepwise = steps(model, frames, flows, graph=True)  # which detaches in evaluation
        assert_same_gradients(own, gradients(model, sum(x.square().sum() for x in stepwise)))


class TestCheckpointed:
    """The base is in training here: its dropout draws, its batch norm counts."""

    @pytest.mark.parametrize(("memory", "every"), [("previous", True), ("fused", False)])
    @pytest.mark.parametrize("layers", PLACES, ids=str)
    def test_logits_gradients_and_statistics_are_the_same(self, layers, memory, every):
        frames, flows = clip()
        seen = []
        for checkpoint in (False, True):
            model = video(layers, memory=memory).train()
            torch.manual_seed(7)
            logits = model.unroll(frames, flows, checkpoint=checkpoint, every=every)
            logits = torch.cat(logits) if every else logits
            own = gradients(model, logits.square().sum())
            seen.append((logits.detach(), own, frozen_copy(model), torch.rand(3)))
        (plain, theirs, state, drawn), (again, own, other, then) = seen
        assert torch.equal(again, plain)
        assert_same_gradients(own, theirs, exactly=True)
        for name, value in state.items():
            assert torch.equal(other[name], value), name
        assert torch.equal(then, drawn)  # the random numbers go on as if nothing had been computed again

    def test_a_second_backward_pass(self):
        model = video(["mid"], memory="fused").train()
        frames, flows = clip()
        loss = model.unroll(frames, flows, checkpoint=True).square().sum()
        first = torch.autograd.grad(loss, model.base.stem.weight, retain_graph=True)[0]
        assert torch.equal(first, torch.autograd.grad(loss, model.base.stem.weight)[0])
        assert model.base.norm.momentum == 0.1
        assert int(model.base.norm.num_batches_tracked) == 4

    def test_memory_hardly_grows_with_the_clip(self):
        """What autograd keeps from the forward pass, in bytes."""

        def kept(count, checkpoint):
            model = video(["head"], memory="fused", flow_cnn=None).train()
            frames, flows = clip(count, h=32, w=48)
            sizes = {}

            def note(tensor):
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                logits = model.unroll(frames, flows, checkpoint=checkpoint)
            assert logits.requires_grad
            return sum(sizes.values())

        long, longer = kept(2, False), kept(8, False)
        short, shorter = kept(2, True), kept(8, True)
        assert (shorter - short) < 0.1 * (longer - long)

    def test_without_gradients_nothing_is_computed_again(self):
        model = video(["mid"], memory="fused")
        frames, flows = clip()
        with torch.no_grad():
            assert torch.equal(model.unroll(frames, flows, checkpoint=True), model.unroll(frames, flows))
        cut = model.unroll(frames, flows, checkpoint=True, detach=True)
        assert torch.equal(cut, model.unroll(frames, flows))


def test_reaches_flows_and_frames():
    model = video(["mid"], memory="fused")
    frames, flows = clip()
    frames, flows = (frames.float() / 255).requires_grad_(), (flows + 0.3).requires_grad_()
    model.unroll(frames, flows, checkpoint=True).square().sum().backward()
    assert all(frames.grad[:, i].any() for i in range(4))
    assert all(flows.grad[:, i].any() for i in range(3))


@pytest.mark.parametrize(
    ("frames", "flows", "says"),
    [
        (torch.zeros(3, 16, 24), None, r"\[B,T,3,H,W\]"),
        (torch.zeros(1, 0, 3, 16, 24), None, "oldest frame first"),
        (torch.zeros(1, 3, 2, 16, 24), None, r"\[B,T,3,H,W\]"),
        ([torch.zeros(1, 3, 16, 24)] * 2, None, "not list"),
        (torch.zeros(1, 2, 3, 16, 24), torch.zeros(1, 2, 2, 16, 24), r"must be \[1, 1, 2, 16, 24\]"),
        (torch.zeros(1, 2, 3, 16, 24), torch.zeros(1, 2, 16, 24), r"must be \[1, 1, 2, 16, 24\]"),
        (torch.zeros(1, 2, 3, 16, 24), [None], "not list"),
        (torch.zeros(1, 2, 3, 16, 24), torch.zeros(1, 1, 2, 16, 24, dtype=torch.int32), "floating point"),
    ],
)
def test_what_is_no_clip(frames, flows, says):
    model = video(["mid"])
    with pytest.raises(InputError, match=says):
        model.unroll(frames, flows)


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

        middle = run_again(first_half, x, use_reentrant=self.reentrant)
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
        run_again(whole, current, previous, use_reentrant=False),
    )
    for each in logits:
        each.square().sum().backward()
    for theirs, *own in zip(plain.parameters(), inner.parameters(), whole.parameters(), strict=True):
        assert theirs.grad.any()
        for parameter in own:
            torch.testing.assert_close(parameter.grad, theirs.grad)


def test_all_learn_from_a_fresh_start(pictures):
    model = video(weights=None)
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
