"""Clips and pairs as data sets, and the effects' settings."""

from dataclasses import replace

import numpy as np
import pytest

from netwarp.errors import ConfigurationError, OutputError
from netwarp.streets import Effects, StreetPairs, Streets, render_clip

SIZE = (24, 40)


def test_clips_are_those_of_render_clip():
    streets = Streets(range(7, 9), frames=2, size=SIZE)
    assert len(streets) == 2
    for got, expected in zip(streets[1], render_clip(8, 2, SIZE), strict=True):
        assert np.array_equal(got.image, expected.image)
    assert np.array_equal(streets[-1][0].labels, streets[1][0].labels)
    assert streets[1:].seeds == [8]
    with pytest.raises(IndexError):
        streets[2]


def test_pairs_are_consecutive_frames():
    streets = Streets([3, 4], frames=3, size=SIZE)
    pairs = streets.pairs()
    assert len(pairs) == 4
    frames = streets[1]
    pair = pairs[-1]
    assert np.array_equal(pair.previous, frames[1].image)
    assert np.array_equal(pair.current, frames[2].image)
    assert np.array_equal(pair.labels, frames[2].labels)
    assert np.array_equal(pair.flow, frames[2].flow)
    assert np.array_equal(pair.visible, frames[2].visible)
    assert len(pairs[1:3]) == 2
    for wrong in (4, -5):
        with pytest.raises(IndexError):
            pairs[wrong]


def test_a_clip_is_rendered_once_and_kept(tmp_path, rendered):
    streets = Streets([1, 2], frames=3, size=SIZE)
    first = list(streets.pairs(tmp_path / "kept"))
    assert rendered == {1: 1, 2: 1}
    again = list(streets.pairs(tmp_path / "kept"))
    assert rendered == {1: 1, 2: 1}
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    dusk = Streets([1], frames=3, size=SIZE, weather="dusk").pairs(tmp_path / "kept")
    assert len(dusk[:]) == 2
    assert rendered == {1: 2, 2: 1}
    assert not list(tmp_path.rglob("*.part"))


def test_memory_holds_the_latest_clips_only():
    pairs = Streets([1, 2], frames=2, size=SIZE).pairs(keep=1)
    list(pairs)
    assert list(pairs._clips) == [1]


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Streets([1], frames=2, size=SIZE).pairs(tmp_path / "file")[0]


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_in_the_cache_is_made_anew(tmp_path, damage):
    streets = Streets([1], frames=2, size=SIZE)
    expected = streets.pairs(tmp_path)[0]
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    again = streets.pairs(tmp_path)[0]
    assert all(np.array_equal(x, y) for x, y in zip(expected, again, strict=True))
    assert file.stat().st_size == len(whole)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigurationError, match="seed"):
        Streets([1, -2])
    with pytest.raises(ConfigurationError, match="at least 2 frames"):
        Streets([1], frames=1).pairs()
    with pytest.raises(ConfigurationError, match="keep"):
        StreetPairs(Streets([1]), keep=0)


@pytest.fixture(scope="module")
def unaffected():
    return np.stack([f.image for f in render_clip(1, 3, (45, 80), effects=Effects.off())])


@pytest.mark.parametrize(
    "settings",
    [
        {"haze": 3.0}, {"shadows": 1.0}, {"motion_blur": 0.8}, {"lens_blur": 2.0}, {"vignette": 0.5},
        {"light_changes": 1.0}, {"flicker": 0.1}, {"shot_noise": 5.0}, {"read_noise": 5.0}, {"jpeg_quality": 50},
    ],
)  # fmt: skip
def test_each_effect_does_something(settings, unaffected):
    effects = replace(Effects.off(), **settings)
    changed = np.stack([f.image for f in render_clip(1, 3, (45, 80), effects=effects)])
    assert not np.array_equal(unaffected, changed)


@pytest.mark.parametrize(
    "settings", [{"haze": -1}, {"motion_blur": 1.5}, {"jpeg_quality": 101}, {"read_noise": float("nan")}]
)
def test_effects_refuse_what_makes_no_sense(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Effects(**settings)
