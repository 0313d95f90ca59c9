"""Several models over clips, scored as each alone would be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import VideoModel
from netwarp.engine.evaluate import evaluate
from netwarp.errors import ConfigurationError
from netwarp.flow import DISFlow, write_flo
from netwarp.metrics import temporal_consistency


def video(layers=("mid",), **options):
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(tiny(), list(layers), **{"flow": Pan(), "preprocess": PLAIN, **options})
    set_weights(model)
    return model


def clip(frames, labelled, seed=0):
    rng = np.random.default_rng(seed)
    for index, frame in enumerate(frames):
        labels = rng.integers(0, 5, frame.shape[-2:]).astype(np.uint8)
        labels[:3] = 255
        yield frame[0].permute(1, 2, 0).numpy(), labels if index in labelled else None


def labels_of(model, frames):
    state, labels = None, []
    model.eval()
    with torch.no_grad():
        for frame in frames:
            logits, state = model.step(frame, state)
            labels.append(logits.argmax(1))
    return labels


def iou_by_counting(predictions, targets, classes=5):
    """Intersection over union of each class, over all frames at once, in percent."""
    values = []
    for c in range(classes):
        both = either = 0
        for prediction, target in zip(predictions, targets, strict=True):
            counts = target != 255
            both += int(((prediction == c) & (target == c) & counts).sum())
            either += int((((prediction == c) | (target == c)) & counts).sum())
        values.append(100 * both / either)
    return values


def test_scores_are_those_of_each_model_alone(pictures):
    clips = [pictures(4, seed=1), pictures(3, seed=2)]
    labelled = [{1, 3}, {0, 2}]
    models = {"fused": video(memory="fused"), "alone": video([]), "other": video(["stem"])}
    scores = evaluate(
        models, [clip(c, which, seed) for seed, (c, which) in enumerate(zip(clips, labelled, strict=True))], 5
    )
    assert list(scores) == ["fused", "alone", "other"]
    for name, model in models.items():
        predictions, targets, consistency = [], [], []
        for seed, (frames, which) in enumerate(zip(clips, labelled, strict=True)):
            labels = labels_of(model, frames)  # every clip starts with no state
            truth = list(clip(frames, which, seed))
            predictions += [labels[i][0].numpy() for i in sorted(which)]
            targets += [truth[i][1] for i in sorted(which)]
            consistency += [
                temporal_consistency(labels[t - 1], labels[t], DISFlow("medium")(frames[t], frames[t - 1]))
                for t in range(1, len(frames))
            ]
        expected = iou_by_counting(predictions, targets)
        assert scores[name].per_class == pytest.approx(expected, abs=1e-9)
        assert scores[name].miou == pytest.approx(sum(expected) / 5)
        assert scores[name].tc == pytest.approx(sum(consistency) / len(consistency), abs=0.5)
        assert scores[name].frames == 4
        assert scores[name].ms_per_frame > 0
    assert scores["fused"].miou != scores["alone"].miou


def test_widths_of_bands(pictures):
    scores = evaluate({"m": video()}, [clip(pictures(3), {0, 1, 2})], 5, widths=(1, 3))["m"]
    assert set(scores.tiou) == {1, 3}
    assert all(0 <= value <= 100 for value in scores.tiou.values())


def test_nothing_labelled_is_not_a_number_but_consistency_is(pictures):
    scores = evaluate({"m": video()}, [clip(pictures(3), set())], 5)["m"]
    assert math.isnan(scores.miou)
    assert math.isnan(scores.tiou[2])
    assert scores.frames == 0
    assert 0 <= scores.tc <= 100


def test_one_frame_has_no_consistency(pictures):
    scores = evaluate({"m": video()}, [clip(pictures(1), {0}), clip(pictures(1), {0})], 5)["m"]
    assert math.isnan(scores.tc)
    assert scores.frames == 2


def test_a_network_with_more_outputs_than_there_are_classes(pictures):
    frames = pictures(2)
    scores = evaluate({"m": video()}, [clip(frames, set())], 3)["m"]
    truth = [(f[0].permute(1, 2, 0).numpy(), np.zeros((32, 48), np.uint8)) for f in frames]
    scores = evaluate({"m": video()}, [truth], 3)["m"]
    right = sum(int((labels == 0).sum()) for labels in labels_of(video(), frames))
    assert scores.per_class[0] == pytest.approx(100 * right / (2 * 32 * 48))


def test_a_model_that_is_perfect_and_still(pictures):
    model, frame = video([]), pictures(1)[0]
    labels = labels_of(model, [frame])[0][0].numpy().astype(np.uint8)
    image = frame[0].permute(1, 2, 0).numpy()
    scores = evaluate({"m": model}, [[(image, labels)] * 3], 5, consistency_flow="zero")["m"]
    assert scores.miou == 100
    assert scores.tiou == {2: 100}
    assert scores.tc == 100


def test_flow_that_is_looked_up_gets_the_frames_number(pictures, tmp_path):
    frames = pictures(4)
    flows = {index: rough_flow(1, 32, 48, seed=index) for index in (1, 2, 3)}
    for index, flow in flows.items():
        write_flo(tmp_path / f"{index:06d}.flo", flow)
    model = video(flow=f"precomputed:{tmp_path}")
    scores = evaluate({"looked up": model}, [clip(frames, {0, 1, 2, 3})], classes=5)

    state, predictions = None, []
    with torch.no_grad():
        for index, frame in enumerate(frames):
            logits, state = model.step(frame, state, flows.get(index))
            predictions.append(logits.argmax(1)[0].numpy())
    targets = [labels for _, labels in clip(frames, {0, 1, 2, 3})]
    assert scores["looked up"].per_class == pytest.approx(iou_by_counting(predictions, targets))


def test_training_mode_ends(pictures):
    model = video().train()
    evaluate({"m": model}, [clip(pictures(2), {1})], 5)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


def test_no_model():
    with pytest.raises(ConfigurationError, match="at least one"):
        evaluate({}, [], 5)
