"""Looking ahead: labels against a plain loop over all frames, in order, and what is refused."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference.clip import Clip
from inference.labelled import MadeClip, data_of
from inference.test_keyframes import Listed, as_tensor, scene
from model.tiny import PLAIN, Pan, set_weights, tiny
from netwarp import Sliding, VideoModel, segment
from netwarp.errors import ConfigurationError, OutputError
from netwarp.evaluation.evaluate import evaluate
from netwarp.flow import write_flo
from netwarp.inference.lookahead import SHARE
from netwarp.model import PhotometricGate
from netwarp.ops import Edges, warp


class Panned(Pan):
    """The pan's flow in both directions, by which of two frames comes first."""

    def __init__(self, order):
        super().__init__(-2.0)
        self.order = order

    def __call__(self, current, previous, index=None):
        of = [next(i for i, image in enumerate(self.order) if torch.equal(image, each)) for each in (current, previous)]
        return super().__call__(current, previous, index) * (1 if of[0] > of[1] else -1)


def build(images, windows):
    torch.manual_seed(0)
    flow = Panned([as_tensor(image) for image in images])
    model = VideoModel(
        nn.Conv2d(3, 5, 3, padding=1),
        ["output"],
        flow,
        gate=PhotometricGate(),
        flow_cnn=None,
        memory="fused",
        preprocess=PLAIN,
    )
    set_weights(model)
    return Sliding(model, window=24, stride=12) if windows else model


@torch.no_grad()
def by_loop(model, images, starts, edges, ahead, keyframes=1):
    """Labels of all frames; ``ahead(i)`` is the last frame that frame i is looked at from."""
    results, state, at = [], None, {}
    for i, image in enumerate(images):
        state = None if i in starts else state
        result, state = model.step(as_tensor(image), state, keyframe=i in starts or i % keyframes == 0)
        results.append(result)
        at[i] = as_tensor(image)
    labels = []
    for i, image in enumerate(images):
        end = min(min([start for start in [*starts, len(images)] if start > i]) - 1, ahead(i))
        later = results[end]
        for k in reversed(range(i, end)):
            flow = (
                model.flow(at[k], at[k + 1]) if not isinstance(model, Sliding) else model.model.flow(at[k], at[k + 1])
            )
            trust = SHARE * PhotometricGate()(at[k] / 255, at[k + 1] / 255, flow)
            how = "bilinear" if isinstance(model, Sliding) else "bicubic"
            later = (1 - trust) * results[k] + trust * warp(later, flow, interpolation=how)
        own = later.argmax(1)
        if edges is not None:
            own, _ = edges(later, own, as_tensor(image), logits=not isinstance(model, Sliding))
        labels.append(own[0].numpy())
    return labels


@pytest.mark.parametrize(
    ("options", "windows", "keyframes"),
    [
        ({"lag": 1}, False, 1),
        ({"lag": 4, "edges": Edges(3, 0.1)}, False, 2),
        ({"lag": 7}, True, 1),
        ({"offline": True, "edges": "on"}, False, 3),
    ],
)
def test_labels_are_those_of_a_plain_loop(options, windows, keyframes):
    images = scene(frames=9)
    model = build(images, windows)
    found = list(segment(Listed(images), model, keyframes=keyframes, detect_cuts=False, **options))
    assert [r.index for r in found] == list(range(9))
    assert [r.time for r in found] == [i / 25 for i in range(9)]
    assert [r.keyframe for r in found] == [i % keyframes == 0 for i in range(9)]
    lag = options.get("lag", 99)
    every = (lag + 1) // 2
    edges = {"on": Edges()}.get(options.get("edges"), options.get("edges"))

    def ahead(i):  # those that are handed out together are looked at from one frame
        return i // every * every + lag

    expected = by_loop(model, images, [0], edges, ahead, keyframes)
    wrong = [np.mean(r.labels != labels) for r, labels in zip(found, expected, strict=True)]
    assert max(wrong) < (0.01 if options.get("offline") else 1e-3)  # half precision there


class Far(nn.Module):
    """Outputs of large values, which half precision does not hold."""

    def __init__(self, *offsets):
        super().__init__()
        self.offsets = nn.Parameter(torch.tensor(offsets).view(1, -1, 1, 1))

    def forward(self, x):
        return self.offsets + x.mean(1, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_values_are_looked_back_at_as_they_are(pictures, dtype):
    image, base = pictures(1)[0], Far(80_000.0).to(dtype)
    model = VideoModel(base, training_free=True, flow="zero", preprocess=PLAIN, task="regression")
    for result in segment(Clip([image] * 3), model, offline=True, detect_cuts=False):
        expected = base(image.to(dtype) / 255)[0, 0].detach().float()
        torch.testing.assert_close(
            torch.from_numpy(result.labels), expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6, atol=0
        )


def test_a_class_that_is_ruled_out_stays_so(pictures):
    model = VideoModel(Far(-1e9, 0.0, 0.5), ["output"], Pan(0.0), flow_cnn=None, start=(1.0, 0.5), preprocess=PLAIN)
    found = [
        [result.labels for result in segment(Clip([*pictures(3)]), model, detect_cuts=False, **how)]
        for how in ({"offline": True}, {"lag": 2})
    ]
    np.testing.assert_array_equal(*found)
    assert (np.array(found) == 2).all()


class Masked(nn.Module):
    """Scores that are close, but for one class that a mask rules out in a part of the picture."""

    def forward(self, x):
        scores = torch.stack([x[:, 0], x[:, 0] + 0.1, x[:, 0]], 1)
        scores[:, 2, :, 20:] = -1e9
        return scores


def test_what_a_mask_rules_out_does_not_win_beside_it(pictures):
    model = VideoModel(Masked(), training_free=True, flow=Pan(0.5), preprocess=PLAIN)
    for how in ({"offline": True}, {"lag": 2}):
        for result in segment(Clip([*pictures(3)]), model, detect_cuts=False, edges="off", **how):
            assert (result.labels == 1).all()


def test_nothing_is_brought_back_over_a_cut_or_another_size(pictures):
    before, after = pictures(4, 48, 64), pictures(3, 32, 48)
    model = VideoModel(tiny(), training_free=True, flow="zero")
    together = list(segment(Clip([*before, *after]), model, lag=5, detect_cuts=False))
    assert [r.fresh for r in together] == ["first frame", None, None, None, "change of size", None, None]
    alone = [r for part in (before, after) for r in segment(Clip(part), model, offline=True, detect_cuts=False)]
    for one, other in zip(together, alone, strict=True):
        assert np.mean(one.labels != other.labels) < 0.01


def test_a_lag_may_be_as_long_as_the_video(pictures):
    results = list(segment(Clip(pictures(3)), VideoModel(tiny(), training_free=True, flow="zero"), lag=3))
    assert [result.index for result in results] == [0, 1, 2]
    assert repr(results[1]).startswith("Segmented(index=1, time=0.040, labels=uint8 [32, 48]")


def test_a_lag_delays_by_no_more_than_it_says(pictures):
    read = []

    class Noted(Clip):
        def __iter__(self):
            for frame in super().__iter__():
                read.append(frame.index)
                yield frame

    for result in segment(Noted(pictures(12)), tiny(), lag=4, overlap=False):
        assert len(read) <= result.index + 5
    assert len(read) == 12


@pytest.mark.parametrize(
    ("options", "value"),
    [({"lag": -1}, "-1"), ({"lag": 2.5}, "2.5"), ({"lag": 4}, "of 3"), ({"lag": 1, "offline": True}, "lag")],
)
def test_refuses(options, value):
    with pytest.raises(ConfigurationError, match=value):
        segment(Listed(scene(frames=3)), tiny(), **options)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_the_filter_is_for_one_label_a_pixel(pictures, task):
    two = VideoModel(nn.Conv2d(3, 2, 3, padding=1), training_free=True, task=task)
    assert len(list(segment(Clip(pictures(2)), two))) == 2  # "auto" leaves it out
    for wanted in ("on", Edges()):
        with pytest.raises(ConfigurationError, match=f"'{task}'"):
            segment(Clip(pictures(2)), two, edges=wanted)


class AsTwo(nn.Module):
    """An object's logit x as the logits (0, x) of two classes."""

    def __init__(self, one):
        super().__init__()
        self.one = one

    def forward(self, image):
        x = self.one(image)
        return torch.cat([torch.zeros_like(x), x], 1)


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("options", [{}, {"keyframes": 3}, {"lag": 2}, {"offline": True, "edges": Edges(5, 0.2)}])
def test_an_object_is_filtered_as_two_classes_are(pictures, options, windows):
    torch.manual_seed(0)
    one, images = nn.Conv2d(3, 1, 3, padding=1), pictures(7)
    one.weight.data.mul_(20)
    one.bias.data -= one(images[0] / 255).detach().median()
    models = [
        VideoModel(one, training_free=True, task="binary", preprocess=PLAIN),
        VideoModel(AsTwo(one), training_free=True, preprocess=PLAIN),
    ]
    if windows:
        models = [Sliding(model, window=24, stride=12) for model in models]
    found = [[r.labels for r in segment(Clip(images), model, detect_cuts=False, **options)] for model in models]
    for ours, theirs in zip(*found, strict=True):
        assert np.mean(ours != theirs) < 0.002
    plain = [r.labels for r in segment(Clip(images), models[0], detect_cuts=False, **{**options, "edges": "off"})]
    assert np.mean(np.array(plain) != np.array(found[0])) > 0.005


def test_precomputed_flow_has_no_way_ahead(tmp_path, pictures):
    write_flo(tmp_path / "1.flo", torch.zeros(2, 8, 8))
    model = VideoModel(tiny(), training_free=True, flow=f"precomputed:{tmp_path}")
    with pytest.raises(ConfigurationError, match="precomputed"):
        model.flows_ahead(*pictures(2), flows=None)


def test_a_full_disk_is_one_error(monkeypatch, pictures):
    def full(*_, **__):
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match="No space"):
        list(segment(Clip(pictures(3)), tiny(), offline=True))


@pytest.mark.parametrize("options", [{"lag": 2}, {"offline": True}, {"lag": 3, "edges": "on", "keyframes": 2}, {}])
def test_evaluation_labels_as_a_stream_does(options, pictures):
    clip = MadeClip(pictures(7), {0, 3, 6}, seed=0)
    labels = {}
    model = VideoModel(tiny(), training_free=True)
    scores = evaluate(
        {"row": model},
        data_of(clip),
        on_labels=lambda name, frame, found: labels.setdefault(frame.name, found[0].numpy()),
        **options,
    )
    assert scores["row"]["frames"] == 3
    streamed = list(segment(Clip(clip.images), model, detect_cuts=False, **options))
    assert len(labels) == len(streamed) == 7
    for found, result in zip(labels.values(), streamed, strict=True):
        np.testing.assert_array_equal(found, result.labels)
