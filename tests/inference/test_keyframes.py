"""Frames without the network: what is carried, when the network runs, and what it combines with then."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import Sliding, VideoModel, segment
from netwarp.errors import ConfigurationError, InputError
from netwarp.inference.keyframes import LONGEST_WAIT, Auto, Budget, Doubt, EveryNth, Look, half_grey, make_policy
from netwarp.model import PhotometricGate
from netwarp.model.netwarp import Flows
from netwarp.ops import warp
from netwarp.video.source import Frame, FrameSource

H, W = 32, 48


class Listed(FrameSource):
    """Frames from a list."""

    def __init__(self, images):
        self.images, self.fps, self.length, self.size = images, 25.0, len(images), None
        self.description, self.paths, self.loss = "a list", (), None

    def __iter__(self):
        for index, image in enumerate(self.images):
            yield Frame(image=image, index=index, time=index / 25, name=None)

    def close(self):
        pass


def scene(height=H, width=W, frames=8, speed=2, seed=0):
    """A pan of whole pixels over noise that the flow can follow: at (x, y) now what was at (x + speed, y) before."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 4 + 1, (width + speed * frames) // 4 + 2, 3), np.uint8)
    wide = small.repeat(4, 0).repeat(4, 1)[:height]
    return [np.ascontiguousarray(wide[:, speed * (frames - i) :][:, :width]) for i in range(frames)]


def as_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def counted(net):
    """Count a network's passes."""
    calls = []
    net.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def plain(**options):
    return VideoModel(tiny(), [], Pan(-2.0), preprocess=PLAIN, **options)


@pytest.mark.parametrize("frames", [1, 3])
def test_without_the_network_the_answer_is_moved(frames):
    model, pictures = plain(), torch.rand(frames + 1, 1, 3, H, W)
    calls = counted(model.base)
    with torch.no_grad():
        answer = model.base(pictures[0])
        logits, state = model.step(pictures[0])
        del calls[:]
        flows = [rough_flow(1, H, W, seed=i) for i in range(frames)]
        for picture, flow in zip(pictures[1:], flows, strict=True):
            logits, state = model.step(picture, state, flow, keyframe=False)
    assert not calls
    # The way to the keyframe, pixel by pixel, and the answer read once at its end; the network's stride is 2.
    path = flows[0]
    for flow in flows[1:]:
        path = flow + warp(path, flow)
    at_layer = torch.nn.functional.interpolate(path, scale_factor=0.5, mode="bilinear") / 2
    expected = torch.nn.functional.interpolate(warp(answer, at_layer), (H, W), mode="bilinear")
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("layers", [["mid"], ["output"], ["stem", "log_probs"]])
@pytest.mark.parametrize("gate", [None, PhotometricGate()])
def test_the_next_keyframe_combines_along_the_whole_way_with_all_trust_multiplied(layers, gate):
    model = VideoModel(tiny(), layers, Pan(), flow_cnn=None, gate=gate, memory="fused", preprocess=PLAIN)
    set_weights(model)
    frames, flows = torch.rand(3, 1, 3, H, W), [rough_flow(1, H, W, 1.0, seed=i) for i in range(2)]
    with torch.no_grad():
        _, first = model.step(frames[0])
        _, between = model.step(frames[1], first, flows[0], keyframe=False)
        assert all(torch.equal(a, b) for a, b in zip(between.memory, first.memory, strict=True))
        logits, _ = model.step(frames[2], between, flows[1])
        trusts = [None, None]
        if gate is not None:
            trusts = [gate(frames[i + 1], frames[i], flows[i]) for i in range(2)]
            trusts[1] = trusts[1] * warp(trusts[0], flows[1])
        path = Flows(flows[1] + warp(flows[0], flows[1]), None, trusts[1])
        expected, _ = model.advance(frames[2], first, path)
    torch.testing.assert_close(logits, expected)


def test_step_refuses_motion_for_a_frame_without_the_network():
    model = VideoModel(tiny(), ["mid"], Pan(), preprocess=PLAIN)
    frames = torch.rand(2, 1, 3, H, W)
    _, state = model.step(frames[0])
    with pytest.raises(InputError):
        model.step(frames[1], state, model.estimate_motion(frames[1], frames[0]), keyframe=False)


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("build", [plain, lambda: VideoModel(tiny(), training_free=True, flow="zero")])
def test_a_stream_runs_the_network_on_every_nth(overlap, build):
    model = build()
    calls = counted(model.base)
    results = list(segment(Listed(scene()), model, keyframes=3, edges="off", overlap=overlap, detect_cuts=False))
    assert [r.keyframe for r in results] == [True, False, False, True, False, False, True, False]
    assert len(calls) == 3
    state, expected = None, []
    for i, image in enumerate(scene()):
        logits, state = model.step(as_tensor(image), state, keyframe=i % 3 == 0)
        expected.append(logits.argmax(1)[0].numpy())
    for result, labels in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.labels, labels)


def test_windows_carry_probabilities_and_keep_their_memories():
    model = VideoModel(tiny(), ["output"], Pan(-2.0), gate=PhotometricGate(), memory="fused", preprocess=PLAIN)
    set_weights(model)
    sliding, calls = Sliding(model, window=24, stride=12, flip=True), counted(model.base)
    results = list(segment(Listed(scene()), sliding, keyframes=4, detect_cuts=False))
    assert [r.keyframe for r in results] == [True, False, False, False] * 2
    passes = len(calls)
    state = None
    for i, image in enumerate(scene()):
        probabilities, state = sliding.step(as_tensor(image), state, keyframe=i % 4 == 0)
        np.testing.assert_array_equal(results[i].labels, probabilities.argmax(1)[0].numpy())
    assert len(calls) == 2 * passes
    with pytest.raises(InputError):
        sliding.step(as_tensor(scene()[0]), results)


def test_a_cut_and_a_change_of_size_are_keyframes(caplog):
    images = scene(96, 128, frames=4) + scene(96, 128, frames=4, seed=1) + scene(64, 96, frames=3)
    model = VideoModel(tiny(), training_free=True)
    results = list(segment(Listed(images), model, keyframes=50))
    fresh = [r.index for r in results if r.fresh]
    assert fresh == [0, 4, 8]
    assert [r.index for r in results if r.keyframe] == fresh


def test_cuts_are_counted_among_all_frames(caplog):
    """Keyframes explain most frames, which are no less looked at for that: ten cuts in sixty frames are no warning."""
    images = [image for number in range(11) for image in scene(96, 128, frames=6, seed=number)]
    with caplog.at_level(logging.WARNING, "netwarp"):
        results = list(segment(Listed(images), VideoModel(tiny(), training_free=True), keyframes=50))
    assert [r.index for r in results if r.fresh] == list(range(0, 66, 6))
    assert not caplog.records


def test_a_stream_that_carries_nothing_keeps_no_answer():
    model = VideoModel(tiny(), ["mid"], Pan(), preprocess=PLAIN)
    frames = torch.rand(2, 1, 3, H, W)
    _, state = model.step(frames[0])
    with pytest.raises(InputError):
        model.step(frames[1], state.without_answer(), keyframe=False)
    model.step(frames[1], state.without_answer())


def test_a_still_camera_needs_the_network_rarely_and_a_moving_one_often():
    rng = np.random.default_rng(0)
    still = scene(96, 128, frames=1)[0].astype(int)
    noisy = [(still + rng.integers(-6, 7, still.shape)).clip(0, 255).astype(np.uint8) for _ in range(24)]
    model = VideoModel(tiny(), training_free=True)
    share = np.mean([r.keyframe for r in segment(Listed(noisy), model, keyframes="auto")])
    assert share <= 0.15
    moving = scene(96, 128, frames=24, speed=4)
    assert np.mean([r.keyframe for r in segment(Listed(moving), model, keyframes="auto")]) > 0.3


def test_a_small_thing_that_appears_is_doubted():
    past = torch.full((1, 3, 360, 480), 90, dtype=torch.uint8)
    past[..., ::7, :] = 140
    now = past.clone()
    assert float(Look.back(half_grey(now), half_grey(past), torch.zeros(1, 2, 360, 480)).doubt.max()) == 0
    now[..., 100:164, 200:264] = 250
    doubt = Look.back(half_grey(now), half_grey(past), torch.zeros(1, 2, 360, 480)).doubt
    assert doubt.shape == (1, 1, 12, 15)
    assert float(doubt[0, 0, 4, 7]) > 0.9
    assert float(doubt.mean()) < 0.05


def seen(doubt=0.0, frames=1, motion=0.0):
    tiles = torch.full((1, 1, 64, 64), float(doubt))
    look = Look(tiles, tiles, torch.ones_like(tiles))
    look.__dict__["doubt"] = tiles  # as if it were computed
    found = Doubt(0, frames, Flows(torch.full((1, 2, 64, 64), float(motion))), (tiles, tiles))
    found.__dict__["look"] = look
    return found


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.9), st.lists(st.floats(0, 1), min_size=40, max_size=80))
def test_a_budget_is_never_exceeded_and_never_saved_for_long(share, doubts):
    policy, runs, waited = Budget(share), 0, 0
    for i, doubt in enumerate(doubts):
        ran = policy(seen(doubt))
        runs, waited = runs + ran, 0 if ran else waited + 1
        assert runs <= share * (i + 1) + 1e-6
        assert waited <= 2 / share + 1


def test_a_budget_goes_where_doubt_is():
    policy = Budget(0.25)
    doubts = ([0.0] * 6 + [1.0] * 2) * 20
    runs = [policy(seen(doubt)) for doubt in doubts]
    assert sum(r for r, d in zip(runs, doubts, strict=True) if d) > 0.8 * sum(runs)


@pytest.mark.parametrize(("given", "runs"), [({}, False), ({"doubt": 0.2}, True), ({"motion": 9.0}, True)])
def test_auto(given, runs):
    assert Auto()(seen(**given)) is runs
    assert Auto()(seen(frames=Auto().longest))


def test_a_policy_of_ones_own(caplog):
    class Second:
        def __call__(self, doubt):
            return doubt.index == 2

    model = VideoModel(tiny(), training_free=True, flow="zero")
    for policy in (Second, Second(), lambda doubt: doubt.index == 2):
        results = segment(Listed(scene(frames=5)), model, keyframes=policy, detect_cuts=False)
        assert [r.index for r in results if r.keyframe] == [0, 2]
    images = scene(frames=1) * (2 * LONGEST_WAIT + 2)
    with caplog.at_level(logging.WARNING, "netwarp"):
        results = list(segment(Listed(images), model, keyframes=lambda _: False))
    assert [r.index for r in results if r.keyframe] == [0, LONGEST_WAIT, 2 * LONGEST_WAIT]
    assert len([r for r in caplog.records if str(LONGEST_WAIT) in r.getMessage()]) == 1


def test_every_nth_waits_for_as_long_as_it_is_told():
    model = VideoModel(tiny(), training_free=True, flow="zero")
    results = list(segment(Listed(scene(frames=1) * (LONGEST_WAIT + 6)), model, keyframes=LONGEST_WAIT + 4))
    assert [r.index for r in results if r.keyframe] == [0, LONGEST_WAIT + 4]


@pytest.mark.parametrize(
    ("text", "policy"), [("all", None), (1, None), ("3", EveryNth(3)), (3, EveryNth(3)), ("auto", Auto())]
)
def test_policies_by_name(text, policy):
    assert make_policy(text) == policy


@pytest.mark.parametrize(
    "wrong", [0, -2, "0", "often", "budget:0", "budget:1.5", "budget:x", "budget:", True, None, 2.5]
)
def test_what_names_no_keyframes(wrong):
    with pytest.raises(ConfigurationError):
        segment(Listed(scene()), plain(), keyframes=wrong)


def test_true_flow_needs_clips():
    model = VideoModel(tiny(), [], "true", preprocess=PLAIN)
    assert len(list(segment(Listed(scene(frames=2)), model))) == 2
    with pytest.raises(InputError):
        list(segment(Listed(scene(frames=2)), model, keyframes=2))
