"""A network and clips so small that a step takes milliseconds, and so clear that it learns something in them."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.datasets.clips import Clip, ClipData, ClipFrame, Sample, Samples
from netwarp.label_sets import LabelSet
from netwarp.model import FlowCNN, Preprocess, VideoModel

CLASSES = 3
NAMES = LabelSet(("sky", "road", "tree"), ((0, 0, 200), (100, 100, 100), (0, 150, 0)))
PLAIN = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Small(nn.Module):
    """Has all that makes a step depend on more than weights: batch norm, dropout, and what it has been shown."""

    def __init__(self, outputs: int = CLASSES, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(8, outputs, 1)
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.seen.append(image.detach().clone())
        return self.head(self.drop(self.encoder(image)))


def small_model(seed: int = 0, layers: tuple[str, ...] = ("encoder",), *, outputs: int = CLASSES, **options: object):
    torch.manual_seed(seed)
    dropout = options.pop("dropout", 0.0)
    settings = {"flow": "zero", "flow_cnn": FlowCNN(stride=2), "start": (0.5, 0.5), "preprocess": PLAIN} | options
    return VideoModel(Small(outputs, dropout), list(layers), **settings)


def scene(number: int, length: int, size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames and labels: blocks of noisy colours, one a class, that move a pixel to the left from frame to frame."""
    rng = np.random.default_rng(number)
    h, w = size
    wide = rng.integers(CLASSES, size=(h // 8, w // 8 + 1)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    frames = []
    for t in range(length):
        labels = wide[:, t : t + w].copy()
        frames.append(((80 * labels[..., None] + rng.integers(0, 60, (h, w, 3))).astype(np.uint8), labels))
    return frames


def image_of(number: int, place: int, length: int, size: tuple[int, int]) -> np.ndarray:
    return scene(number, length, size)[place][0]


def labels_of(number: int, place: int, length: int, size: tuple[int, int]) -> np.ndarray:
    return scene(number, length, size)[place][1]


def clips(
    count: int = 4, length: int = 3, size: tuple[int, int] = (24, 32), every: int = 1, first: int = 0
) -> ClipData:
    """Clips of which every so manieth frame, counted from the last, is labelled."""
    made = []
    for number in range(first, first + count):
        frames = []
        for place in range(length):
            labelled = (length - 1 - place) % every == 0
            frames.append(
                ClipFrame(
                    f"clip{number}/{place}",
                    partial(image_of, number, place, length, size),
                    partial(labels_of, number, place, length, size) if labelled else None,
                )
            )
        made.append(Clip(f"clip{number}", frames))
    return ClipData("toys", NAMES, tuple(made))


def with_labels(samples: Samples, change: object) -> list[Sample]:
    """The samples with other labels: ``change`` makes new ones of the old."""
    changed = []
    for sample in samples:
        last = sample.frames[-1]
        labels = partial(lambda old, name: change(old(), name), last.labels, last.name)
        changed.append(Sample((*sample.frames[:-1], ClipFrame(last.name, last.image, labels))))
    return changed


def weights_of(model: VideoModel) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_weights(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
