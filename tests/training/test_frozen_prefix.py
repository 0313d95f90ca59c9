"""The cache of a frozen prefix changes no bit of a training, and runs what is frozen once a frame."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from torch import nn

from model.tiny import PLAIN, Pan, rough_flow, set_weights
from netwarp import VideoModel
from netwarp.model.video_model import rest_frozen
from netwarp.training.frozen_prefix import frozen_prefix
from training.drawn import Drawn, programs

NOTHING = "nothing of it is frozen before the first that is trained"


class Counted(nn.Conv2d):
    """Counts its own runs."""

    def __init__(self, inputs, outputs, kernel=3):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return super().forward(x)


class Net(nn.Module):
    """Three levels with connections past each other."""

    def __init__(self):
        super().__init__()
        self.stem = Counted(3, 4)
        self.low = nn.Sequential(Counted(4, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.deep = nn.Sequential(Counted(4, 4), nn.BatchNorm2d(4), nn.PReLU())
        self.mix = nn.Sequential(Counted(8, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.head = Counted(4, 5, 1)

    def forward(self, x):
        low = self.low(self.stem(x))
        deep = self.deep(F.avg_pool2d(low, 2))
        return self.head(self.mix(torch.cat([low, F.interpolate(deep, size=low.shape[-2:])], 1)))

    def runs(self):
        return {n: m.runs for n, m in self.named_modules() if isinstance(m, Counted)}


def net(trained=()):
    torch.manual_seed(0)
    network = Net().eval().requires_grad_(False)
    for name in trained:
        network.get_submodule(name).requires_grad_(True)
    return network


def frames(count=3, batch=1):
    return torch.rand(count, batch, 3, 12, 16, generator=torch.Generator().manual_seed(1)).unbind(0)


def video(network, layers, **options):
    torch.manual_seed(0)
    model = VideoModel(network, layers, **{"flow": Pan(), "preprocess": PLAIN, **options})
    set_weights(model)
    return model.train()


def train(model, cached, *, batch=1, call=None):
    """All that four rounds over two pairs give, bit by bit."""
    clip, flow = frames(batch=batch), rough_flow(batch, 12, 16)
    call = call or (lambda current, previous: model(current, previous, flow))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, 0.1)
    torch.manual_seed(2)
    results = []
    with frozen_prefix(model.base) if cached else torch.enable_grad() as prefix:
        for current, previous in 4 * [(clip[1], clip[0]), (clip[2], clip[1])]:
            optimiser.zero_grad()
            logits = call(current, previous)
            logits.square().mean().backward()
            results += [logits.detach().clone(), *(p.grad.clone() for p in parameters if p.grad is not None)]
            optimiser.step()
    return [*results, *(tensor.clone() for tensor in model.state_dict().values())], prefix


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(map(torch.equal, ours, theirs))


CASES = {
    "output": (["log_probs"], [], {"stem", "low.0", "deep.0", "mix.0", "head"}),
    "a layer": (["deep"], [], {"stem", "low.0", "deep.0"}),
    "inside a block": (["low.1"], [], {"stem", "low.0"}),
    "two layers": (["low", "deep"], [], {"stem", "low.0"}),
    "a trained head": (["log_probs"], ["head"], {"stem", "low.0", "deep.0", "mix.0"}),
    "a trained end": (["log_probs"], ["mix", "head"], {"stem", "low.0", "deep.0"}),
    "a trained middle": (["log_probs"], ["deep"], {"stem", "low.0"}),
    "both": (["deep"], ["mix", "head"], {"stem", "low.0", "deep.0"}),
}


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_a_training_is_the_same_bitwise(case, memory):
    layers, trained, cached = CASES[case]
    theirs, _ = train(video(net(trained), layers, memory=memory), False)
    model = video(net(trained), layers, memory=memory)
    before = model.base.runs()
    ours, prefix = train(model, True)
    assert prefix.declined is None
    assert_same(ours, theirs)
    # Three frames once each, three more runs to try the first; 8 or more without a cache.
    assert {name for name, runs in model.base.runs().items() if runs - before[name] <= 6} == cached


@pytest.mark.parametrize("options", [{"detach": True}, {"checkpoint": True}, {"every": True}], ids=str)
@pytest.mark.parametrize("trained", [[], ["deep", "mix"]], ids=str)
def test_clips_with_and_without_gradients_through_time(options, trained):
    clip, flows = torch.stack(frames(4), 1), torch.stack([rough_flow(1, 12, 16)] * 3, 1)

    def result(cached):
        model = video(net(trained), ["low", "log_probs"], memory="fused")

        def unroll(*_):
            logits = model.unroll(clip, flows, **options)
            return torch.cat(logits) if options.get("every") else logits

        return train(model, cached, call=unroll)

    assert_same(result(True)[0], result(False)[0])


def test_frames_of_a_batch_are_computed_one_by_one():
    theirs, _ = train(video(net(), ["deep"]), False, batch=3)
    ours, prefix = train(video(net(), ["deep"]), True, batch=3)
    assert (prefix.declined, prefix.frames) == (None, 9)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("trained", [["stem"], ["stem", "low", "deep", "mix", "head"]])
def test_a_network_that_is_trained_from_the_start_runs_whole(trained):
    theirs, _ = train(video(net(trained), ["deep"]), False)
    ours, prefix = train(video(net(trained), ["deep"]), True)
    assert prefix.declined == NOTHING
    assert_same(ours, theirs)


@pytest.mark.parametrize("change", ["weights", "dropout", "trained"])
def test_what_changes_is_computed_anew(change):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Conv2d(4, 5, 1)).eval().requires_grad_(False)
    (frame,) = frames(1)
    with frozen_prefix(network):
        before = network(frame)
        if change == "weights":
            network.load_state_dict({k: 2 * v for k, v in network.state_dict().items()})
        elif change == "dropout":
            network[1].train()
        else:
            network[0].requires_grad_(True)
        torch.manual_seed(0)
        after = network(frame)
    torch.manual_seed(0)
    assert torch.equal(after, network(frame))
    assert torch.equal(after, before) == (change == "trained")
    assert after.requires_grad == (change == "trained")


def test_a_budget_and_a_copy_and_no_trace():
    network, clip = net(), frames()
    own = [network(frame) for frame in clip]
    state = copy.deepcopy(network.__dict__), torch.get_rng_state()
    with frozen_prefix(network, budget=2 * own[0].nbytes) as prefix:
        for _ in range(2):
            assert_same([network(frame) for frame in clip], own)
        assert (prefix.frames, prefix.nbytes) == (2, 2 * own[0].nbytes)
        network(clip[0]).zero_()  # what is changed in place is a copy
        assert torch.equal(network(clip[0]), own[0])
    assert network.__dict__.keys() == state[0].keys()
    assert torch.equal(torch.get_rng_state(), state[1])
    assert all("forward" not in module.__dict__ for module in network.modules())


def test_a_forward_that_was_put_on_a_module_stays():
    network, (frame,) = net(), frames(1)
    plain = network.stem.forward
    network.stem.forward = patched = lambda x: 2 * plain(x)
    before = network(frame)
    with frozen_prefix(network):
        assert torch.equal(network(frame), before)
    assert vars(network.stem)["forward"] is patched
    assert torch.equal(network(frame), before)


def test_another_thread_runs_the_plain_network():
    network, (frame,) = net(), frames(1)
    with frozen_prefix(network) as prefix:
        thread = threading.Thread(target=network, args=(frame,))
        thread.start()
        thread.join()
        assert (prefix.frames, network.stem.runs) == (0, 1)


class Random(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        return x * self.count


class Remembering(nn.Module):
    last = None

    def forward(self, x):
        x, self.last = x + (0 if self.last is None else self.last.mean()), x
        return x


@pytest.mark.parametrize("module", [Random, Counting, Remembering])
def test_modules_whose_output_is_no_function_of_the_frame_are_found_out(module):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), module(), nn.Conv2d(4, 5, 1)).eval().requires_grad_(False)
    with frozen_prefix(network) as prefix:
        network(frames(1)[0])
    assert prefix.declined is not None
    assert prefix.frames == 0


def test_scripted_parts_run_as_they_are():
    network = nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 1)), nn.Conv2d(4, 5, 1)).eval()
    with frozen_prefix(network) as prefix:
        network(frames(1)[0])
        assert prefix.declined == "the network has compiled or scripted parts"


seen = {True: 0, False: 0}


def results_of(program, cached):
    torch.manual_seed(0)
    network = Drawn(program).train()
    rest_frozen(network)
    results = []
    torch.manual_seed(1)
    with frozen_prefix(network) if cached else torch.enable_grad() as prefix:
        for frame in 3 * [frame[..., :5, :6] for frame in frames(2)]:
            network.zero_grad()
            logits = network(frame)
            logits.square().mean().backward()
            results += [logits.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
        if cached:
            seen[prefix.declined is None] += 1
    return [*results, *(buffer.clone() for buffer in network.buffers())]


@settings(max_examples=60)
@given(programs)
def test_networks_drawn_at_random_give_the_same_bits(program):
    try:
        plain = results_of(program, cached=False)
    except RuntimeError:  # autograd refuses some changes in place
        assume(False)
    assert_same(results_of(program, cached=True), plain)


def test_most_of_them_were_cached():
    assert seen[True] > seen[False]
