"""Rendered streets as labelled clips."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID
from netwarp.streets import CLASSES, Streets, dataset, render_clip
from netwarp.streets import labelled_clips as module
from netwarp.streets.labelled_clips import SPLITS, rendered_data, street_clips

SIZE = (24, 40)


def small(split: str = "val", **settings):
    return street_clips(split, **({"clips": 2, "frames": 3, "size": SIZE} | settings))


def seeds_of(data) -> list[int]:
    return [int(clip.name.removeprefix("street-")) for clip in data.clips]


def assert_rendered(clip, frames) -> None:
    for known, frame in zip(clip.frames, frames, strict=True):
        assert np.array_equal(known.image(), frame.image)
        assert np.array_equal(known.labels(), frame.labels)
        assert np.array_equal(known.instances(), frame.instances)
        assert known.instances().dtype == np.int32
        assert np.array_equal(known.flow(), frame.flow) if frame.index else known.flow is None


def test_frames_are_those_of_the_renderer():
    data = small(seed=3)
    assert data.classes is CAMVID
    assert len(data.samples()) == 4
    for clip, seed in zip(data.clips, seeds_of(data), strict=True):
        assert_rendered(clip, Streets([seed], 3, SIZE)[0])


def test_a_clip_is_rendered_when_it_is_asked_for_and_once(rendered: Counter[int]):
    data = small()
    assert not rendered
    first, second = seeds_of(data)
    for frame in data.clips[1].frames:
        frame.image(), frame.labels()
    assert rendered == {second: 1}
    data.clips[0].frames[2].flow()
    data.clips[1].frames[0].image()
    assert rendered == {second: 1, first: 1}


def test_memory_is_bounded(rendered: Counter[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MEMORY", 1)
    data = small()
    for clip in (0, 0, 1, 1, 0):
        data.clips[clip].frames[0].image()
    assert list(rendered.values()) == [2, 1]


def test_a_cache_folder_keeps_what_was_rendered(tmp_path: Path, rendered: Counter[int]):
    before = small(cache=tmp_path).clips[0].frames[1].image()
    after = small(cache=tmp_path).clips[0].frames[1]
    assert np.array_equal(before, after.image())
    assert np.array_equal(after.instances(), Streets(seeds_of(small()), 3, SIZE)[0][1].instances)
    assert list(rendered.values()) == [2]


def test_clips_kept_by_a_version_without_objects_are_rendered_again(
    tmp_path: Path, rendered: Counter[int], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as older:
        older.setattr(dataset, "RENDERING", 1)
        older.setattr(dataset, "_KEPT", ("image", "labels", "flow", "visible"))
        before = small(cache=tmp_path).clips[0].frames[1].image()
    frame = small(cache=tmp_path).clips[0].frames[1]
    assert frame.instances().shape == SIZE
    assert np.array_equal(frame.image(), before)
    assert list(rendered.values()) == [2]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_reader_changes_is_not_what_is_kept():
    frame = small().clips[0].frames[1]
    frame.image()[:] = 0
    assert frame.image().any()


@pytest.mark.parametrize(("every", "labelled"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), (5, [4])])
def test_labels_on_some_frames_only(every: int, labelled: list[int]):
    (clip,) = small(clips=1, frames=5, every=every).clips
    assert [index for index, frame in enumerate(clip.frames) if frame.labels is not None] == labelled
    assert [index for index, frame in enumerate(clip.frames) if frame.instances is not None] == labelled


def test_no_two_splits_or_seeds_share_a_street():
    every = [seed for s in (0, 1, 2, 7) for split in SPLITS for seed in seeds_of(small(split, seed=s))]
    assert len(set(every)) == len(every)
    largest = [set(seeds_of(small(split, clips=300, seed=1))) for split in SPLITS]
    assert not set.intersection(*largest)


def test_frames_travel_to_other_processes():
    data = small()
    other = pickle.loads(pickle.dumps(data))
    assert np.array_equal(other.clips[1].frames[1].image(), data.clips[1].frames[1].image())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 0}, "clips"),
        ({"clips": 10**6 + 1}, "clips"),
        ({"frames": 1}, "at least 2 frames"),
        ({"every": 0}, "every=0"),
        ({"every": 4}, "every=4 labels no frame"),
        ({"seed": -1}, "seed"),
        ({"size": (4, 40)}, "size"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, message: str):
    with pytest.raises(ConfigurationError, match=message):
        small(**settings)


def test_no_such_split():
    with pytest.raises(ConfigurationError, match="'test'"):
        small("tests")


def test_rendered_frames_as_a_data_set():
    clips = [list(render_clip(seed, 3, (24, 32))) for seed in (0, 1)]
    data = rendered_data(clips)
    assert data.classes.names == CLASSES
    assert len({frame.name for clip in data.clips for frame in clip.frames}) == 6
    for clip, frames in zip(data.clips, clips, strict=True):
        assert_rendered(clip, frames)
    assert len(data.samples()) == 4
