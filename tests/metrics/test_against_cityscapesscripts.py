"""IoU and iIoU of made scenes, as Cityscapes' own evaluation measures them from files."""

import copy
import math

import numpy as np
import pytest
from cityscapes_tree import made_scene, write_image, write_truth
from PIL import Image

from netwarp.datasets.cityscapes import AVERAGE_INSTANCE_SIZES, cityscapes, to_ids, to_train_ids
from netwarp.label_sets import CITYSCAPES
from netwarp.metrics import InstanceIoU, IoU

script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")


def predicted(ids, seed):
    """Labels that are right in most places: shifted, with noise, in classes that are evaluated."""
    rng = np.random.default_rng(seed)
    shifted = to_train_ids(np.roll(ids, rng.integers(-2, 3, 2), (0, 1)))
    noise = rng.integers(0, 17, ids.shape)  # no motorcycle or bicycle
    return np.where((rng.random(ids.shape) < 0.15) | (shifted == 255), noise, shifted)


def official(monkeypatch, pairs):
    """What the script says of files: IoU and iIoU by train id, in percent."""
    if not hasattr(np, "in1d"):
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # numpy 2.4 has dropped what 2.3.0 calls
    args = copy.copy(script.args)
    args.quiet, args.JSONOutput = True, False
    result = script.evaluateImgLists([str(p) for p, _ in pairs], [str(t) for _, t in pairs], args)
    both = [[100 * result[key][name] for name in CITYSCAPES.names] for key in ("classScores", "classInstScores")]
    return both, [100 * result["averageScoreClasses"], 100 * result["averageScoreInstClasses"]]


@pytest.mark.parametrize("frames", [1, 4])
def test_iou_and_iiou_equal_the_official_ones(tmp_path, monkeypatch, frames):
    pairs = []
    for seed in range(frames):
        name = f"ulm_000000_{seed:06}"
        ids, instances = made_scene(seed)
        write_image(tmp_path, name)
        truth = write_truth(tmp_path, name, ids, instances)
        prediction = tmp_path / f"{name}_prediction.png"
        Image.fromarray(to_ids(predicted(ids, seed))).save(prediction)
        pairs.append((prediction, truth))
    iou, iiou = IoU(19), InstanceIoU(19, AVERAGE_INSTANCE_SIZES)
    for (prediction, _), frame in zip(pairs, cityscapes(tmp_path, "val").clips[0].frames, strict=True):
        labels = to_train_ids(np.array(Image.open(prediction)))
        iou.update(labels, frame.labels())
        iiou.update(labels, frame.labels(), frame.instances())
    (classes, objects), means = official(monkeypatch, pairs)
    np.testing.assert_allclose(iou.per_class().numpy(), classes, atol=1e-6)
    np.testing.assert_allclose(iiou.per_class().numpy(), objects, atol=1e-6)
    assert [iou.compute(), iiou.compute()] == pytest.approx(means, abs=1e-6)
    assert sum(not math.isnan(score) for score in objects) >= 6
    assert not np.allclose(objects[11:], classes[11:], atol=1, equal_nan=True)
