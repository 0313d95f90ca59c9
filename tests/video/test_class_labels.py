"""Label files of numbered classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.video.label_maps import read_classes


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels") / "a.png"


@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=12),
    classes=st.integers(1, 255),
    void=st.sets(st.integers(0, 255), max_size=3),
)
def test_every_value_is_a_class_or_ignored_or_an_error(file: Path, values: list[int], classes: int, void: set[int]):
    PIL.Image.fromarray(np.array([values], np.uint8)).save(file)
    wrong = [v for v in values if v >= classes and v != 255 and v not in void]
    if wrong:
        with pytest.raises(InputError, match=rf"a\.png holds label {min(wrong)} in {values.count(min(wrong))} of"):
            read_classes(file, classes, void)
    else:
        assert read_classes(file, classes, void).tolist() == [[v if v < classes else 255 for v in values]]


def test_the_line_says_what_is_allowed(file: Path):
    PIL.Image.fromarray(np.array([[0, 12, 12, 13]], np.uint8)).save(file)
    with pytest.raises(InputError) as caught:
        read_classes(file, 11, (11,))
    assert str(caught.value).endswith(
        "a.png holds label 12 in 2 of its pixels (and 1 other values): classes are 0 to 10, and 11 and 255 ignore"
    )
