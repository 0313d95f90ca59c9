"""Label maps made elsewhere: which file is whose, what is in it, and what is wrong with it."""

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.predictions import Predictions, PredictionWriter
from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import CAMVID, CITYSCAPES, LabelSet

SIZE = (4, 6)
LABELS = np.zeros(SIZE, np.uint8)


def data(*names, classes: LabelSet = CAMVID, unlabelled=()):
    frames = tuple(ClipFrame(n, lambda: None, None if n in unlabelled else lambda: LABELS) for n in names)
    return ClipData("made", classes, (Clip("clip", frames),))


def put(path, value=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full(size, value, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("0001TP_008550", "0001TP_008550.png"),
        ("0001TP_008550", "deep/er/0001TP_008550.png"),
        ("frankfurt_000000_000294", "frankfurt_000000_000294_leftImg8bit.png"),
        ("frankfurt_000000_000294", "frankfurt/frankfurt_000000_000294_mine_2.PNG"),
        ("street-3/0004", "street-3/0004.png"),
        ("street-3/0004", "run/street-3/0004_labels.png"),
    ],
)
def test_whose_file_it_is(tmp_path, name, file):
    put(tmp_path / file, 3)
    put(tmp_path / "unrelated_1.png", 4)
    put(tmp_path / ".hidden" / f"{name.rpartition('/')[2]}.png", 5)
    predictions = Predictions(tmp_path, data(name))
    assert predictions.files == {name: tmp_path / file}
    assert (predictions.read(name, SIZE) == 3).all()
    assert predictions.fault() is None


def test_a_file_goes_to_the_frame_that_bears_its_whole_name(tmp_path):
    for file in ("a.png", "a_1.png", "b_2.png"):
        put(tmp_path / file)
    files = Predictions(tmp_path, data("a_1", "a", "b")).files
    assert {name: path.name for name, path in files.items()} == {"a_1": "a_1.png", "a": "a.png", "b": "b_2.png"}
    with pytest.raises(InputError, match=r"lacks label maps for 1 of the 2 labelled .* b: expected b\.png"):
        Predictions(tmp_path, data("b_2", "b"))


@pytest.mark.parametrize("second", ["a_2.png", "deep/a_1.png"])
def test_two_files_of_one_frame(tmp_path, second):
    put(tmp_path / "a_1.png")
    put(tmp_path / second)
    with pytest.raises(InputError, match=r"both label maps of frame a: keep one"):
        Predictions(tmp_path, data("a"))


def test_the_file_beside_the_others_goes_before_those_in_folders(tmp_path):
    put(tmp_path / "a.png", 1)
    put(tmp_path / "old" / "a.png", 2)
    assert Predictions(tmp_path, data("a")).files["a"] == tmp_path / "a.png"


def test_frames_without_labels_need_no_file(tmp_path):
    put(tmp_path / "a.png")
    put(tmp_path / "c.png")
    assert set(Predictions(tmp_path, data("a", "b", "c", unlabelled=("b", "c"))).files) == {"a", "c"}


def test_missing_files_are_counted_and_the_first_is_named(tmp_path):
    put(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"2 of the 3 labelled frames of made; the first is a: expected a\.png"):
        Predictions(tmp_path, data("a", "b", "c"))
    with pytest.raises(InputError, match="no folder of label maps at"):
        Predictions(tmp_path / "nowhere", data("a"))


def test_faults_are_counted_and_the_first_is_named(tmp_path):
    put(tmp_path / "a.png")
    put(tmp_path / "b.png", 12)
    put(tmp_path / "c.png", size=(5, 6))
    (tmp_path / "d.png").write_bytes(b"no image")
    predictions = Predictions(tmp_path, data("a", "b", "c", "d"))
    for name in ("d", "c", "a"):
        assert predictions.read(name, SIZE).shape == SIZE
    with pytest.raises(InputError, match=r"c\.png is 6×5, but its frame is 6×4.* \(and 1 more of 4 files"):
        raise predictions.fault()
    predictions.read("b", SIZE)
    with pytest.raises(InputError, match=r"b\.png holds 12 in 24 .*: classes are 0 to 10, and 11 or 255 none \(and 2"):
        raise predictions.fault()


def test_colours_are_no_labels(tmp_path):
    PIL.Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    predictions = Predictions(tmp_path, data("a"))
    predictions.read("a", SIZE)
    with pytest.raises(InputError, match="holds colours"):
        raise predictions.fault()


def test_classes_and_none(tmp_path):
    PIL.Image.fromarray(np.array([[0, 10, 11, 255]], np.uint8)).save(tmp_path / "a.png")
    assert Predictions(tmp_path, data("a")).read("a", (1, 4)).tolist() == [[0, 10, 11, 11]]


def test_cityscapes_ids(tmp_path):
    PIL.Image.fromarray(np.array([[7, 33, 0, 29]], np.uint8)).save(tmp_path / "a.png")
    known = data("a", classes=CITYSCAPES)
    assert Predictions(tmp_path, known, ids=True).read("a", (1, 4)).tolist() == [[0, 18, 19, 19]]
    as_classes = Predictions(tmp_path, known)
    as_classes.read("a", (1, 4))
    with pytest.raises(InputError, match=r"holds 33 in .* give ids=… if these"):
        raise as_classes.fault()
    put(tmp_path / "a.png", 34)
    wrong = Predictions(tmp_path, known, ids=True)
    wrong.read("a", SIZE)
    with pytest.raises(InputError, match=r"a\.png holds 34 in 24 of its pixels: Cityscapes' ids are 0 to 33"):
        raise wrong.fault()
    for make in (lambda: Predictions(tmp_path, data("a"), ids=True), lambda: PredictionWriter(tmp_path, CAMVID, True)):
        with pytest.raises(ConfigurationError, match="19 classes"):
            make()


@given(st.integers(0, 10_000), st.booleans())
def test_what_is_written_is_read_again(tmp_path_factory, seed, ids):
    folder = tmp_path_factory.mktemp("written")
    classes = CITYSCAPES if ids else CAMVID
    labels = np.random.default_rng(seed).integers(0, len(classes) + 3, (3, 5))
    path = PredictionWriter(folder, classes, ids).write("city/a_000_1", labels)
    assert path == folder / "city" / "a_000_1.png"
    read = Predictions(folder, data("city/a_000_1", classes=classes), ids).read("city/a_000_1", (3, 5))
    assert np.array_equal(read, np.minimum(labels, len(classes)))
