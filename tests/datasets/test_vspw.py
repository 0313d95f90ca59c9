"""VSPW on a tree made as it unpacks: what it holds, and video consistency as the benchmark's script counts it."""

import numpy as np
import pytest
import torch
from PIL import Image

from netwarp import VideoModel
from netwarp.datasets.registry import open_data
from netwarp.errors import InputError
from netwarp.evaluation.evaluate import evaluate

SIZE = (12, 16)


def masks_of(video, frames):
    """Values of 0, 255 and some classes, that mostly stay."""
    rng = np.random.default_rng(video)
    values = [np.zeros(SIZE, np.uint8)]
    for _ in range(frames - 1):
        drawn = rng.choice(np.uint8([0, 1, 7, 124, 255]), SIZE)
        values.append(np.where(rng.random(SIZE) < 0.97, values[-1], drawn))
    return values


@pytest.fixture
def tree(tmp_path):
    """Two videos in val, of 20 frames and of 8, and one that is not listed."""
    for video, frames in ((0, 20), (1, 8), (2, 3)):
        for folder in ("origin", "mask"):
            (tmp_path / "data" / f"{video}_wild" / folder).mkdir(parents=True)
        for number, values in enumerate(masks_of(video, frames)):
            image = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / "data" / f"{video}_wild" / "origin" / f"{number:08}.jpg")
            Image.fromarray(values).save(tmp_path / "data" / f"{video}_wild" / "mask" / f"{number:08}.png")
    (tmp_path / "val.txt").write_text("0_wild\n1_wild\n")
    return tmp_path


def test_videos_frames_and_classes(tree):
    (tree / "data" / "1_wild" / "mask" / "00000003.png").unlink()
    data = open_data(f"vspw:{tree}")
    assert [(clip.name, len(clip.frames)) for clip in data.clips] == [("0_wild", 20), ("1_wild", 8)]
    names = data.classes.names
    assert (len(set(names)), names[0], names[18], names[60], names[-1]) == (124, "wall", "road", "person", "train")
    assert data.clips[0].frames[19].name == "0_wild/00000019"
    for values, frame in zip(masks_of(0, 20), data.clips[0].frames, strict=True):
        expected = np.select([values == 0, values == 255], [255, 255], values.astype(int) - 1)
        assert np.array_equal(frame.labels(), expected)
    assert data.clips[1].frames[3].labels is None


class Flickering(torch.nn.Module):
    """A network whose labels change at random from frame to frame."""

    def forward(self, image):
        seed = int(1e4 * image.double().sum().abs()) % 1000
        rng = np.random.default_rng(seed)
        labels = torch.from_numpy(np.where(rng.random(SIZE) < 0.9, 0, rng.integers(0, 124, SIZE)))
        return torch.nn.functional.one_hot(labels, 124).permute(2, 0, 1)[None].float()


def script(targets, predictions, n):
    """The benchmark's VC_perclip.py: raw masks, windows of n but the last, as it stands there."""
    shares = []
    for i in range(len(targets) - n):
        common = np.ones(SIZE, bool)
        kept = np.ones(SIZE, bool)
        for j in range(1, n):
            common &= targets[i] == targets[i + j]
            kept &= predictions[i] == predictions[i + j]
        shares.append((kept & common).sum() / common.sum())
    return shares


def test_video_consistency_is_that_of_its_script(tree):
    data, found = open_data(f"vspw:{tree}"), {}
    model = VideoModel(Flickering(), [], classes=data.classes.names, example_size=SIZE)
    scores = evaluate(
        {"m": model}, data, on_labels=lambda _, frame, labels: found.setdefault(frame.name, labels[0].numpy())
    )["m"]
    for n in (8, 16):
        shares = []
        for video, frames in ((0, 20), (1, 8)):
            predictions = [found[f"{video}_wild/{number:08}"] for number in range(frames)]
            shares += script(masks_of(video, frames), predictions, n)
        assert 5 < scores["vc"][n] < 95
        assert scores["vc"][n] == pytest.approx(100 * np.nanmean(shares), abs=1e-8)


def test_what_is_missing_or_no_class_is_named(tree):
    with pytest.raises(InputError, match=r"train\.txt"):
        open_data(f"vspw:{tree}", "train")
    Image.fromarray(np.full(SIZE, 125, np.uint8)).save(tree / "data" / "0_wild" / "mask" / "00000000.png")
    with pytest.raises(InputError, match=r"00000000\.png holds 125"):
        open_data(f"vspw:{tree}").clips[0].frames[0].labels()
    (tree / "val.txt").write_text("9_wild\n")
    with pytest.raises(InputError, match="9_wild"):
        open_data(f"vspw:{tree}")
