"""CamVid's form of 11 classes: the real data, and small folders with each fault."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from netwarp.datasets.camvid import camvid
from netwarp.errors import InputError

REAL = Path(__file__).parents[3] / "shared" / "data"


def write_split(root: Path, names: list[str], split: str = "val", suffix: str = ".png") -> Path:
    for folder in (root / split, root / f"{split}annot"):
        folder.mkdir(parents=True)
    for index, name in enumerate(names):
        PIL.Image.fromarray(np.full((4, 6, 3), index, np.uint8)).save(root / split / f"{name}{suffix}")
        PIL.Image.fromarray(np.full((4, 6), index % 12, np.uint8)).save(root / f"{split}annot" / f"{name}.png")
    return root


def names_of(root: Path) -> list[list[str]]:
    return [[frame.name for frame in clip.frames] for clip in camvid(root, "val").clips]


@pytest.mark.skipif(not (REAL / "camvid").is_dir(), reason="the real data does not lie beside the checkout")
@pytest.mark.parametrize(("split", "frames", "pairs"), [("train", 367, 0), ("val", 101, 100), ("test", 233, 0)])
def test_the_real_data(split: str, frames: int, pairs: int):
    data = camvid(REAL, split)
    assert data.name == f"camvid {split}"
    assert sum(len(clip.frames) for clip in data.clips) == frames
    samples = data.samples()
    assert len(samples) == pairs
    assert len(samples.left_out) == frames - pairs
    assert len(data.samples(1)) == frames
    if split == "val":
        assert [clip.name for clip in data.clips] == ["0016E5_07959"]
        assert [left.name for left in samples.left_out] == ["0016E5_07959"]
        for sample in samples:
            before, after = (int(frame.name[-5:]) for frame in sample.frames)
            assert after - before == 2
    frame = data.clips[-1].frames[-1]
    name = {"train": "0016E5_08640", "val": "0016E5_08159", "test": "Seq05VD_f05100"}[split]
    assert frame.name == name
    with PIL.Image.open(REAL / "camvid" / split / f"{name}.jpg") as picture:
        np.testing.assert_array_equal(frame.image(), np.asarray(picture))
    with PIL.Image.open(REAL / "camvid" / f"{split}annot" / f"{name}.png") as picture:
        given = Counter(np.asarray(picture).ravel().tolist())
    given[255] = given.pop(11, 0)
    assert Counter(frame.labels().ravel().tolist()) == +given


def test_numbers_say_which_frames_follow_each_other(tmp_path: Path):
    root = write_split(tmp_path, ["0016E5_00005", "0016E5_00001", "0016E5_00003", "0016E5_00008", "0006R0_f00009"])
    assert names_of(root) == [["0006R0_f00009"], ["0016E5_00001", "0016E5_00003", "0016E5_00005"], ["0016E5_00008"]]


def test_void_is_ignored_and_classes_are_kept(tmp_path: Path):
    root = write_split(tmp_path, [f"0016E5_{n:05d}" for n in range(12)], suffix=".jpg")
    frames = camvid(root, "val").clips[0].frames
    assert [frame.labels()[0, 0] for frame in frames] == [*range(11), 255]
    assert frames[3].labels().dtype == np.uint8


@pytest.mark.parametrize("value", [12, 100, 254])
def test_a_label_that_is_no_class_names_file_and_value(tmp_path: Path, value: int):
    root = write_split(tmp_path, ["0016E5_00001"])
    labels = np.zeros((4, 6), np.uint8)
    labels[1, :3] = value
    PIL.Image.fromarray(labels).save(root / "valannot" / "0016E5_00001.png")
    frame = camvid(root, "val").clips[0].frames[0]
    with pytest.raises(InputError, match=rf"0016E5_00001\.png holds label {value} in 3 of its pixels"):
        frame.labels()


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path):
    root = write_split(tmp_path, ["0016E5_00001"])
    (root / "val" / "0016E5_00001.png").write_bytes(b"no image")
    (root / "valannot" / "0016E5_00001.png").write_bytes(b"no labels")
    (clip,) = camvid(root, "val").clips
    for read in (clip.frames[0].image, clip.frames[0].labels):
        with pytest.raises(InputError, match=r"0016E5_00001\.png"):
            read()


def test_frames_travel_to_other_processes(tmp_path: Path):
    frame = pickle.loads(pickle.dumps(camvid(write_split(tmp_path, ["0016E5_00001"]), "val"))).clips[0].frames[0]
    assert frame.image().shape == (4, 6, 3)
    assert frame.labels().shape == (4, 6)


@pytest.mark.parametrize("folder", ["camvid", "CamVid"])
def test_the_folder_may_lie_in_the_one_given(tmp_path: Path, folder: str):
    write_split(tmp_path / folder, ["0016E5_00001"])
    assert names_of(tmp_path) == [["0016E5_00001"]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda r: (r / "valannot" / "0016E5_00001.png").unlink(),
            r"00001\.png has no labels: .*valannot.* is missing",
        ),
        (lambda r: (r / "val" / "0016E5_00001.png").unlink(), r"valannot/0016E5_00001\.png has no frame"),
        (lambda r: (r / "val" / "0016E5_00001.png").rename(r / "val" / "first.png"), "no frame number at the end"),
        (lambda r: (r / "val").rename(r / "frames"), "no folder val"),
        (lambda r: (r / "valannot").rename(r / "annot"), "does not hold CamVid: expected train/, trainannot/"),
    ],
)
def test_bad_folders_are_one_clear_line(tmp_path: Path, damage, message: str):
    root = write_split(tmp_path / "data", ["0016E5_00001", "0016E5_00003"])
    damage(root)
    with pytest.raises(InputError, match=message):
        camvid(root, "val")


def test_two_files_of_one_number(tmp_path: Path):
    root = write_split(tmp_path, ["0016E5_00001", "0016E5_1"])
    with pytest.raises(InputError, match="one frame number"):
        camvid(root, "val")


def test_wrong_questions(tmp_path: Path):
    root = write_split(tmp_path, ["0016E5_00001"])
    with pytest.raises(InputError, match="no folder train"):
        camvid(root, "train")
