"""Label images in the colours of ``classes.txt``."""

import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from netwarp.class_lists import read_class_list
from netwarp.datasets.colour_labels import LabelReader
from netwarp.errors import InputError

CLASSES = "void 0 0 0\nroad 128 64 128\nsky 70 130 180\nvoid 1 1 1\ncar 0 0 142\n"
COLOURS = {(0, 0, 0): 255, (128, 64, 128): 0, (70, 130, 180): 1, (1, 1, 1): 255, (0, 0, 142): 2}


def reader(folder: Path, classes: str = CLASSES, values: dict[int, int] | None = None) -> LabelReader:
    (folder / "classes.txt").write_text(classes)
    return LabelReader(folder / "classes.txt", read_class_list(folder / "classes.txt"), values)


def image(seed: int = 0) -> np.ndarray:
    colours = np.array(list(COLOURS), np.uint8)
    return colours[np.random.default_rng(seed).integers(0, len(colours), (5, 7))]


@pytest.mark.parametrize(
    ("suffix", "alpha"), [(".png", False), (".png", True), (".bmp", False), (".tif", False), (".tif", True)]
)
def test_colours_are_read_as_a_slow_loop_reads_them(tmp_path: Path, suffix: str, alpha: bool):
    pixels = image()
    stored = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]) if alpha else pixels
    PIL.Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    expected = [[COLOURS[tuple(map(int, pixel))] for pixel in row] for row in pixels]
    read = pickle.loads(pickle.dumps(reader(tmp_path)))
    assert read(tmp_path / f"a{suffix}").tolist() == expected
    assert read(tmp_path / f"a{suffix}").dtype == np.uint8


def test_numbers_are_those_of_the_lines(tmp_path: Path):
    PIL.Image.fromarray(np.array([[0, 1, 2, 3, 4, 255, 9]], np.uint8)).save(tmp_path / "a.png")
    assert reader(tmp_path, values={9: 4})(tmp_path / "a.png").tolist() == [[255, 0, 1, 255, 2, 255, 2]]


def test_a_colour_that_is_no_class_is_named(tmp_path: Path):
    pixels = image()
    pixels[0, :3] = (9, 8, 7)
    pixels[4, 0] = (200, 0, 0)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png has the colour \(9, 8, 7\) in 3 .*1 other.*classes\.txt.*void"):
        reader(tmp_path)(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("classes", "said"), [("road 128 64 128\nsky\n", "sky"), ("road 1 2 3\nsky 1 2 3\n", "road and sky")]
)
def test_classes_without_colours_of_their_own_are_refused(tmp_path: Path, classes: str, said: str):
    PIL.Image.fromarray(image()).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=said):
        reader(tmp_path, classes)(tmp_path / "a.png")


def test_what_is_transparent_has_no_label(tmp_path: Path):
    stored = np.dstack([image(), np.full((5, 7), 255, np.uint8)])
    stored[0, 0, 3] = 0
    PIL.Image.fromarray(stored).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="transparent in 1"):
        reader(tmp_path)(tmp_path / "a.png")
