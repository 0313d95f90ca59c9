"""Cuts are seen, and what only looks like one is not."""

import itertools
import math

import numpy as np
import pytest
import torch

from netwarp.flow import DISFlow
from netwarp.inference.keyframes import THRESHOLD, Cuts, is_cut, unexplained
from netwarp.streets import render_clip

H, W = 120, 160


def scene(seed, h=H + 40, w=W + 80):
    """A picture with structure of every size, from clouds to grain, and blocks with hard edges."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((h, w, 3)).astype(np.float32)
    picture = sum(cv2.GaussianBlur(noise, (0, 0), s) * s**0.8 for s in (1.0, 4.0, 12.0, 30.0))
    for _ in range(12):
        x, y = rng.integers(0, w), rng.integers(0, h)
        picture[y : y + rng.integers(8, 50), x : x + rng.integers(8, 50)] = rng.normal(0, 1.5, 3)
    picture = (picture - picture.min()) / (picture.max() - picture.min()) * 255
    return torch.from_numpy(picture.astype(np.uint8)).permute(2, 0, 1)[None]


def view(picture, x=20, y=20):
    return picture[..., y : y + H, x : x + W].contiguous()


def changed(frame, gain=1.0, offset=0.0, noise=0.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    grain = noise * torch.randn(frame.shape, generator=rng)
    return (frame.float() * gain + offset + grain).clamp(0, 255).to(torch.uint8)


def cut(current, previous):
    return is_cut(current, previous, DISFlow("medium")(current, previous))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("shift", "change"),
    [
        *((shift, {}) for shift in ((0, 0), (3, 1), (-8, 4), (14, -6))),
        ((3, 1), {"noise": 15.0}),
        ((3, 1), {"gain": 0.5}),
        ((3, 1), {"gain": 1.2, "offset": -10}),
        ((3, 1), {"offset": 50}),
        ((3, 1), {"gain": 0.6, "offset": 30, "noise": 8.0}),
    ],
    ids=str,
)
def test_motion_noise_and_changes_of_light_are_no_cut(seed, shift, change):
    picture = scene(seed)
    assert not cut(changed(view(picture, 40 + shift[0], 20 + shift[1]), **change), view(picture, 40, 20))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [{}, {"gain": 0.5, "offset": 20, "noise": 8.0}], ids=str)
def test_another_scene_is_a_cut(seed, change):
    assert cut(changed(view(scene(seed)), **change), view(scene(seed + 100)))


def test_a_light_that_goes_on_is_a_cut():
    assert cut(view(scene(0)), torch.zeros(1, 3, H, W, dtype=torch.uint8))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_noise_on_a_flat_picture_is_no_cut(level):
    flat = torch.full((1, 3, H, W), level, dtype=torch.uint8)
    assert not cut(changed(flat, noise=6.0, seed=1), changed(flat, noise=6.0, seed=2))
    assert not cut(flat, flat)


def test_an_inverted_picture_is_a_cut():
    frame = view(scene(0))
    assert is_cut(255 - frame, frame, torch.zeros(1, 2, H, W))


def test_floating_point_frames_give_the_same():
    current, previous = view(scene(0), 22), view(scene(0))
    flow = torch.zeros(1, 2, H, W)
    assert unexplained(current.float() / 255, previous.float() / 255, flow) == pytest.approx(
        unexplained(current, previous, flow), abs=1e-6
    )


def test_what_is_unexplained_is_one_minus_the_squared_correlation():
    current, previous = view(scene(0), 26), view(scene(0))
    share, error = unexplained(current, previous, torch.zeros(1, 2, H, W))
    grey = [f.float().mean(1)[0].view(H // 4, 4, W // 4, 4).mean((1, 3)).flatten().numpy() for f in (current, previous)]
    r = np.corrcoef(*grey)[0, 1]
    assert r > 0
    assert share == pytest.approx(1 - r**2, abs=1e-4)
    assert error == pytest.approx(math.sqrt(1 - r**2) * grey[0].std() / 255, abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (121, 163)])
def test_any_size(size):
    frame = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    assert not is_cut(frame, frame, torch.zeros(1, 2, *size))


def test_a_shift_of_any_fraction_is_explained():
    """What is compared is smaller than a frame, and a fraction of its pixels must not blur it."""
    for shift in range(1, 8):
        flow = torch.zeros(1, 2, H, W)
        flow[:, 0] = -shift
        share, _ = unexplained(view(scene(0), 20), view(scene(0), 20 + shift), flow)
        assert share < 0.005, shift


@pytest.mark.parametrize("seed", range(3))
def test_small_fast_video_is_not_full_of_cuts(seed):
    """160×96, 8 pixels a frame."""
    picture = scene(seed, 96, 160 + 8 * 12)
    frames = [picture[..., 8 * t : 8 * t + 160].contiguous() for t in range(12)]
    assert not any(cut(after, before) for before, after in itertools.pairwise(frames))


def look(cuts, pairs):
    """Whether each pair is called a cut; true flow is zero."""
    flow = torch.zeros(1, 2, H, W)
    return [cuts.between(*pair, flow, index=i + 1, time=i / 10) for i, pair in enumerate(pairs)]


def test_a_cut_is_logged_with_its_frame_and_time(caplog):
    caplog.set_level("INFO", logger="netwarp")
    same, other = view(scene(0)), view(scene(100))
    assert look(Cuts(), [(same, same)] * 20 + [(other, same)]) == [False] * 20 + [True]
    (record,) = caplog.records
    assert "frame 21" in record.getMessage()
    assert "2.00 s" in record.getMessage()


@pytest.mark.parametrize(("every", "doubted"), [(2, True), (3, True), (5, False), (20, False)])
def test_too_many_cuts_are_doubted_once(caplog, every, doubted):
    same, other = view(scene(0)), view(scene(100))
    look(Cuts(), [(other, same) if i % every == 0 else (same, same) for i in range(40)])
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == doubted
    assert all("--no-cuts" in text for text in warnings)


def test_a_video_that_begins_with_cuts_is_not_doubted(caplog):
    same, other = view(scene(0)), view(scene(100))
    look(Cuts(), [(other, same)] * 3 + [(same, same)] * 30)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_rendered_streets_leave_room_on_both_sides():
    """The hardest of benchmarks/cuts.py: its least explained step within a clip, its best explained cut."""

    def frames(clip, *numbers):
        images = {frame.index: frame.image for frame in render_clip(500 + clip, max(numbers) + 1, (96, 160))}
        return [torch.from_numpy(images[number].transpose(2, 0, 1).copy())[None] for number in numbers]

    def share(current, previous):
        return unexplained(current, previous, DISFlow()(current, previous))[0]

    before, after = frames(1, 13, 14)
    assert share(after, before) < THRESHOLD / 1.3
    (before,), (after,) = frames(5, 0), frames(3, 15)
    assert share(after, before) > THRESHOLD * 1.3
