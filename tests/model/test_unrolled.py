"""Streams and pairs against a network that was unrolled by hand, and against each other."""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from model.by_hand import by_hand
from model.tiny import PLAIN, Pan, count_calls, rough_flow, set_weights, stream, tiny, video
from netwarp import NetWarpError, VideoModel, load
from netwarp.errors import InputError
from netwarp.model import FlowCNN, PhotometricGate

FLOWS = [None, *(rough_flow(1, 32, 48, seed=i) for i in range(4))]


@pytest.mark.parametrize("layers", [["stem"], ["act"], ["mid"], ["output"], ["stem", "mid"], ["act", "mid", "output"]])
@pytest.mark.parametrize("flow_cnn", [None, "paper", FlowCNN(stride=4)], ids=["none", "paper", "stride"])
@pytest.mark.parametrize("memory", ["previous", "fused"])
def test_a_stream_is_the_recursion_of_the_papers_two_branches(layers, flow_cnn, memory, pictures):
    model, frames = video(layers, memory=memory, flow_cnn=flow_cnn), [f.float() / 255 for f in pictures(5)]
    hand = by_hand(model)
    expected, kept = hand.alone(frames[0])
    for index, logits in enumerate(stream(model, frames, FLOWS)):
        if index:
            expected, own, fused = hand.after(kept, frames[index], frames[index - 1], FLOWS[index])
            kept = fused if memory == "fused" else own
        torch.testing.assert_close(logits, expected)


def test_the_state_is_all_that_a_stream_needs(pictures):
    model, frames = video(["stem", "mid"], memory="fused"), pictures(4)
    logits = stream(model, frames)
    with torch.no_grad():
        _, state = model.step(frames[0])
        _, state = model.step(frames[1], state)
        twin = copy.deepcopy(state)
        model.step(frames[0], state)  # another stream in between
        third, later = model.step(frames[2], twin)
        assert torch.equal(third, logits[2])
        assert torch.equal(model.step(frames[3], later)[0], logits[3])
        assert torch.equal(model.step(frames[2], state)[0], logits[2])  # a state can be used again


def test_the_state_holds_the_frame_and_one_memory_per_layer(pictures):
    model, frame = video(["mid", "output"]), pictures(1)[0]
    _, state = model.step(frame)
    assert torch.equal(state.frame, frame)
    assert [tuple(m.shape) for m in state.memory] == [(1, 6, 16, 24), (1, 5, 16, 24)]
    with pytest.raises(AttributeError):
        state.frame = frame


@pytest.mark.parametrize("kind", ["numpy", "tensor", "planes"])
def test_a_buffer_that_is_filled_again_does_not_change_the_past(kind, pictures):
    """Cameras and decoders hand out one array again and again."""
    model, frames = video(["mid"], flow="dis"), pictures(3, 48, 64)
    expected = stream(model, frames)
    rows, planes, tensor = np.empty((48, 64, 3), np.uint8), np.empty((3, 48, 64), np.uint8), torch.empty_like(frames[0])
    buffer, filled = {
        "numpy": (rows, rows.transpose(2, 0, 1)),
        "tensor": (tensor, tensor[0].numpy()),
        "planes": (planes.transpose(1, 2, 0), planes),
    }[kind]

    def again():
        for frame in frames:
            filled[:] = frame[0].numpy()
            yield buffer

    assert all(map(torch.equal, stream(model, again()), expected))


@pytest.mark.parametrize("layers", [["stem"], ["act"], ["stem", "act"], ["norm"]])
@pytest.mark.parametrize("memory", ["previous", "fused"])
def test_a_network_that_works_in_place_gives_the_same(layers, memory, pictures):
    frames = pictures(4)
    plain = stream(video(layers, memory=memory), frames, FLOWS[:4])
    inplace_model = video(layers, net=tiny(inplace=True), memory=memory)
    inplace = stream(inplace_model, frames, FLOWS[:4])
    assert all(torch.equal(a, b) for a, b in zip(plain, inplace, strict=True))
    with torch.no_grad():
        pair = inplace_model(frames[1], frames[0], FLOWS[1])
        assert torch.equal(pair, video(layers)(frames[1], frames[0], FLOWS[1]))


@pytest.mark.parametrize("layers", [["stem"], ["stem", "mid"], ["output"], ["log_probs"], []])
def test_a_step_is_one_pass_of_the_network(layers, pictures):
    net = tiny()
    calls = count_calls(net)
    model = video(layers, net=net)
    state = None
    for frame in pictures(3):
        calls.clear()
        _, state = model.step(frame, state)
        assert set(calls.values()) == {1}


def test_flow_is_estimated_once_a_frame_and_not_at_all_where_it_is_given(pictures):
    pan, frames = Pan(), pictures(3)
    model = video(["stem", "mid"], flow=pan)
    _, state = model.step(frames[0])
    assert pan.calls == 0
    _, state = model.step(frames[1], state)
    assert pan.calls == 1
    model.step(frames[2], state, rough_flow(1, 32, 48))
    model(frames[1], frames[0], rough_flow(1, 32, 48))
    assert pan.calls == 1
    model(frames[1], frames[0])
    assert pan.calls == 2
    video([], flow=pan)(frames[1], frames[0])
    assert pan.calls == 2


def test_a_state_of_another_size_or_batch_starts_anew(pictures):
    model = video(["mid"])
    for other in (pictures(1, 32, 40)[0], pictures(1, 24, 48)[0], pictures(1, batch=2)[0]):
        _, state = model.step(pictures(1)[0])
        logits, new = model.step(other, state)
        assert torch.equal(logits, model.step(other)[0])
        assert new.frame.shape == other.shape


def test_batches_are_separate_streams(pictures):
    model, frames = video(["mid"], memory="fused", flow="dis"), pictures(3, 48, 64, batch=3)
    together = stream(model, frames)
    for item in range(3):
        alone = stream(model, [f[item : item + 1] for f in frames])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a, b[item : item + 1])


@pytest.mark.parametrize("divisor", [8, 32])
def test_padding_moves_along(divisor, pictures):
    """The representations cover the padding: the flow must be that of the padded frames, not stretched over them."""
    model = video(["mid"], preprocess=replace(PLAIN, divisor=divisor), flow_cnn=None)
    current, previous = pictures(2, 28, 43)
    flow = rough_flow(1, 28, 43)
    h, w = (-(-n // divisor) * divisor for n in (28, 43))

    def pad(x):
        return torch.nn.functional.pad(x.float(), (0, w - 43, 0, h - 28), mode="replicate")

    whole = video(["mid"], flow_cnn=None)(pad(current) / 255, pad(previous) / 255, pad(flow))
    torch.testing.assert_close(model(current, previous, flow), whole[..., :28, :43])


def test_two_models_on_one_network(pictures):
    net, frames = tiny(), pictures(3)
    alone = [stream(video(["mid"]), frames, FLOWS[:3]), stream(video(["stem", "output"]), frames, FLOWS[:3])]
    models = [video(["mid"], net=net), video(["stem", "output"], net=net)]
    states = [None, None]
    with torch.no_grad():
        for t, frame in enumerate(frames):
            for i, model in enumerate(models):
                logits, states[i] = model.step(frame, states[i], FLOWS[t])
                assert torch.equal(logits, alone[i][t])
    models[0].remove()
    assert torch.equal(stream(models[1], frames, FLOWS[:3])[2], alone[1][2])


def test_threads_do_not_disturb_each_other(pictures):
    model = video(["stem", "mid"], memory="fused")
    clips = [pictures(12, seed=seed) for seed in range(4)]
    expected = [stream(model, clip) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda clip: stream(model, clip), clips)
    for ours, theirs in zip(results, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_deep_copy_is_a_model_of_its_own(pictures):
    model, frames = video(["mid"]), pictures(3)
    expected = stream(model, frames, FLOWS[:3])
    twin = copy.deepcopy(model)
    assert twin.base is not model.base
    set_weights(model, 1, 0)
    model.remove()
    assert all(torch.equal(a, b) for a, b in zip(stream(twin, frames, FLOWS[:3]), expected, strict=True))
    twin.remove()
    assert not any(m._forward_hooks for m in twin.base.modules())


@pytest.mark.parametrize("how", [torch.bfloat16, torch.float16, "autocast"])
def test_half_precision_streams_stay_close(how, pictures):
    frames, cast = pictures(3), how == "autocast"
    expected = stream(video(["mid"], memory="fused"), frames, FLOWS[:3])
    model = video(["mid"], tiny() if cast else tiny().to(how), memory="fused")
    with torch.autocast("cpu", torch.bfloat16, enabled=cast), torch.no_grad():
        found = stream(model, frames, FLOWS[:3])
        assert torch.equal(model(frames[1], frames[0], FLOWS[1]), found[1])
    for ours, theirs in zip(found, expected, strict=True):
        assert cast or ours.dtype == how
        torch.testing.assert_close(ours.float(), theirs, rtol=0.1, atol=0.1 * float(theirs.std()))


@pytest.mark.parametrize(
    "options", [{}, {"flow_cnn": None, "gate": PhotometricGate()}, {"flow_cnn": "release"}], ids=str
)
def test_motion_that_was_estimated_before_takes_the_place_of_flow(options, pictures):
    model, (first, second) = video(["stem", "output"], **options), pictures(2)
    with torch.no_grad():
        _, state = model.step(first)
        expected, _ = model.step(second, state)
        motion = model.estimate_motion(second, first)
        assert not motion.flow.requires_grad
        found, _ = model.step(second, state, motion)
        assert torch.equal(found, expected)
        flow = rough_flow(1, 32, 48)
        expected, _ = model.step(second, state, flow)
        found, _ = model.step(second, state, model.estimate_motion(second, first, flow))
        assert torch.equal(found, expected)


def test_motion_of_another_size_is_refused_and_none_is_needed_without_layers(pictures):
    model = video(["mid"])
    large, small = pictures(2, 64, 96), pictures(2)
    _, state = model.step(small[0])
    with pytest.raises(InputError, match="another frame, of 96×64"):
        model.step(small[1], state, model.estimate_motion(*large))
    assert VideoModel(tiny(), [], preprocess=PLAIN).estimate_motion(*small) is None


FRAME = torch.zeros(1, 3, 16, 24, dtype=torch.uint8)
OTHERS = (["stem"], ["stem", "mid"], [], ["output"])
"""Layers of models whose state is another one."""


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m(FRAME, FRAME[..., 1:]), "differ in size"),
        (lambda m: m(FRAME[0], FRAME), r"\[B,3,H,W\]"),
        (lambda m: m(FRAME, FRAME, torch.zeros(1, 2, 8, 12)), "for this frame"),
        (lambda m: m.step(FRAME, 3), "state must be"),
        *((lambda m, at=at: m.step(FRAME, video(at).step(FRAME)[1]), "state=None") for at in OTHERS),
        (lambda m: m.step(FRAME, m.step(FRAME)[1], torch.zeros(1, 2, 16, 25)), "for this frame"),
        (lambda m: m.step(FRAME, m.step(FRAME)[1], torch.full((1, 2, 16, 24), float("inf"))), "infinite"),
    ],
)
def test_input_that_cannot_be_used(call, says):
    model = video()
    with pytest.raises(InputError, match=says):
        call(model)
    # And the model goes on as if nothing had been.
    assert torch.equal(model(FRAME, FRAME), video()(FRAME, FRAME))


@pytest.mark.parametrize("bad", [torch.full((1, 2, 16, 24), float("nan")), np.zeros((1, 2, 16, 24), np.float32)])
def test_an_estimator_that_gives_something_else(bad):
    with pytest.raises(InputError, match="flow"):
        video(flow=lambda current, previous, index=None: bad)(FRAME, FRAME)


def test_the_flow_of_clips_must_be_given(tmp_path):
    model = video(flow="true")
    given = torch.zeros(1, 2, 16, 24)
    _, state = model.step(FRAME)
    for call in (
        lambda: model.step(FRAME, state),
        lambda: model(FRAME, FRAME),
        lambda: model.estimate_flow(FRAME, FRAME),
    ):
        with pytest.raises(InputError, match="'dis'"):
            call()
    model.save(tmp_path / "m.safetensors")
    back = load(tmp_path / "m.safetensors", tiny())
    assert back.flow == "true"
    assert torch.equal(back.step(FRAME, state, given)[0], model(FRAME, FRAME, given))


class Sometimes(nn.Module):
    """A network with a layer that runs in training alone."""

    def __init__(self):
        super().__init__()
        self.net = tiny()
        self.extra = nn.Conv2d(3, 3, 1)
        self.skip = False

    def forward(self, x):
        return self.net(x if self.skip else self.extra(x))


@pytest.mark.parametrize("layers", [["extra"], ["extra", "net.mid"], ["extra", "output"]])
def test_a_layer_that_does_not_run_on_every_frame(layers):
    net = Sometimes().eval()
    model = video(layers, net)
    _, state = model.step(FRAME)
    net.skip = True
    for call in (lambda: model.step(FRAME), lambda: model.step(FRAME, state), lambda: model(FRAME, FRAME)):
        with pytest.raises(NetWarpError, match="'extra' did not run"):
            call()
