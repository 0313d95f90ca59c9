"""The plain loop: it learns, it repeats, and the control differs from its experiment in the memory alone."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netwarp.engine.fit import class_weights, fit, hold_w2
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.model import FlowCNN, Preprocess, VideoModel

CLASSES = 3
PLAIN = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Frames:
    previous: np.ndarray
    current: np.ndarray
    labels: np.ndarray


def make_pairs(count: int = 6, size: tuple[int, int] = (24, 32)) -> list[Frames]:
    """Blocks of noisy colours, one for each class, that move a pixel from frame to frame."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        wide = rng.integers(CLASSES, size=(size[0] // 8, size[1] // 8 + 1)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        frames = [
            (80 * labels[..., None] + rng.integers(0, 60, (*size, 3))).astype(np.uint8)
            for labels in (wide[:, 1 : size[1] + 1], wide[:, : size[1]])
        ]
        pairs.append(Frames(frames[0], frames[1], wide[:, : size[1]]))
    return pairs


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, CLASSES, 1)
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.seen.append(image.detach().clone())
        return self.head(self.encoder(image))


def video_model(seed: int = 0, layers: tuple[str, ...] = ("encoder",)) -> VideoModel:
    torch.manual_seed(seed)
    return VideoModel(Small(), list(layers), "zero", FlowCNN(stride=2), start=(0.5, 0.5), preprocess=PLAIN)


def test_training_lowers_the_loss() -> None:
    losses = fit(video_model(), make_pairs(), steps=60, batch_size=4, rate=1e-2)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_a_network_can_be_trained_frame_by_frame() -> None:
    losses = fit(video_model(layers=()), make_pairs(), steps=60, batch_size=4, rate=1e-2, crop=(16, 16))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_the_control_starts_alike_and_keeps_its_memory_shut() -> None:
    model, control = video_model(), hold_w2(video_model())
    ours, theirs = dict(model.named_parameters()), dict(control.named_parameters())
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == ["netwarps.0.w1", "netwarps.0.w2"]
    assert torch.equal(control.netwarps[0].w1, model.netwarps[0].w1 + model.netwarps[0].w2)
    assert [n for n, p in theirs.items() if p.requires_grad] == [n for n in ours if n != "netwarps.0.w2"]

    fit(control, make_pairs(), steps=5, batch_size=4, rate=1e-2)
    assert torch.equal(control.netwarps[0].w2, torch.zeros(8))
    assert not torch.equal(control.netwarps[0].w1, torch.ones(8))
    current, other, unlike = (torch.rand(1, 3, 24, 32) for _ in range(3))
    with torch.no_grad():
        assert torch.equal(control(current, other), control(current, unlike))


def test_two_models_see_the_same_frames_in_the_same_order() -> None:
    model, control = video_model(), hold_w2(video_model())
    for one in (model, control):
        fit(one, make_pairs(), steps=4, batch_size=4, crop=(16, 16), seed=3)
    ours, theirs = model.base.seen, control.base.seen
    assert len(ours) == len(theirs) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    other = video_model()
    fit(other, make_pairs(), steps=4, batch_size=4, crop=(16, 16), seed=4)
    assert not all(torch.equal(a, b) for a, b in zip(ours, other.base.seen, strict=True))


def test_training_repeats_exactly() -> None:
    runs = [fit(video_model(), make_pairs(), steps=6, batch_size=4, crop=(16, 16), seed=2) for _ in range(2)]
    assert runs[0] == runs[1]


def test_flips_and_crops_treat_frames_and_labels_alike() -> None:
    """A network that reads the class off the colour has no loss, whatever window it is shown."""
    pairs = [Frames(p.current, (100 * p.labels[..., None]).repeat(3, 2), p.labels) for p in make_pairs()]

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, image: Tensor) -> Tensor:
            level = (image[:, :1] + 1) / 2 * 2.55
            return -100 * self.scale * (level - torch.arange(3.0).view(1, 3, 1, 1)).abs()

    model = VideoModel(Reader(), [], preprocess=PLAIN)
    assert max(fit(model, pairs, steps=8, batch_size=4, crop=(13, 17))) < 1e-6


def test_a_frozen_base_keeps_its_weights_and_statistics() -> None:
    model = video_model()
    model.base.requires_grad_(False)
    before = {name: value.clone() for name, value in model.base.state_dict().items()}
    start = model.netwarps[0].w2.detach().clone()
    fit(model, make_pairs(), steps=3, batch_size=4)
    assert all(torch.equal(before[name], value) for name, value in model.base.state_dict().items())
    assert not torch.equal(start, model.netwarps[0].w2)
    assert not model.training


def test_ignored_pixels_train_nothing() -> None:
    pairs = make_pairs()
    half = [Frames(p.previous, p.current, np.where(np.arange(32) < 16, p.labels, 255).astype(np.uint8)) for p in pairs]
    losses = fit(video_model(), half, steps=2, batch_size=4)
    assert np.isfinite(losses).all()


def test_weights_grow_as_classes_get_rarer() -> None:
    labels = np.array([[0] * 6 + [1] * 2 + [255] * 4], np.uint8)
    frame = np.zeros((1, 12, 3), np.uint8)
    weights = class_weights([Frames(frame, frame, labels)], CLASSES)
    expected = [1 / np.log(1.05 + share) for share in (0.75, 0.25, 0.0)]
    assert weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("broken", [{"steps": 0}, {"batch_size": 0}, {"pairs": []}])
def test_nothing_to_train_on_is_refused(broken: dict) -> None:
    settings = {"pairs": make_pairs(2), "steps": 1, "batch_size": 2} | broken
    with pytest.raises(ConfigurationError, match="cannot train on"):
        fit(video_model(), **settings)


def test_nothing_to_train_is_refused() -> None:
    model = video_model().requires_grad_(False)
    with pytest.raises(ConfigurationError, match="nothing to train"):
        fit(model, make_pairs(2), steps=1)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    with pytest.raises(WeightsError, match="at step 1"):
        fit(video_model(), make_pairs(2), steps=3, weights=torch.full((CLASSES,), torch.inf))
