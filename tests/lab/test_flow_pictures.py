"""Flow before and after FlowCNN, as the model has it, and its colours on a fixed scale."""

import numpy as np
import pytest
import torch

from model.tiny import Pan, tiny
from netwarp.lab.flow_pictures import before_and_after, flow_colours, flow_wheel
from netwarp.model import FlowCNN, Preprocess, VideoModel

BGR = Preprocess(mean=(100.0, 110.0, 120.0), std=(1.0, 2.0, 4.0), scale=255.0, order="bgr", divisor=8, remainder=1)


def pictures(height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2)]


@pytest.mark.parametrize(("variant", "prepared"), [("paper", False), ("release", True)])
@pytest.mark.parametrize("size", [None, (24, 32)])
def test_it_sees_what_it_sees_in_the_model(variant: str, prepared: bool, size, monkeypatch: pytest.MonkeyPatch):
    """The release's form gets frames as the network does, the paper's RGB in 0–1."""
    preprocess = Preprocess(**{**BGR.to_dict(), "size": size})
    model = VideoModel(tiny(), ["mid"], Pan(16.0, -8.0), FlowCNN(variant), preprocess=preprocess).eval()
    seen: list[list[torch.Tensor]] = []
    forward = model.flow_cnn.forward

    def note(*pictures: torch.Tensor) -> torch.Tensor:
        seen.append([picture.clone() for picture in pictures])
        return forward(*pictures)

    monkeypatch.setattr(model.flow_cnn, "forward", note)
    current, previous = pictures(30, 42)
    before_and_after(model, current, previous)
    frames = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in (current, previous)]
    _, state = model.step(frames[1])
    model.step(frames[0], state)
    ours, in_model = seen
    assert all(torch.equal(mine, its) for mine, its in zip(ours, in_model, strict=True))
    expected = [preprocess(frame / 255) if prepared else frame / 255 for frame in frames]
    assert all(torch.allclose(mine, its) for mine, its in zip(ours[1:], expected, strict=True))


@pytest.mark.parametrize("variant", ["paper", "release"])
@pytest.mark.parametrize("size", [None, (24, 32)])
def test_both_are_in_pixels_of_the_frame_without_its_padding(variant: str, size):
    """FlowCNN at its start nearly hands flow on. (The release's cells of 8×8 fill a picture of 8k×8l.)"""
    preprocess = Preprocess(**{**BGR.to_dict(), "remainder": 0, "size": size})
    model = VideoModel(tiny(), ["mid"], Pan(16.0, -8.0), FlowCNN(variant), preprocess=preprocess)
    with torch.no_grad():
        for name in ("conv1", "conv2", "conv3"):
            model.flow_cnn.get_submodule(name).weight.zero_()  # the rest is the identity, exactly enough
    before, after = before_and_after(model, *pictures(30, 42))
    assert before.shape == after.shape == (2, 30, 42)
    np.testing.assert_array_equal(before[:, 0, 0], (16, -8))
    np.testing.assert_allclose(after[0], 16, atol=0.6)
    np.testing.assert_allclose(after[1], -8, atol=0.6)


def colour(u: float, v: float, limit: float = 1.0) -> list[int]:
    return flow_colours(np.array([[[u]], [[v]]]), limit)[0, 0].tolist()


def test_a_colour_depends_on_the_limit_and_not_on_the_other_pixels():
    assert colour(0, 0) == [255, 255, 255]
    assert colour(3, 0, 3) == colour(300, 0, 3) != colour(1, 0, 3)
    beside = flow_colours(np.array([[[1.0, 0.1, -40.0]], [[2.0, 0.0, 7.0]]]), 3.0)[0]
    assert beside.tolist() == [colour(1, 2, 3), colour(0.1, 0, 3), colour(-40, 7, 3)]


def test_the_wheel_shows_each_flow_at_its_place():
    wheel = flow_wheel(101)
    np.testing.assert_allclose(wheel[50, 75, :3], colour(0.5, 0), atol=1)
    np.testing.assert_allclose(wheel[75, 50, :3], colour(0, 0.5), atol=1)
    assert (wheel[0, 0, 3], wheel[50, 50, 3]) == (0, 255)
