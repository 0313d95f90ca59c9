"""A fresh VideoModel is the network, bit by bit; without training it sums log-probabilities."""

import pytest
import torch
import torch.nn.functional as F

from model.tiny import LAYERS, PLAIN, Pan, rough_flow, tiny, video
from netwarp import VideoModel
from netwarp.model import PhotometricGate, Preprocess
from netwarp.model.answer import logits_of


def logits_alone(net, frame, preprocess=PLAIN):
    """What the network says of a frame, by its own forward and plain resizing."""
    unit = frame.float() / 255 if frame.dtype == torch.uint8 else frame
    h, w = frame.shape[-2:]
    resized = preprocess.size or (h, w)
    x = preprocess(unit).to(next(net.parameters()).dtype)
    logits = logits_of(net(x))
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
    model = video(layers, net, weights=None, memory=memory, gate=PhotometricGate())
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
    model = video(layers, weights=None, preprocess=preprocess, gate=PhotometricGate())
    assert_neutral(model, tiny(), pictures(3, 30, 45), preprocess)


LAST = torch.channels_last


@pytest.mark.parametrize("layers", [["mid"], ["stem", "output"], ["log_probs"]], ids=str)
@pytest.mark.parametrize(
    ("network", "prepared"),
    [
        (tiny, lambda frame: frame.float() / 255),
        (lambda: tiny().bfloat16(), lambda frame: frame),
        (lambda: tiny().double(), lambda frame: frame),
        (lambda: tiny().to(memory_format=LAST), lambda frame: frame.contiguous(memory_format=LAST)),
        (lambda: tiny(returns="dict"), lambda frame: frame),
        (lambda: tiny(returns="object"), lambda frame: frame),
    ],
    ids=["float frames", "bfloat16", "double", "channels last", "dict", "object"],
)
def test_whatever_the_network_and_the_frames(layers, network, prepared, pictures):
    model = video(layers, network(), weights=None)
    frames = [prepared(frame) for frame in pictures(3, batch=3)]
    assert_neutral(model, network(), frames)
    assert model.step(frames[0])[0].dtype == next(model.base.parameters()).dtype
    model.train()
    model.base.eval()
    assert torch.equal(model(frames[1], frames[0]), logits_alone(network(), frames[1]))


def test_log_probs_of_a_combined_frame_are_log_probabilities_but_for_a_constant(pictures):
    model = VideoModel(tiny(), ["log_probs"], flow=Pan(0), flow_cnn=None, start=(0.5, 0.5), preprocess=PLAIN)
    first, second = pictures(2)
    net = tiny()
    with torch.no_grad():
        logits, _ = model.step(second, model.step(first)[1])
        p, q = (net(f.float() / 255).log_softmax(1) for f in (first, second))
        expected = F.interpolate((p + q) / 2, (32, 48), mode="bilinear").softmax(1)
    # Resizing is linear, and so is the constant that a softmax takes off again.
    torch.testing.assert_close(logits.softmax(1), expected)


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
