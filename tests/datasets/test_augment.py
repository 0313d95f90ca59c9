"""Random views: frames, labels and flows must stay each other's."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.datasets.augment import Augmentation, Colour, Geometry, draw_view
from netwarp.datasets.samples import LoadedSample
from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import DISFlow
from netwarp.ops.warp import warp
from netwarp.video.images import read_image

VAL = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "val"
EVERYTHING = Augmentation(0.5, (0.5, 2.0), (20, 30), 0.5, 0.5, 0.5)
sizes = st.tuples(st.integers(2, 8), st.integers(2, 8))
seeds = st.integers(0, 2**32)


def noise(seed: int, size: tuple[int, int], length: int = 2) -> LoadedSample:
    rng = np.random.default_rng(seed)
    return LoadedSample(
        "noise",
        torch.from_numpy(rng.integers(0, 256, (length, 3, *size)).astype(np.uint8)),
        torch.from_numpy(rng.integers(0, 5, size).astype(np.uint8)),
        torch.from_numpy(rng.normal(0, 3, (length - 1, 2, *size)).astype(np.float32)),
    )


def view(source: tuple[int, int], **changes) -> Geometry:
    """A view of which only what is said changes anything."""
    scaled = changes.get("size", source)
    return replace(Geometry(source, False, source, (0, 0, *scaled)), **changes)


def identical(one: LoadedSample, other: LoadedSample) -> bool:
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in ("frames", "labels", "flows"))


# --- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"flip": 1.0}, {"brightness": 0.0}, {"saturation": 1.0}, {"contrast": 0.1}, {"crop": (9, 9)}]
)
def test_one_setting_changes_no_other_drawing(change):
    """So that experiments that differ in one setting see the same views otherwise."""
    rng, changed_rng = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(20):
        one, other = (
            draw_view(EVERYTHING, rng, (40, 60)),
            draw_view(replace(EVERYTHING, **change), changed_rng, (40, 60)),
        )
        assert one.size == other.size
        assert one.flip == other.flip or "flip" in change
        assert one.window == other.window or "crop" in change
        different = {
            n for n in ("brightness", "contrast", "saturation") if getattr(one.colour, n) != getattr(other.colour, n)
        }
        assert different <= set(change)


def test_views_spread_over_all_that_is_allowed():
    rng = np.random.default_rng(0)
    views = [draw_view(Augmentation(0.25, (0.5, 2.0), (60, 60), 0.2), rng, (80, 100)) for _ in range(2000)]
    assert np.mean([v.flip for v in views]) == pytest.approx(0.25, abs=0.03)
    factors = np.log2([v.size[1] / 100 for v in views])
    assert (factors.min(), factors.max()) == (pytest.approx(-1, abs=0.02), pytest.approx(1, abs=0.02))
    assert np.median(factors) == pytest.approx(0, abs=0.1)  # as often halved as doubled
    assert {v.colour.contrast for v in views} == {1.0}
    lights = [v.colour.brightness for v in views]
    assert 0.8 <= min(lights) < 0.81
    assert 1.19 < max(lights) <= 1.2


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_a_window_lies_anywhere_within_or_around_the_picture(seed, side, crop):
    rng = np.random.default_rng(seed)
    tops = {draw_view(Augmentation(crop=(crop, 3)), rng, (side, 3)).window[0] for _ in range(100)}
    assert tops == set(range(side - crop + 1)) if side >= crop else set(range(side - crop, 1))


@given(st.integers(2, 9), st.floats(0.001, 1))
def test_no_side_shrinks_to_a_single_pixel(side, factor):
    """Torch 2.13 scales to a width of one pixel wrongly without a word."""
    got = draw_view(Augmentation(scale=(factor, factor)), np.random.default_rng(0), (side, 9)).size
    assert min(got) >= 2
    assert got[0] == 2 or abs(got[0] - side * factor) <= 0.5 + 1e-9


@given(seeds, sizes)
def test_off_is_nothing_at_all(seed, size):
    sample = noise(seed, size)
    rng = np.random.default_rng(seed)
    got = draw_view(Augmentation(), rng, size).apply(sample)
    assert identical(got, sample)
    same_size = draw_view(Augmentation(crop=size, scale=(1, 1)), rng, size).apply(sample)
    assert identical(same_size, sample)


# --- each step against a plain reference ----------------------------------------------------------------------------


@given(seeds, sizes)
def test_mirrored_twice_is_what_it_was(seed, size):
    sample, mirror = noise(seed, size), view(size, flip=True)
    once = mirror.apply(sample)
    assert torch.equal(once.frames, sample.frames.flip(-1))
    assert torch.equal(once.labels, sample.labels.flip(-1))
    assert torch.equal(once.flows[:, 0], -sample.flows[:, 0].flip(-1))
    assert torch.equal(once.flows[:, 1], sample.flows[:, 1].flip(-1))
    assert identical(mirror.apply(once), sample)


@given(seeds, sizes, sizes, st.integers(-9, 9), st.integers(-9, 9))
def test_a_window_is_cut_pixel_by_pixel(seed, size, crop, top, left):
    sample = noise(seed, size)
    got = view(size, window=(top, left, *crop)).apply(sample)
    assert got.frames.shape == (2, 3, *crop)
    h, w = size
    for y, x in np.ndindex(*crop):
        row, column = y + top, x + left
        inside = 0 <= row < h and 0 <= column < w
        near = min(max(row, 0), h - 1), min(max(column, 0), w - 1)
        assert got.labels[y, x] == (sample.labels[near] if inside else 255)
        assert torch.equal(got.frames[..., y, x], sample.frames[..., near[0], near[1]])
        assert torch.equal(got.flows[..., y, x], sample.flows[..., near[0], near[1]])


@given(seeds, sizes, sizes)
def test_labels_are_those_at_the_nearest_pixels_centre(seed, size, scaled):
    sample = noise(seed, size)
    got = view(size, size=scaled).apply(sample)
    for y, x in np.ndindex(*scaled):
        at = [math.floor((i + 0.5) * before / after) for i, before, after in zip((y, x), size, scaled, strict=True)]
        assert got.labels[y, x] == sample.labels[at[0], at[1]]


@given(seeds, sizes, sizes)
def test_frames_are_scaled_as_pillow_does(seed, size, scaled):
    sample = noise(seed, size)
    got = view(size, size=scaled).apply(sample)
    for before, after in zip(sample.frames, got.frames, strict=True):
        picture = PIL.Image.fromarray(before.permute(1, 2, 0).contiguous().numpy())
        expected = np.array(picture.resize(scaled[::-1], PIL.Image.Resampling.BILINEAR), dtype=int)
        assert np.abs(after.permute(1, 2, 0).numpy() - expected).max() <= 1


@given(seeds, sizes, sizes)
def test_flow_is_read_at_the_cells_centre_and_scaled(seed, size, scaled):
    sample = noise(seed, size)
    got = view(size, size=scaled).apply(sample).flows[0].numpy()
    flow = sample.flows[0].numpy().astype(float)
    factor = (scaled[1] / size[1], scaled[0] / size[0])
    for y, x in np.ndindex(*scaled):
        row, column = (
            min(max((i + 0.5) * before / after - 0.5, 0), before - 1)
            for i, before, after in zip((y, x), size, scaled, strict=True)
        )
        top, left = int(row), int(column)
        bottom, right = min(top + 1, size[0] - 1), min(left + 1, size[1] - 1)
        dy, dx = row - top, column - left
        value = (
            flow[:, top, left] * (1 - dy) * (1 - dx) + flow[:, top, right] * (1 - dy) * dx
            + flow[:, bottom, left] * dy * (1 - dx) + flow[:, bottom, right] * dy * dx
        )  # fmt: skip
        assert got[:, y, x] == pytest.approx(value * factor, abs=1e-4)


@pytest.mark.parametrize("kind", ["Brightness", "Contrast", "Color"])
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_colours_change_as_pillow_changes_them(kind, factor):
    image = noise(3, (9, 7)).frames[0]
    name = "saturation" if kind == "Color" else kind.lower()
    got = replace(Colour(), **{name: factor}).apply(image[None])[0]
    picture = PIL.Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    expected = np.array(getattr(PIL.ImageEnhance, kind)(picture).enhance(factor), dtype=int)
    assert np.abs(got.permute(1, 2, 0).numpy() - expected).max() <= 2  # Pillow rounds the gray and its mean


def test_all_frames_change_colour_alike():
    """Pixels that were the same in both frames still are: no view flickers."""
    sample = noise(1, (8, 8))
    sample.frames[1, :, :4] = sample.frames[0, :, :4]
    got = view((8, 8), colour=Colour(1.2, 0.7, 1.4)).apply(sample)
    assert torch.equal(got.frames[0, :, :4], got.frames[1, :, :4])
    assert not torch.equal(got.frames, sample.frames)


# --- flow stays the frames' ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds, st.integers(4, 12), st.integers(4, 12), st.booleans(), st.data())
def test_integer_flow_still_finds_every_pixel_exactly(seed, h, w, flip, data):
    """A current frame is put together from the previous one along a random integer flow, pixel by pixel."""
    rng = np.random.default_rng(seed)
    previous = rng.integers(0, 256, (3, h, w)).astype(np.uint8)
    y, x = np.mgrid[:h, :w]
    from_y, from_x = rng.integers(0, h, (h, w)), rng.integers(0, w, (h, w))
    current = previous[:, from_y, from_x]
    flow = np.stack([from_x - x, from_y - y]).astype(np.float32)[None]
    sample = LoadedSample(
        "s",
        torch.from_numpy(np.stack([previous, current])),
        torch.zeros(h, w, dtype=torch.uint8),
        torch.from_numpy(flow),
    )
    window = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, h - 2), st.integers(1, w - 2)))
    got = view((h, w), flip=flip, window=window).apply(sample)
    warped = warp(got.frames[:1].float(), got.flows)[0]
    v, u = np.mgrid[: window[2], : window[3]] + got.flows[0].numpy()[::-1]
    seen = (v >= 0) & (v <= window[2] - 1) & (u >= 0) & (u <= window[3] - 1)  # the rest was cut off
    assert np.array_equal(warped.numpy()[:, seen], got.frames[1].float().numpy()[:, seen])


VIEWS = {
    "mirrored": (Augmentation(flip=1.0), 0.15),
    "cropped": (Augmentation(crop=(200, 300)), 0.25),
    "halved": (Augmentation(scale=(0.5, 0.5)), 0.3),
    "smaller": (Augmentation(scale=(0.8, 0.8)), 0.25),
    "larger": (Augmentation(scale=(1.5, 1.5)), 0.45),
    "all": (Augmentation(0.5, (0.7, 1.5), (240, 320), 0.2, 0.2, 0.2), 0.4),
}


@cache
def real_sample() -> LoadedSample:
    frames = [torch.from_numpy(read_image(path).transpose(2, 0, 1).copy()) for path in sorted(VAL.glob("*.jpg"))[60:62]]
    return LoadedSample("real", torch.stack(frames), None, DISFlow("medium")(frames[1][None], frames[0][None]))


@pytest.mark.skipif(not VAL.is_dir(), reason="the real data does not lie beside the checkout")
@pytest.mark.parametrize("kind", VIEWS)
def test_transformed_flow_is_what_would_be_estimated_anew(kind):
    """On real video, to a tolerance of the median that is a fraction of what DIS itself is wrong by."""
    augmentation, tolerance = VIEWS[kind]
    sample = real_sample()
    got = draw_view(augmentation, np.random.default_rng(2), (360, 480)).apply(sample)
    anew = DISFlow("medium")(got.frames[1:], got.frames[:1])
    assert (got.flows - anew).norm(dim=1).median() <= tolerance
    assert anew.norm(dim=1).median() > 4 * tolerance  # there is something to be wrong about


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flip": 1.5}, "flip"), ({"flip": math.nan}, "flip"), ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (2.0, 1.0)}, "scale"), ({"scale": (1.0, math.inf)}, "scale"), ({"crop": (0, 5)}, "crop"),
        ({"brightness": -0.1}, "brightness"), ({"contrast": 1.1}, "contrast"), ({"saturation": math.nan}, "saturation"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        Augmentation(**wrong)


def test_a_view_of_another_size_is_refused():
    with pytest.raises(InputError, match="noise is 6×5, but the view is drawn for 5×6"):
        draw_view(Augmentation(), np.random.default_rng(0), (6, 5)).apply(noise(0, (5, 6)))


@given(seeds, sizes)
def test_a_single_frame_and_a_sample_without_labels_and_flow_are_fine(seed, size):
    got = draw_view(EVERYTHING, np.random.default_rng(seed), size).apply(noise(seed, size, length=1))
    assert got.frames.shape == (1, 3, 20, 30)
    assert got.flows.shape == (0, 2, 20, 30)
    bare = replace(noise(seed, size), labels=None, flows=None)
    got = draw_view(EVERYTHING, np.random.default_rng(seed), size).apply(bare)
    assert got.labels is None
    assert got.flows is None
