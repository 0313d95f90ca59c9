"""Files of numbers about labels, against a loop over pixels and against pycocotools' own decoding."""

import csv
import gc
import io
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from netwarp.errors import MissingExtraError, OutputError
from netwarp.video.label_files import AreasFile, RunLengthFile, areas, regions

NAMES = ("road", "car, parked", "sky")


@pytest.fixture
def maps() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [np.kron(rng.integers(0, 3, (3, 4)), np.ones((2, 3))).astype(np.uint8) for _ in range(3)]
    found[1][0, :5] = 255
    found[2][:] = 1
    return found


def by_loop(counts: str, size: list[int]) -> np.ndarray:
    """COCO's text of run lengths, read as its C code writes it: 5 bits a letter, differences to the run before last."""
    runs: list[int] = []
    at = 0
    while at < len(counts):
        value, shift, more = 0, 0, True
        while more:
            letter = ord(counts[at]) - 48
            value |= (letter & 31) << shift
            more, shift, at = bool(letter & 32), shift + 5, at + 1
            if not more and letter & 16:
                value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    mask = np.zeros(size, np.uint8)
    pixel = 0
    for number, run in enumerate(runs):
        for each in range(pixel, pixel + run):
            mask[each % size[0], each // size[0]] = number % 2  # by columns
        pixel += run
    return mask


def test_areas_are_those_of_a_loop(maps: list[np.ndarray]):
    for labels in maps:
        counted = [sum(int(value) == number for value in labels.flat) for number in range(3)]
        assert areas(labels, 3).tolist() == counted
        sets = np.stack([labels == 0, labels > 0])
        assert areas(sets, 2).tolist() == [counted[0], labels.size - counted[0]]


def test_regions_are_those_that_are_drawn(maps: list[np.ndarray]):
    for labels in maps:
        found = dict(regions(labels, range(3)))
        assert sorted(found) == sorted(set(labels.flat) - {255})
        for number, region in found.items():
            expected = (labels == number).astype(np.uint8)
            assert np.array_equal(coco.decode(region), expected)
            assert np.array_equal(by_loop(region["counts"], region["size"]), expected)


def test_the_table(maps: list[np.ndarray], tmp_path: Path):
    with AreasFile(tmp_path / "new" / "a.csv", NAMES) as file:
        for index, labels in enumerate(maps):
            file.write(labels, index, index / 3, None)
        assert not (tmp_path / "new" / "a.csv").exists(), "it is there when it is whole"
    with (tmp_path / "new" / "a.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [float(row["time"]) for row in rows] == pytest.approx([0, 1 / 3, 2 / 3], abs=1e-6)
    for row, labels in zip(rows, maps, strict=True):
        for number, name in enumerate(NAMES):
            pixels = int((labels == number).sum())
            assert int(row[f"{name} pixels"]) == pixels
            assert float(row[f"{name} share"]) == pytest.approx(pixels / labels.size, abs=1e-6)


def test_the_regions_file_is_cocos_list_of_results(maps: list[np.ndarray], tmp_path: Path):
    with RunLengthFile(tmp_path / "r.json", NAMES, without=(0,)) as file:
        for index, labels in enumerate(maps):
            file.write(labels, index, 0.0, f"shot{index}")
    found = json.loads((tmp_path / "r.json").read_text())
    drawn = [np.zeros_like(labels) for labels in maps]
    for each in found:
        assert each["name"] == f"shot{each['image_id']}"
        drawn[each["image_id"]][coco.decode(each["segmentation"]) == 1] = each["category_id"]
    for ours, labels in zip(drawn, maps, strict=True):
        assert np.array_equal(ours, np.where(labels == 255, 0, labels))


def test_no_region_is_an_empty_list(tmp_path: Path):
    with RunLengthFile(tmp_path / "r.json", NAMES, without=(0,)) as file:
        file.write(np.zeros((2, 2), np.uint8), 0, 0.0)
    assert json.loads((tmp_path / "r.json").read_text()) == []


@pytest.mark.parametrize("live", [False, True])
def test_what_ctrl_c_leaves(tmp_path: Path, live: bool):
    place = tmp_path / "a.csv"
    for earlier in (None, "an earlier table"):
        if earlier is not None:
            place.write_text(earlier)
        file = AreasFile(place, NAMES, live=live)
        with suppress(KeyboardInterrupt), file:
            file.write(np.zeros((2, 2), np.uint8), 0, 0.0)
            raise KeyboardInterrupt
        assert file.written is not None
        assert len(file.written.read_text().splitlines()) == 2
    assert file.written == (place if live else tmp_path / "a.interrupted.csv")
    assert live or place.read_text() == "an earlier table"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_or_no_frame_leaves_the_earlier_file(tmp_path: Path, error: type[BaseException]):
    place = tmp_path / "a.csv"
    place.write_text("an earlier table")
    with pytest.raises(error), AreasFile(place, NAMES):
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert place.read_text() == "an earlier table"


def test_what_was_discarded_goes_into_no_other_file(tmp_path: Path):
    file = AreasFile(tmp_path / "a.csv", NAMES)
    with suppress(ValueError), file:
        file.write(np.zeros((2, 2), np.uint8), 0, 0.0)
        raise ValueError
    with (tmp_path / "other").open("wb", buffering=0) as other:  # takes over the descriptor's number
        other.write(b"whole")
        del file
        gc.collect()
    assert (tmp_path / "other").read_bytes() == b"whole"


@pytest.mark.parametrize("classes", [2, 2000])
def test_a_full_disk_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int):
    class Full(io.FileIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    def full(descriptor: int, *_: object, **__: object) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BufferedWriter(Full(descriptor, "w", closefd=False)))

    monkeypatch.setattr(os, "fdopen", full)
    before = len(list(Path("/dev/fd").iterdir()))
    with (
        pytest.raises(OutputError, match="No space left"),
        AreasFile(tmp_path / "a.csv", [str(n) for n in range(classes)]),
    ):
        pass
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "in.csv"
    source.touch()
    with pytest.raises(OutputError, match=r"in\.csv"):
        AreasFile(source, NAMES, inputs=[source])
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)
    with pytest.raises(MissingExtraError, match="coco"):
        RunLengthFile(tmp_path / "r.json", NAMES)
