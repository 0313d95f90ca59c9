"""What is frozen runs once per frame, and nobody can tell."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch

from model.replay.nets import Net, assert_same, frames, net, training, video
from model.tiny import rough_flow
from netwarp.errors import ConfigurationError
from netwarp.model.replay import Replay

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
