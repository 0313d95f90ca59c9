"""What is frozen runs once per frame, and nobody can tell."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import namedtuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.tiny import PLAIN, Pan, frozen_copy, hooks_on, rough_flow, same_state, set_weights, tiny
from netwarp import VideoModel
from netwarp.errors import ConfigurationError
from netwarp.model.replay import Replay


class Counted(nn.Conv2d):
    """Counts its own runs, without hooks."""

    def __init__(self, inputs, outputs, kernel=3):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return super().forward(x)


class Net(nn.Module):
    """Three levels with connections past each other; stem, low and deep are called ``Counted``."""

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


def net(trained=(), of=Net):
    torch.manual_seed(0)
    network = of().eval().requires_grad_(False)
    for name in trained:
        network.get_submodule(name).requires_grad_(True)
    return network


def frames(count=3, batch=1, h=12, w=16):
    return torch.rand(count, batch, 3, h, w, generator=torch.Generator().manual_seed(1)).unbind(0)


def video(network, layers, **options):
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(network, layers, **{"flow": Pan(), "preprocess": PLAIN, **options})
    set_weights(model)
    return model.train()


def training(model, *, replayed, batch=1, rounds=3, call=None, budget=4 << 30):
    """All that a training gives, bit by bit, and the replay."""
    clip = frames(batch=batch)
    flow = rough_flow(batch, 12, 16)
    call = call or (lambda current, previous: model(current, previous, flow))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, 0.1)
    torch.manual_seed(2)
    results = []
    replay = Replay(model.base, budget)
    if replayed:
        replay.__enter__()
    try:
        for _ in range(rounds):
            for current, previous in ((clip[1], clip[0]), (clip[2], clip[1])):
                optimiser.zero_grad()
                logits = call(current, previous)
                logits.square().mean().backward()
                results += [logits.detach().clone(), *(p.grad.clone() for p in parameters if p.grad is not None)]
                optimiser.step()
        kept = replay.frames
    finally:
        if replayed:
            replay.__exit__(None, None, None)
    results += [tensor.clone() for tensor in model.state_dict().values()]
    replay.kept = kept
    return results, replay


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(map(torch.equal, ours, theirs))


CASES = {
    "output": (["log_probs"], [], ["stem", "low.0", "deep.0", "mix.0", "head"]),
    "a layer": (["deep"], [], ["stem", "low.0", "deep.0"]),
    "inside a block": (["low.1"], [], ["stem", "low.0"]),
    "two layers": (["low", "deep"], [], ["stem", "low.0"]),
    "a trained head": (["log_probs"], ["head"], ["stem", "low.0", "deep.0", "mix.0"]),
    "a trained end": (["log_probs"], ["mix", "head"], ["stem", "low.0", "deep.0"]),
    "a trained middle": (["log_probs"], ["deep"], ["stem", "low.0"]),
    "both": (["deep"], ["mix", "head"], ["stem", "low.0", "deep.0"]),
    "no layers": ([], ["mix"], ["stem", "low.0", "deep.0"]),
}


@pytest.mark.parametrize("memory", ["previous", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_a_training_is_the_same_bitwise(case, memory):
    layers, trained, resting = CASES[case]
    if not layers and memory == "fused":
        return
    theirs, _ = training(video(net(trained), layers, memory=memory), replayed=False)
    model = video(net(trained), layers, memory=memory)
    before = model.base.runs()
    ours, replay = training(model, replayed=True)
    assert replay.declined is None
    assert_same(ours, theirs)
    # Once for each frame, and twice when it was compared; 18 or 24 times without. One model looks at single frames.
    runs = {name: count - before[name] for name, count in model.base.runs().items()}
    assert [name for name, count in runs.items() if count == (5 if layers else 4)] == resting
    assert all(count > 5 for name, count in runs.items() if name not in resting)


@pytest.mark.parametrize("trained", [["stem"], ["stem", "low", "deep", "mix", "head"]])
def test_nothing_to_replay_is_no_mistake(trained):
    theirs, _ = training(video(net(trained), ["deep"]), replayed=False)
    ours, replay = training(video(net(trained), ["deep"]), replayed=True)
    assert replay.declined == "nothing of it is frozen before the first that is trained"
    assert_same(ours, theirs)


@pytest.mark.parametrize("layers", [["log_probs"], ["deep"], ["low", "deep"]])
@pytest.mark.parametrize("options", [{"detach": True}, {"checkpoint": True}, {"every": True}], ids=str)
@pytest.mark.parametrize("trained", [[], ["deep", "mix"]], ids=str)
def test_clips_with_and_without_gradients_through_time(layers, options, trained):
    clip = torch.stack(frames(4), 1)

    def call(model):
        def unroll(*_):
            logits = model.unroll(clip, torch.stack([rough_flow(1, 12, 16)] * 3, 1), **options)
            return torch.cat(logits) if options.get("every") else logits

        return unroll

    results = []
    for replayed in (False, True):
        model = video(net(trained), layers, memory="fused")
        results.append(training(model, replayed=replayed, call=call(model)))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert replay.kept == 4
    assert_same(ours, theirs)


def test_in_a_batch_frames_are_told_apart_and_bits_depend_on_no_neighbour():
    a, b, c = frames()
    network = net()
    with torch.no_grad(), Replay(network) as replay:
        alone = [network(frame) for frame in (a, b, c)]
        mixed = network(torch.cat([c, a, b, a]))
        assert replay.frames == 3
        assert_same(mixed.split(1), [alone[2], alone[0], alone[1], alone[0]])
    with torch.no_grad(), Replay(network) as replay:
        assert torch.equal(network(torch.cat([c, a, b, a])), mixed)
    with torch.no_grad():
        torch.testing.assert_close(network(torch.cat([c, a, b, a])), mixed)


@pytest.mark.parametrize("case", CASES)
def test_training_in_batches_is_the_same_but_for_last_bits(case):
    layers, trained, _ = CASES[case]
    theirs, _ = training(video(net(trained), layers), replayed=False, batch=3)
    ours, replay = training(video(net(trained), layers), replayed=True, batch=3)
    assert replay.declined is None
    assert replay.kept == (9 if layers else 6)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


class TestNoTrace:
    def state(self, network):
        return [list(vars(module).items()) for module in network.modules()]

    def test_afterwards(self):
        network = net(["head"])
        model = video(network, ["deep"])
        before, weights, hooks = self.state(network), frozen_copy(network), hooks_on(network)
        training(model, replayed=True, rounds=0)
        with Replay(network) as replay:
            model(*frames(2))
            assert list(network.state_dict()) == list(weights)
            assert hooks_on(network) == hooks
            assert replay.frames == 2
            assert replay.nbytes > 0
        for then, now in zip(before, self.state(network), strict=True):
            assert [key for key, _ in then] == [key for key, _ in now]
            assert all(a is b for (key, a), (_, b) in zip(then, now, strict=True) if key != "runs")
        assert same_state(network, weights)
        assert (replay.frames, replay.nbytes) == (0, 0)

    def test_after_an_error(self):
        network = net()
        with pytest.raises(ZeroDivisionError), Replay(network):
            raise ZeroDivisionError(network(frames()[0]))
        assert not any("forward" in vars(module) for module in network.modules())

    def test_after_an_error_of_the_network(self):
        class Failing(Net):
            def forward(self, x):
                if x.sum() < 0:
                    raise ZeroDivisionError
                return super().forward(x)

        network = net(of=Failing)
        frame = frames()[0]
        plain = network(frame)
        with Replay(network) as replay:
            assert torch.equal(network(frame), plain)
            with pytest.raises(ZeroDivisionError):
                network(-frame)
            assert replay.declined == "it fails on a frame by itself: ZeroDivisionError"
            assert torch.equal(network(frame), plain)

    def test_a_forward_of_its_own_is_put_back(self):
        network = net()
        own = network.deep.forward = lambda x: 2 * x
        plain = network(frames()[0])
        with Replay(network) as replay:
            for _ in range(2):
                assert torch.equal(network(frames()[0]), plain)
            assert replay.frames == 1
        assert vars(network.deep)["forward"] is own

    def test_no_random_number_is_used_up(self):
        network = net(["head"])
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        with Replay(network):
            network(frames()[0])
        assert torch.equal(torch.rand(3), expected)

    def test_statistics_that_are_trained_count_once(self):
        results = []
        for replayed in (False, True):
            model = video(net(["mix", "head"]), ["deep"])
            assert model.base.mix[1].training
            results.append(training(model, replayed=replayed)[0])
        assert_same(*results)


LOW, DEEP = 4 * 4 * 12 * 16, 4 * 4 * 6 * 8  # bytes; the output of mix is as large as that of low


@pytest.mark.parametrize(
    ("trained", "size"),
    [
        ("head", 2 * LOW + DEEP),  # mix, and what Net.forward still has at hand
        ("mix", LOW + DEEP),
        ("deep", LOW),
    ],
)
def test_only_what_is_looked_at_later_is_kept(trained, size):
    network = net([trained])
    with Replay(network) as replay:
        network(frames()[0])
        assert replay.nbytes == size


@pytest.mark.parametrize("room", [0, 1, 2])
def test_the_budget_holds(room):
    theirs, _ = training(video(net(["mix"]), ["log_probs"]), replayed=False)
    ours, replay = training(video(net(["mix"]), ["log_probs"]), replayed=True, budget=room * (LOW + DEEP) + 1)
    assert replay.kept == room
    assert_same(ours, theirs)


class Alone(nn.Module):
    """One network's way with its modules; ``first`` and ``second`` are frozen, ``head`` is trained."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Counted(3, 4), Counted(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 5, 1)


def in_place_after(self, x):
    low = self.first(x)
    deep = self.second(low)
    logits = self.head(deep)
    low.mul_(3)  # behind what is replayed
    return logits + low.mean()


def in_place_before(self, x):
    low = self.first(x)
    low += 1
    deep = self.second(low)
    low -= deep
    return self.head(low)


def in_place_through_a_view(self, x):
    low = self.first(x)
    total = torch.zeros_like(low)
    total[:, 1:].add_(low[:, :-1])
    del low
    return self.head(self.second(x.mean(1, keepdim=True).expand(-1, 4, -1, -1)) + total)


def in_place_in_a_module(self, x):
    low = self.first(x)
    self.relu(low)
    return self.head(self.second(low) + low)


def in_place_in_a_module_of_what_was_made(self, x):
    low = self.first(x) - 0.1
    return self.head(self.second(self.relu(low)) + low)


def twice(self, x):
    low = self.second(self.second(self.first(x)))
    return self.head(low + self.first(-x))


def reads(self, x):
    scale = float(self.first(x).abs().mean())
    return self.head(self.second(x[:, [0, 1, 2, 0]]) * scale)


def branches(self, x):
    low = self.first(x)
    return self.head(self.second(low) if low.mean() > x.mean() * 0.3 else low)


def keeps(self, x):
    self.last = self.first(x)
    return self.head(self.second(x[:, [0, 1, 2, 0]])) + self.last.mean()


def random_before(self, x):
    return self.head(self.second(F.dropout(self.first(x), 0.5)))


def tied(self, x):
    """What is trained comes in without its module being called."""
    low = F.conv2d(self.first(x), self.head.weight[:4])
    return self.head(self.second(low))


def tied_and_cut_off(self, x):
    low = F.conv2d(self.first(x), self.head.weight.detach()[:4])
    return self.head(self.second(low))


def judged_by_what_is_trained(self, x):
    low = self.first(x)
    return self.head(self.second(low * float(self.head.weight.data.mean())))


def changes_its_input(self, x):
    x.sub_(0.5)
    return self.head(self.second(self.first(x)))


def swallows(self, x):
    low = self.first(x)
    try:
        low = low + self.head(low)[:, :4]
    except BaseException:
        low = low + 1
    return self.head(self.second(low))


WAYS = {
    in_place_after: 2,
    in_place_before: 2,
    in_place_through_a_view: 2,
    in_place_in_a_module: 2,
    in_place_in_a_module_of_what_was_made: 2,
    twice: 2,
    reads: 2,
    branches: 2,
    keeps: 2,
    random_before: 1,
    tied: 1,
    tied_and_cut_off: 1,
    judged_by_what_is_trained: 1,
    changes_its_input: 2,
    swallows: 1,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whatever_a_network_does_between_modules(way):
    results = []
    for replayed in (False, True):
        network = net(["head"], of=type("Way", (Alone,), {"forward": way}))
        results.append(training(video(network, []), replayed=replayed))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert replay.kept == 2
    assert_same(ours, theirs)
    calls = 2 if way is twice else 1
    resting = [module for module in (network.first, network.second) if module.runs <= 5 * calls + 1]
    assert len(resting) == WAYS[way]


Pair = namedtuple("Pair", ["deep", "more"])


class Many(nn.Module):
    """Returns containers; one tensor in two places."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, *, scale=1):
        y = self.conv(x) * scale
        return {"pair": Pair(y, [None, y, y.sin()]), "size": (x.shape[-1], "text", True)}


class Odd(nn.Module):
    """Returns something of its own, which nobody can look into."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, **_):
        class Result:
            pass

        result = Result()
        result.pair = Pair(self.conv(x), None)
        return result


class Turned(nn.Module):
    """Returns the batch where one would not look for it."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, **_):
        return Pair(self.conv(x).flatten(2).permute(2, 0, 1).contiguous(), None)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", [Many, Odd, Turned])
def test_modules_that_return_more_than_a_tensor(kind, batch):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.many, self.head = Counted(3, 4), kind(), nn.Conv2d(4, 5, 1)

        def forward(self, x):
            returned = self.many(self.stem(x), scale=2)
            pair = returned["pair"] if isinstance(returned, dict) else getattr(returned, "pair", returned)
            deep = pair.deep
            if deep.ndim == 3:
                deep = deep.permute(1, 2, 0).unflatten(2, x.shape[-2:])
            if pair.more is not None:
                assert pair.more[1] is deep
                assert returned["size"] == (x.shape[-1], "text", True)
                deep.add_(1)
                deep = deep + pair.more[1] + pair.more[2]
            return self.head(deep)

    results = []
    for replayed in (False, True):
        network = net(["head"], of=Outer)
        results.append(training(video(network, []), replayed=replayed, batch=batch))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert replay.kept == 2 * batch
    assert network.many.conv.runs < 10
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=0 if batch == 1 else 1e-3, atol=0 if batch == 1 else 1e-5)


class TestFoundOut:
    """Networks that cannot be replayed run as ever."""

    def compare(self, of, says, batch=1, trained=("head",)):
        results = []
        for replayed in (False, True):
            results.append(training(video(net(trained, of=of), []), replayed=replayed, batch=batch))
        (theirs, _), (ours, replay) = results
        assert says in replay.declined
        assert replay.kept == 0
        assert_same(ours, theirs)

    def test_modules_that_talk_behind_the_back(self):
        class Side(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 1)

            def forward(self, x):
                self.side = self.conv(x)
                return self.side * 2

        class Talking(nn.Module):
            def __init__(self):
                super().__init__()
                self.part, self.head = Side(), nn.Conv2d(4, 5, 1)

            def forward(self, x):
                return self.head(self.part(x)) + self.part.side.mean()

        self.compare(Talking, "returned something else")

    def test_modules_that_look_at_the_batch(self):
        class Mean(nn.Module):
            def forward(self, x):
                return x - x.mean(0, keepdim=True)

        class Looking(nn.Module):
            def __init__(self):
                super().__init__()
                self.part, self.head = nn.Sequential(nn.Conv2d(3, 4, 1), Mean()), nn.Conv2d(4, 5, 1)

            def forward(self, x):
                return self.head(self.part(x))

        self.compare(Looking, "returned something else", batch=2)

    def test_a_network_that_takes_another_way(self):
        class Wandering(nn.Module):
            def __init__(self):
                super().__init__()
                self.parts = nn.ModuleList(nn.Conv2d(3, 4, 1) for _ in range(2))
                self.head = nn.Conv2d(4, 5, 1)
                self.passes = 0

            def forward(self, x):
                self.passes += 1
                parts = self.parts if self.passes < 12 else reversed(self.parts)
                a, b = (part(x) for part in parts)
                return self.head(a - b)

        network = net(["head"], of=Wandering)
        reference = copy.deepcopy(network)
        frame = frames()[0]
        with Replay(network) as replay:
            while network.passes < 11:
                network(frame)
                assert replay.declined is None
            reference.passes = 20
            assert torch.equal(network(frame), reference(frame))
            assert "another way" in replay.declined
            assert torch.equal(network(frame), reference(frame))

    @pytest.mark.parametrize("anew", [True, False])
    def test_a_network_that_changes_itself(self, anew):
        class Ageing(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("age", torch.zeros(()))
                self.part, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

            def forward(self, x):
                if anew:
                    self.age = self.age + 1
                else:
                    self.age += 1
                return self.head(self.part(x) + self.age)

        self.compare(Ageing, "changes its own buffers")

    @pytest.mark.parametrize("kind", ["forward", "before"])
    def test_hooks_of_somebody_else(self, kind):
        network = net(["head"])
        seen = []
        register = "register_forward_hook" if kind == "forward" else "register_forward_pre_hook"
        handle = getattr(network.low[1], register)(lambda *_: seen.append(1))
        with Replay(network) as replay:
            for _ in range(3):
                network(frames()[0])
            assert seen == [1, 1, 1]
            assert replay.declined == "somebody has hooks on the network"
            handle.remove()
            network(frames()[0])
            assert replay.declined is None
            assert replay.frames == 1

    @pytest.mark.parametrize("how", ["scripted", "compiled", "compiled in place"])
    def test_parts_that_nobody_can_step_into(self, how):
        network = net()
        if how == "scripted":
            network.deep = torch.jit.trace(network.deep, torch.rand(1, 4, 6, 8))
        elif how == "compiled":
            network.deep = torch.compile(network.deep, backend="eager")
        else:
            network.deep.compile(backend="eager")
        before = [set(vars(module)) for module in network.modules()]
        with Replay(network) as replay:
            assert replay.declined == "the network has compiled or scripted parts"
            assert [set(vars(module)) for module in network.modules()] == before


class TestThingsChange:
    def test_weights_are_loaded(self):
        network, other = net(["head"]), net(["head"])
        with torch.no_grad():
            other.stem.weight.mul_(2)
        frame = frames()[0]
        with Replay(network) as replay:
            first = network(frame)
            network.load_state_dict(copy.deepcopy(network.state_dict()))  # the same
            assert torch.equal(network(frame), first)
            runs = network.stem.runs
            network(frame)
            assert network.stem.runs == runs
            network.load_state_dict(other.state_dict())
            assert torch.equal(network(frame), other(frame))
            network.low[1].running_mean.add_(0.5)
            assert torch.equal(network(frame), copy.deepcopy(network)(frame))
            network.stem.weight.data = network.stem.weight.data + 1
            assert torch.equal(network(frame), copy.deepcopy(network)(frame))
            assert replay.frames == 1

    def test_something_is_trained_that_was_frozen(self):
        network, frame = net(["head"]), frames()[0]
        with Replay(network) as replay:
            network(frame)
            network.deep.requires_grad_(True)
            network(frame).sum().backward()
            assert network.deep[0].weight.grad.any()
            with torch.no_grad():
                network.deep[0].weight.mul_(2)
            assert torch.equal(network(frame), copy.deepcopy(network)(frame))
            assert replay.frames == 2  # under either condition

    def test_dropout_is_switched_on(self):
        network = tiny().requires_grad_(False)
        network.head.requires_grad_(True)
        network.drop.p = 0.9
        frame = frames()[0]
        with Replay(network) as replay:
            calm = network(frame)
            network.drop.train()
            torch.manual_seed(0)
            one, another = network(frame), network(frame)
            torch.manual_seed(0)
            assert torch.equal(network(frame), one)
            assert not torch.equal(one, another)
            assert not torch.equal(one, calm)
            network.drop.eval()
            assert torch.equal(network(frame), calm)
            assert replay.declined is None

    def test_statistics_are_gathered_though_nothing_is_trained(self):
        network = net(["head"])
        network.deep[1].train()
        other = copy.deepcopy(network)
        with Replay(network) as replay:
            for frame in (*frames(), *frames()):
                assert torch.equal(network(frame), other(frame))
            assert replay.declined is None
            assert network.stem.runs < other.stem.runs
        assert same_state(network, frozen_copy(other))

    def test_another_models_netwarps_on_the_same_network(self):
        network = net()
        results = []
        for replayed in (False, True):
            one, other = video(network, ["deep"]), video(network, ["low"])
            first, second, third = frames()
            with Replay(network) if replayed else torch.enable_grad() as replay:
                for _ in range(2):
                    results.append(other(second, first))
                    results.append(one(second, first))
                    results.append(other(third, second))
            if replayed:
                assert replay.declined is None
            one.remove()
            other.remove()
        assert_same(results[:6], results[6:])

    def test_another_autocast_is_another_frame(self):
        network, frame = net(["head"]), frames()[0]
        with torch.autocast("cpu", torch.bfloat16):
            coarse = network(frame)
        fine = network(frame)
        with Replay(network) as replay:
            for _ in range(2):
                assert torch.equal(network(frame), fine)
                with torch.autocast("cpu", torch.bfloat16):
                    assert torch.equal(network(frame), coarse)
            assert replay.frames == 2


def test_batch_norm_of_the_batch_is_no_frames_own():
    class Batch(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Counted(3, 4)
            self.norm = nn.BatchNorm2d(4, track_running_stats=False)
            self.head = nn.Conv2d(4, 5, 1)

        def forward(self, x):
            return self.head(self.norm(self.first(x)))

    results = [training(video(net(["head"], of=Batch), []), replayed=replayed, batch=2) for replayed in (False, True)]
    assert results[1][1].declined is None
    for own, other in zip(results[1][0], results[0][0], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3])
def test_memory_formats_stay(memory_format, batch):
    network = net().to(memory_format=memory_format)
    batch = torch.cat(frames(batch)).contiguous(memory_format=memory_format)
    plain = network(batch)
    with Replay(network):
        for _ in range(2):
            replayed = network(batch)
            assert replayed.stride() == plain.stride()


@pytest.mark.parametrize(
    "give",
    [
        lambda frame: ((frame.requires_grad_(),), {}),
        lambda frame: ((), {"x": frame}),
        lambda frame: ((frame[0],), {}),
        lambda frame: ((frame, None), {}),
    ],
)
def test_other_inputs_run_as_ever(give):
    class Plain(Net):
        def forward(self, x, more=None):
            return self.stem(x)

    network = net(of=Plain)
    args, kwargs = give(frames()[0].clone())
    with Replay(network) as replay:
        network(*args, **kwargs)
        runs = network.stem.runs
        network(*args, **kwargs)
        assert network.stem.runs == runs + 1
        assert replay.frames == 0


def test_inference_mode_runs_as_ever():
    network = net()
    with torch.inference_mode(), Replay(network) as replay:
        frame = frames()[0]
        assert torch.equal(network(frame), network(frame))
        assert replay.frames == 0


def test_another_thread_runs_the_plain_network():
    network, frame = net(), frames()[0]
    results = []
    with Replay(network) as replay:
        network(frame)
        runs = network.stem.runs
        thread = threading.Thread(target=lambda: results.append(network(frame)))
        thread.start()
        thread.join()
        assert network.stem.runs == runs + 1
        assert torch.equal(results[0], network(frame))
        assert replay.frames == 1


@pytest.mark.parametrize("through", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_is_a_network_of_its_own(through):
    network, frame = net(), frames()[0]
    with Replay(network) as replay:
        plain = network(frame)
        copied = through(network)
        with torch.no_grad():
            copied.stem.weight.zero_()
        runs = network.stem.runs
        assert not torch.equal(copied(frame), plain)
        assert network.stem.runs == runs
        assert torch.equal(network(frame), plain)
        assert replay.frames == 1
    assert not torch.equal(copied(frame), plain)


def test_two_networks_at_once():
    one, other, frame = net(), net(), frames()[0]
    with torch.no_grad():
        other.stem.weight.zero_()
    plain = [one(frame), other(frame)]
    with Replay(one), Replay(other):
        for _ in range(2):
            assert_same([one(frame), other(frame)], plain)
        assert one.stem.runs == other.stem.runs == 4
    assert_same([one(frame), other(frame)], plain)


def test_it_can_be_entered_again_but_not_twice():
    network, frame = net(), frames()[0]
    replay = Replay(network)
    for _ in range(2):
        with replay:
            network(frame)
            assert replay.frames == 1
            with pytest.raises(ConfigurationError, match="once at a time"), replay:
                pass
            assert torch.equal(network(frame), network(frame))
    assert not any("forward" in vars(module) for module in network.modules())


def test_a_budget_must_be_one():
    with pytest.raises(ConfigurationError, match="at least 0, not -1"):
        Replay(net(), -1)
