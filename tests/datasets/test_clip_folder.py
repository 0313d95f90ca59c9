"""Any folder of clips: images, videos, gaps, labels, and each fault of a layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from small_camvid import HEIGHT, WIDTH, picture, write_video

from netwarp.datasets.check import check_data
from netwarp.datasets.clip_folder import clip_folder, splits_in
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, InputError


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def write_clip(root: Path, clip: str, frames: list[str], labelled: list[str], split: str = "val") -> None:
    for index, name in enumerate(frames):
        write_image(root / split / "frames" / clip / f"{name}.jpg", np.full((4, 6, 3), 10 * index, np.uint8))
    for index, name in enumerate(labelled):
        write_image(root / split / "labels" / clip / f"{name}.png", np.full((4, 6), index % 2, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "classes.txt").write_text("road 128 64 128\ntraffic light\n")
    return tmp_path / "set"


def opened(root: Path, **options: int):
    return clip_folder(root, "val", cache=root.parent / "cache", **options)


def names_of(root: Path) -> list[list[str]]:
    return [[frame.name for frame in clip.frames] for clip in opened(root).clips]


def test_frames_and_their_sparse_labels(root: Path):
    write_clip(root, "b", ["f8", "f9", "f10", "f11"], ["f9", "f11"])
    write_clip(root, "a", ["0001", "0002"], ["0001"])
    data = opened(root)
    assert data.name == "set val"
    assert data.classes.names == ("road", "traffic light")
    assert names_of(root) == [["a/0001", "a/0002"], ["b/f8", "b/f9", "b/f10", "b/f11"]]
    samples = data.samples()
    assert [sample.name for sample in samples] == ["b/f9", "b/f11"]
    assert [left.name for left in samples.left_out] == ["a/0001"]
    np.testing.assert_allclose(samples[1].frames[0].image(), 20, atol=3)
    assert (samples[1].frames[1].labels() == 1).all()
    assert samples[1].frames[0].labels is None


def test_labels_of_any_suffix_and_case_are_found_and_others_counted(root: Path):
    write_clip(root, "a", ["1", "2", "3", "4", "5"], ["1"])
    label = root / "val" / "labels" / "a" / "1.png"
    for name in ("2.PNG", "3.tif", "4.bmp", "5.jpg"):
        write_image(label.with_name(name), np.zeros((4, 6), np.uint8))
    label.with_name("notes.txt").write_text("mine")
    data = opened(root)
    assert [frame.name for frame in data.clips[0].frames if frame.labels is not None] == ["a/1", "a/2", "a/3", "a/4"]
    assert [left.name for left in data.left_out] == ["a/5.jpg"]
    write_image(label.with_name("1.bmp"), np.zeros((4, 6), np.uint8))
    with pytest.raises(InputError, match=r"1\.png and 1\.bmp|1\.bmp and 1\.png"):
        opened(root)


def test_masks_of_0_and_255_are_doubted_until_it_is_said_what_they_mean(root: Path):
    write_clip(root, "a", ["1", "2"], [])
    for name in ("1", "2"):
        write_image(
            root / "val" / "labels" / "a" / f"{name}.png", np.array([[0, 255]], np.uint8).repeat(3, 1).repeat(4, 0)
        )
    doubt = check_data(open_data(f"folder:{root}")).doubt
    assert doubt is not None
    assert "traffic light" in doubt
    assert "255=" in doubt
    summary = check_data(open_data(f"folder:{root}", mask_value="255=1"))
    assert (summary.doubt, summary.pixels) == (None, [24, 24, 0])


@pytest.mark.parametrize("text", ["255", "255=x", "1=256", "=1", "255:1"])
def test_a_mask_value_that_makes_no_sense_is_refused(root: Path, text: str):
    write_clip(root, "a", ["1", "2"], ["1"])
    with pytest.raises(ConfigurationError, match=text):
        open_data(f"folder:{root}", mask_value=text)


@pytest.mark.parametrize(
    ("step", "frames", "clips"),
    [
        (None, ["1", "2", "3"], [3]),
        (None, ["1", "2", "4", "5"], [2, 2]),
        (None, ["00", "02", "04"], [1, 1, 1]),
        (2, ["00", "02", "04"], [3]),
        (2, ["00", "02", "06", "07"], [2, 2]),
        (None, ["29", "30", "59", "60"], [2, 2]),
        (None, ["9", "10", "11"], [3]),
        (None, ["a1", "a2", "b3", "b4"], [2, 2]),
        (None, ["7_left", "8_left", "9_right"], [2, 1]),
        (None, ["b", "a", "c"], [3]),
        (None, ["1", "2", "end"], [2, 1]),
        (None, ["3", "03"], [1, 1]),
        (None, ["5"], [1]),
    ],
)
def test_a_missing_number_begins_a_new_clip(root: Path, step: int | None, frames: list[str], clips: list[int]):
    write_clip(root, "c", frames, frames)
    if step is not None:
        (root / "step.txt").write_text(f"{step}\n")
    data = opened(root)
    assert [len(clip.frames) for clip in data.clips] == clips
    assert len(data.samples()) == len(frames) - len(clips)
    assert len({clip.name for clip in data.clips}) == len(clips)


def test_labels_without_a_frame_are_counted(root: Path):
    write_clip(root, "c", ["1", "2"], ["2", "7"])
    write_clip(root, "lost", [], ["1"])
    assert [(left.name, left.reason.partition(" in ")[0]) for left in opened(root).left_out] == [
        ("c/7", "there is no frame of its name"),
        ("lost/1", "there is no clip lost"),
    ]


def test_label_values(root: Path):
    write_clip(root, "c", ["1", "2"], ["2"])
    frame = opened(root).samples()[0].frames[-1]
    indexed = PIL.Image.fromarray(np.array([[0, 1, 255]], np.uint8))
    indexed.putpalette([9, 9, 9] * 256)
    indexed.save(root / "val" / "labels" / "c" / "2.png")
    assert frame.labels().tolist() == [[0, 1, 255]]
    write_image(root / "val" / "labels" / "c" / "2.png", np.array([[0, 2, 2, 9]], np.uint8))
    with pytest.raises(InputError, match=r"2\.png holds label 2 in 2 of its pixels \(and 1 other values\): .* 0 to 1"):
        frame.labels()


def test_videos_give_the_frames_that_labels_need(root: Path):
    write_video(root / "val" / "frames" / "drive.mkv", [picture(n) for n in range(30)])
    for index in (0, 5, 6, 20, 40):
        write_image(root / "val" / "labels" / "drive" / f"{index:06d}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    data = opened(root)
    assert names_of(root) == [
        ["drive/000000"],
        ["drive/000004", "drive/000005", "drive/000006"],
        ["drive/000019", "drive/000020"],
    ]
    samples = data.samples()
    assert [(s.frames[0].name, s.name) for s in samples] == [
        ("drive/000004", "drive/000005"),
        ("drive/000005", "drive/000006"),
        ("drive/000019", "drive/000020"),
    ]
    for sample in samples:
        for frame in sample.frames:
            np.testing.assert_array_equal(frame.image(), picture(int(frame.name[-6:])))
    assert {left.name: left.reason for left in samples.left_out} == {
        "drive/000040": "drive.mkv has no frame of its number",
        "drive/000000": "no frame before it, and clips of 2 need 1",
    }
    assert len(opened(root, length=4).samples(4)) == 3


def test_a_damaged_video_ends_at_the_damage(root: Path):
    video = write_video(root / "val" / "frames" / "drive.mkv", [picture(n) for n in range(30)])
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    for index in (3, 25):
        write_image(root / "val" / "labels" / "drive" / f"{index}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    samples = opened(root).samples()
    assert [sample.name for sample in samples] == ["drive/000003"]
    assert [left.name for left in samples.left_out] == ["drive/25"]


def test_splits_are_folders_with_frames(root: Path):
    write_clip(root, "c", ["1"], ["1"], split="night")
    write_clip(root, "c", ["1"], ["1"], split="day")
    (root / "notes").mkdir()
    assert splits_in(root) == ("day", "night")
    with pytest.raises(ConfigurationError, match="did you mean 'night'"):
        clip_folder(root, "nigth")


def damaged(root: Path, relative: str, content: bytes | None = b"x") -> None:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: damaged(r, "classes.txt", None), r"classes\.txt is missing"),
        (lambda r: damaged(r, "classes.txt", b"\xff\xfe"), "not UTF-8"),
        (lambda r: damaged(r, "step.txt", b"0"), r"step\.txt must hold one whole number"),
        (lambda r: damaged(r, "step.txt", b"two"), r"step\.txt must hold one whole number"),
        (lambda r: damaged(r, "val/frames/stray.png"), r"stray\.png is in no clip"),
        (lambda r: damaged(r, "val/frames/c/1.png"), "are both frame 1"),
        (lambda r: damaged(r, "val/frames/c.mp4"), r"are both called c"),
        (lambda r: (r / "val" / "labels").rename(r / "val" / "label"), "labels is missing"),
        (lambda r: (r / "val" / "frames" / "empty").mkdir(), "empty is empty"),
        (lambda r: (damaged(r, "val/frames/v.mp4"), damaged(r, "val/labels/v/first.png")), "name it by its frame's"),
        (lambda r: (damaged(r, "val/frames/v.mp4"), damaged(r, "val/labels/v/1.png")), r"v\.mp4 is not a video"),
        (
            lambda r: (damaged(r, "val/frames/v.mp4"), [damaged(r, f"val/labels/v/{n}.png") for n in ("1", "01")]),
            "both label frame 1",
        ),
    ],
)
def test_bad_layouts_are_one_clear_line(root: Path, damage: Callable[[Path], object], message: str):
    write_clip(root, "c", ["1", "2"], ["2"])
    damage(root)
    with pytest.raises(InputError, match=message):
        opened(root)


def test_folders_that_are_something_else(root: Path):
    with pytest.raises(InputError, match=r"holds no clips: expected classes\.txt"):
        clip_folder(root, "val")
    (root / "val" / "frames").mkdir(parents=True)
    (root / "val" / "labels").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no clips: put folders of images or videos"):
        clip_folder(root, "val")
    with pytest.raises(ConfigurationError, match="length"):
        clip_folder(root, "val", length=0)
