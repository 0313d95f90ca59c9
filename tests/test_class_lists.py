"""Files that list classes and colours."""

from pathlib import Path

import pytest

from netwarp.class_lists import read_class_list, read_palette
from netwarp.errors import InputError
from netwarp.label_sets import CAMVID, LabelSet, voc_colour


def test_class_names(tmp_path: Path):
    file = tmp_path / "classes.txt"
    file.write_text("# ours\nroad 1 2 3\n\nlane 2\nlane 2 left 4 5 6  # painted\n")
    classes = read_class_list(file).label_set()
    assert classes.names == ("road", "lane 2", "lane 2 left")
    assert classes.palette == ((1, 2, 3), voc_colour(1), (4, 5, 6))
    file.write_text("\n".join(CAMVID.names))
    assert read_class_list(file).label_set() == CAMVID


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names 0 classes"),
        ("a\nb\na\n", "line 3: there is a class 'a' already"),
        ("a 1 2 256\n", "line 1: a colour is three numbers of 0 to 255"),
        ("\n".join(f"class {n}" for n in range(256)), "names 256 classes"),
    ],
)
def test_bad_class_names(tmp_path: Path, text: str, message: str):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_class_list(tmp_path / "classes.txt")


def test_void_is_no_class_but_counts_among_the_numbers(tmp_path: Path):
    file = tmp_path / "classes.txt"
    file.write_text("0 0 0 Void\nroad 1 2 3\nignore 9 9 9\nvoid 8 8 8\nvoid\nsky 4 5 6\n")
    listed = read_class_list(file)
    assert listed.labels == (255, 0, 255, 255, 1, 2)
    assert listed.label_set().names == ("road", "void", "sky")
    file.write_text("void 0 0 0\n")
    with pytest.raises(InputError, match="names 0 classes"):
        read_class_list(file)


def test_palettes(tmp_path: Path):
    file = tmp_path / "colours.txt"
    file.write_text("1 2 3\n\n4, 5,6  # sky\n255 255 255\n")
    assert read_palette(file) == ((1, 2, 3), (4, 5, 6), (255, 255, 255))
    file.write_text("\ufeffroad 1 2 3\ntraffic light 4 5 6\n")
    assert read_palette(file) == LabelSet(("road", "traffic light"), ((1, 2, 3), (4, 5, 6)))


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 2 3\nroad 1 2 3\n", "line 2"), ("1 2 256\n", "line 1"), ("road 1 2 3\nsky\n", "sky"), ("", "0 classes")],
)
def test_bad_palettes(tmp_path: Path, text: str, message: str):
    (tmp_path / "colours.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_palette(tmp_path / "colours.txt")
