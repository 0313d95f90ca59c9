"""Data sets by name."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from netwarp.datasets.registry import DATASETS, open_data, splits_of
from netwarp.errors import ConfigurationError, InputError


def write_folder(root: Path, *splits: str) -> Path:
    for split in splits:
        for folder, value in (("frames", 90), ("labels", 0)):
            (root / split / folder / "c").mkdir(parents=True)
            for name in ("1", "2"):
                PIL.Image.fromarray(np.full((4, 6), value, np.uint8)).save(root / split / folder / "c" / f"{name}.png")
    (root / "classes.txt").write_text("road\n")
    return root


def test_streets_with_and_without_settings():
    assert [len(open_data("streets").clips), len(open_data("streets:").clips)] == [8, 8]
    data = open_data("streets: clips=3, frames=4,size=64x48,seed=2,every=2", "train")
    assert data.name == "streets train"
    assert len(data.clips) == 3
    assert len(data.samples()) == 6
    assert data.clips[0].frames[0].image().shape == (48, 64, 3)
    slow, fast = (
        open_data(f"streets:clips=1,frames={frames},size=64x48,rate={rate}") for frames, rate in ((2, 7.5), (3, "15"))
    )
    assert np.array_equal(slow.clips[0].frames[1].labels(), fast.clips[0].frames[2].labels())  # of one drive


def test_camvid_by_its_folder(tmp_path: Path):
    for folder in ("val", "valannot"):
        (tmp_path / folder).mkdir()
        for name in ("0016E5_07959", "0016E5_07961"):
            PIL.Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / folder / f"{name}.png")
    assert len(open_data(f"camvid:{tmp_path}").samples()) == 1


def test_folders_have_splits_of_their_own(tmp_path: Path):
    one = write_folder(tmp_path / "one", "night")
    assert open_data(f"folder:{one}").name == "one night"
    two = write_folder(tmp_path / "two", "night", "val")
    assert splits_of(f"folder:{two}") == ("night", "val")
    assert open_data(f"folder:{two}").name == "two val"
    assert open_data(f"folder:{two}", "night").name == "two night"
    neither = write_folder(tmp_path / "neither", "day", "night")
    with pytest.raises(ConfigurationError, match="has the splits day, night: say which"):
        open_data(f"folder:{neither}")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "mine", "val")
    assert len(open_data("folder:~/mine").samples()) == 1


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_what_it_is(name: str):
    if DATASETS[name].splits:
        assert splits_of(f"{name}:anywhere") == DATASETS[name].splits
        with pytest.raises(ConfigurationError, match=f"no split of {name} named 'vall': did you mean 'val'"):
            open_data(f"{name}:anywhere", "vall")


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"streets"}))
def test_folders_that_are_missing(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f"write {name}:DIR"):
        open_data(name)
    with pytest.raises(InputError, match="nowhere"):
        open_data(f"{name}:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("canvid:x", "did you mean 'camvid'"),
        ("", "known: camvid"),
        ("streets:clip=3", "did you mean 'clips'"),
        ("streets:clips", "clips= is not a whole number"),
        ("streets:clips=-3", "clips=-3 is not a whole number"),
        ("streets:clips=3,clips=4", "clips is given twice"),
        ("streets:size=320", "write WIDTHxHEIGHT"),
        ("streets:size=3x3", "8 to 4096"),
    ],
)
def test_specifications_that_make_no_sense(spec: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        open_data(spec)


def test_a_folder_alone_is_told_what_to_write_before_it(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f"such as camvid:{tmp_path}"):
        open_data(str(tmp_path))


def test_samples_have_at_least_one_frame():
    with pytest.raises(ConfigurationError, match="at least 1"):
        open_data("streets", length=0)
