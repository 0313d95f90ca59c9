"""Indexed PNG masks, read back by Pillow alone."""

import contextlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clips import names_in
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.label_sets import CITYSCAPES
from netwarp.video.images import read_image
from netwarp.video.label_maps import ConfidenceFolder, MaskFolder, full_palette, read_classes, read_mask, write_mask
from netwarp.video.map_folders import ValueFolder

PALETTE = [(1, 2, 3), (40, 50, 60), (255, 0, 128)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.uint16])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (2, 300)])
def test_indices_and_palette_are_exact(tmp_path: Path, dtype: type, shape: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 2, 255, 130], shape).astype(dtype)
    write_mask(tmp_path / "a.png", labels, PALETTE)
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "P", (shape[1], shape[0]))
        np.testing.assert_array_equal(np.array(picture), labels)
        stored = picture.getpalette()
    assert stored is not None
    assert stored[:9] == [value for colour in PALETTE for value in colour]
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), labels)
    assert names_in(tmp_path) == ["a.png"]


def test_labels_beyond_the_palette_have_colours_of_their_own() -> None:
    colours = full_palette(CITYSCAPES.palette)
    assert colours.shape == (256, 3)
    assert len(np.unique(colours[19:], axis=0)) == 256 - 19
    assert colours[255].tolist() == [224, 224, 192]


LABELS = np.arange(6, dtype=np.uint8).reshape(2, 3) % 2


def _with_alpha(alpha: int) -> PIL.Image.Image:
    return PIL.Image.merge("LA", [PIL.Image.fromarray(LABELS), PIL.Image.new("L", (3, 2), alpha)])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".BMP"])
@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "1 bit", "gray and alpha"])
def test_numbers_are_read_whatever_holds_them(tmp_path: Path, suffix: str, kind: str) -> None:
    picture = {
        "8 bits": PIL.Image.fromarray(LABELS),
        "16 bits": PIL.Image.fromarray(LABELS.astype(np.uint16)),
        "1 bit": PIL.Image.fromarray(LABELS > 0),
        "gray and alpha": _with_alpha(255),
    }[kind]
    if suffix == ".BMP" and kind in ("16 bits", "gray and alpha"):
        pytest.skip("BMP has no such kind")
    picture.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_classes(tmp_path / f"a{suffix}", 2), LABELS)


def test_numbers_stand_for_what_is_said(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.array([[0, 255, 128, 40000]], np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="40000"):
        read_classes(tmp_path / "a.png", 2)
    found = read_classes(tmp_path / "a.png", 2, values={255: 1, 128: 255, 40000: 0})
    np.testing.assert_array_equal(found, [[0, 1, 255, 0]])


def test_labels_that_hide_something_are_refused(tmp_path: Path) -> None:
    _with_alpha(0).save(tmp_path / "alpha.png")
    PIL.Image.fromarray(LABELS).save(tmp_path / "two.tif", save_all=True, append_images=[PIL.Image.fromarray(LABELS)])
    for name, said in (("alpha.png", "6"), ("two.tif", "2 pictures")):
        with pytest.raises(InputError, match=said):
            read_mask(tmp_path / name)


def test_gray_masks_are_read_and_pictures_refused(tmp_path: Path) -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    PIL.Image.fromarray(labels).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "gray.png"), labels)
    PIL.Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "rgb.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for name in ("rgb.png", "broken.png", "missing.png"):
        with pytest.raises(InputError, match=name):
            read_mask(tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "palette"),
    [
        *((np.array([[value]]), PALETTE) for value in (256, -1, 0.5)),
        *((np.zeros(shape, np.uint8), PALETTE) for shape in ((2, 2, 3), (0, 2))),
        *((np.zeros((2, 2), np.uint8), palette) for palette in ([(0, 0, 0)] * 257, [(0, 0, 256)], [(0, 0)])),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, labels: np.ndarray, palette: list) -> None:
    with pytest.raises(ConfigurationError):
        write_mask(tmp_path / "a.png", labels, palette)
    assert names_in(tmp_path) == []


def test_names_follow_the_frames(tmp_path: Path) -> None:
    folder = MaskFolder(tmp_path / "new" / "masks", PALETTE)
    labels = np.zeros((2, 2), np.uint8)
    for index, name in enumerate([None, "street_7", "street_7", "a.b"]):
        folder.write(labels + index, index, name)
    assert names_in(tmp_path / "new" / "masks") == ["000000.png", "a.b.png", "street_7.png", "street_7_000002.png"]
    assert read_mask(tmp_path / "new" / "masks" / "street_7_000002.png").max() == 2


def test_no_mask_replaces_another_of_the_same_run(tmp_path: Path) -> None:
    folder = MaskFolder(tmp_path, PALETTE)
    for index, name in enumerate(["a", "a_000002", "a"]):
        folder.write(np.full((2, 2), index, np.uint8), index, name)
    assert sorted(int(read_mask(path).max()) for path in tmp_path.iterdir()) == [0, 1, 2]


def test_masks_do_not_go_among_the_images_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="another folder"):
        MaskFolder(tmp_path, PALETTE, inputs=[tmp_path / "frame.jpg"])
    MaskFolder(tmp_path, PALETTE, inputs=[tmp_path / "video.mp4"])


def test_a_full_disk_leaves_the_old_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = MaskFolder(tmp_path, PALETTE)
    folder.write(np.zeros((4, 4), np.uint8), 0)
    save = PIL.Image.Image.save

    def full(picture: PIL.Image.Image, path: Path, **options: object) -> None:
        save(picture, path, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        MaskFolder(tmp_path, PALETTE).write(np.ones((4, 4), np.uint8), 0)
    assert names_in(tmp_path) == ["000000.png"]
    assert read_mask(tmp_path / "000000.png").max() == 0


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


FOLDERS = [
    lambda place, **options: MaskFolder(place, [(0, 0, 0)], **options),
    ConfidenceFolder,
    ValueFolder,
    lambda place, **options: ValueFolder(place, (0, 80), **options),
]


@pytest.mark.parametrize("make", FOLDERS)
@pytest.mark.parametrize("name", ["7.png", "7.tiff"])
def test_images_of_others_are_refused_before_anything_is_written(tmp_path: Path, make, name: str) -> None:
    PIL.Image.fromarray(np.full((4, 6), 7, np.float32 if name == "7.tiff" else np.uint16)).save(tmp_path / name)
    made = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError, match=name):
        make(tmp_path)
    assert (tmp_path / name).read_bytes() == made


@pytest.mark.parametrize("clean", [False, True])
def test_an_interrupted_run_says_how_many_of_the_results_are_older(tmp_path: Path, clean: bool, caplog) -> None:
    labels = np.zeros((2, 2), np.uint8)
    with MaskFolder(tmp_path, ()) as folder:
        for index in range(5):
            folder.write(labels, index)
    with contextlib.suppress(KeyboardInterrupt), MaskFolder(tmp_path, (), clean=clean) as folder:
        folder.write(labels, 0)
        folder.write(labels, 1)
        raise KeyboardInterrupt
    assert len(list(tmp_path.iterdir())) == 5
    assert "2 new results and 3 of an earlier run, such as 000002.png" in caplog.text


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("make", FOLDERS)
@pytest.mark.parametrize("other", [None, 2])
def test_results_of_an_earlier_run_are_said_or_removed(tmp_path: Path, clean: bool, make, other, caplog) -> None:
    labels = np.zeros((4, 6), np.uint8)
    for frames, once in ((5, make if other is None else FOLDERS[other]), (2, make)):
        with once(tmp_path, clean=clean) as folder, pytest.raises(OutputError):
            once(tmp_path, clean=clean).__enter__()
        with once(tmp_path, clean=clean) as folder:
            for index in range(frames):
                folder.write(labels, index)
    same = other is None or make is FOLDERS[other]
    assert len(list(tmp_path.iterdir())) == (2 if clean else 5 if same else 7)
    assert (f"{3 if same else 5} results" in caplog.text) == (not clean)


def test_an_error_at_the_end_lets_others_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError

    folder = MaskFolder(tmp_path, PALETTE)
    with monkeypatch.context() as patch, pytest.raises(PermissionError), folder:
        patch.setattr(folder, "_say_what_stays", fail)
    with MaskFolder(tmp_path, PALETTE):
        pass


@pytest.mark.parametrize("size", [(64, 1 << 20), (13_000, 13_000), (1 << 20, 1 << 20)])
def test_an_image_that_claims_to_be_vast_is_refused_from_its_head(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    write_mask(path, np.zeros((4, 6), np.uint8), PALETTE)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    for read in (read_mask, read_image):
        with pytest.raises(InputError, match="too large"):
            read(path)


def test_a_pipe_in_place_of_an_image_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_mask, read_image):
        with pytest.raises(InputError, match="pipe"):
            read(tmp_path / "a.png")
