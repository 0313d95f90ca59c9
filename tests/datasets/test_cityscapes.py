import pickle

import numpy as np
import pytest
from cityscapes_tree import SIZE, instances_of, made_scene, write_image, write_truth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from netwarp.datasets.cityscapes import AVERAGE_INSTANCE_SIZES, IDS, cityscapes, to_ids, to_train_ids
from netwarp.datasets.clips import LeftOut
from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.label_sets import CITYSCAPES

ROAD = np.full(SIZE, 7)


@pytest.fixture
def tree(tmp_path):
    """Two clips of ulm, frames 18 to 21, of which the 20th (number 19) has labels."""
    for sequence in (0, 1):
        for number in range(18, 22):
            write_image(tmp_path, f"ulm_{sequence:06}_{number:06}")
        write_truth(tmp_path, f"ulm_{sequence:06}_000019", *made_scene(sequence))
    return tmp_path


def names(data):
    return {clip.name: [frame.name for frame in clip.frames] for clip in data.clips}


def test_clips_frames_and_what_they_hold(tree):
    data = cityscapes(tree, "val")
    assert data.name == "cityscapes val"
    assert data.classes is CITYSCAPES
    assert names(data) == {f"ulm_{s}_000018": [f"ulm_{s}_{n:06}" for n in range(18, 22)] for s in ("000000", "000001")}
    for sequence, clip in enumerate(data.clips):
        ids, instances = made_scene(sequence)
        assert [frame.labels is not None for frame in clip.frames] == [False, True, False, False]
        labelled = clip.frames[1]
        assert np.array_equal(labelled.image(), np.broadcast_to((19, 100, 200), (*SIZE, 3)))
        assert labelled.image().dtype == labelled.labels().dtype == np.uint8
        assert np.array_equal(labelled.labels(), to_train_ids(ids))
        assert labelled.instances().dtype == np.int32
        assert np.array_equal(labelled.instances(), np.where(instances >= 1000, instances, 0))
        assert labelled.flow is None
    assert [sample.name for sample in data.samples()] == ["ulm_000000_000019", "ulm_000001_000019"]


def test_objects_are_real_ones_only(tree):
    """Crowds and areas have numbers below 1000; 24000 is the first person."""
    instances = np.full(SIZE, 7)
    instances[0, :4] = (24, 24000, 24001, 33999)
    ids = np.where(instances < 1000, instances, instances // 1000)
    write_truth(tree, "ulm_000000_000019", ids, instances)
    found = cityscapes(tree, "val").clips[0].frames[1].instances()
    assert found[0, :5].tolist() == [0, 24000, 24001, 33999, 0]
    assert found[1:].max() == 0


def test_frames_can_go_to_other_processes(tree):
    frame = pickle.loads(pickle.dumps(cityscapes(tree, "val").clips[0].frames[1]))
    assert frame.labels().shape == frame.instances().shape == frame.image().shape[:2] == SIZE


def test_a_labelled_frame_that_the_sequence_lacks_comes_from_the_stills(tree):
    (tree / "leftImg8bit_sequence/val/ulm/ulm_000000_000019_leftImg8bit.png").unlink()
    still = write_image(tree, "ulm_000000_000019", folder="leftImg8bit")
    Image.fromarray(np.full((*SIZE, 3), 77, np.uint8)).save(still)
    write_image(tree, "ulm_000001_000019", folder="leftImg8bit").write_bytes(b"not looked at")
    data = cityscapes(tree, "val")
    assert [len(clip.frames) for clip in data.clips] == [4, 4]
    assert (data.clips[0].frames[1].image() == 77).all()
    assert (data.clips[1].frames[1].image()[0, 0] == (19, 100, 200)).all()


def test_stills_alone_are_clips_of_one(tmp_path):
    for number in (19, 49):
        write_image(tmp_path, f"bonn_000003_{number:06}", folder="leftImg8bit")
        write_truth(tmp_path, f"bonn_000003_{number:06}", ROAD)
    data = cityscapes(tmp_path, "val")
    assert [len(clip.frames) for clip in data.clips] == [1, 1]
    assert len(data.samples(1)) == 2
    assert len(data.samples()) == 0
    assert len(data.samples().left_out) == 2


def test_labels_without_any_image_are_left_out_and_counted(tree):
    write_truth(tree, "ulm_000007_000019", ROAD)
    data = cityscapes(tree, "val")
    assert data.left_out == (LeftOut("ulm_000007_000019", "it has labels but no image"),)
    assert data.samples().left_out == data.left_out


def test_numbers_in_order_not_names_and_cities_apart(tmp_path):
    for name in ("aachen_000010_000009", "aachen_000010_000010", "aachen_9_000000", "bonn_000010_000011"):
        write_image(tmp_path, name)
    write_truth(tmp_path, "aachen_000010_000010", ROAD)
    assert names(cityscapes(tmp_path, "val")) == {
        "aachen_9_000000": ["aachen_9_000000"],
        "aachen_000010_000009": ["aachen_000010_000009", "aachen_000010_000010"],
        "bonn_000010_000011": ["bonn_000010_000011"],
    }


@settings(max_examples=20)
@given(st.sets(st.integers(0, 12), min_size=1), st.sets(st.integers(0, 12), min_size=1))
def test_every_sample_is_consecutive_and_every_label_is_found_or_counted(tmp_path_factory, images, labelled):
    root = tmp_path_factory.mktemp("tree")
    for number in images:
        write_image(root, f"ulm_000000_{number:06}", size=(2, 2))
    for number in labelled:
        write_truth(root, f"ulm_000000_{number:06}", np.full((2, 2), 7))
    data = cityscapes(root, "val")
    for clip in data.clips:
        numbers = [int(frame.name[-6:]) for frame in clip.frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert [frame.labels is not None for frame in clip.frames] == [n in labelled for n in numbers]
    pairs = data.samples()
    assert {int(sample.name[-6:]) for sample in pairs} == {n for n in labelled & images if n - 1 in images}
    assert len(pairs) + len(pairs.left_out) == len(labelled)


def test_hidden_files_and_other_annotations_do_no_harm(tree):
    city = tree / "gtFine/val/ulm"
    (city / "ulm_000000_000019_gtFine_polygons.json").write_text("{}")
    (city / "ulm_000000_000019_gtFine_color.png").write_bytes(b"")
    (tree / "leftImg8bit_sequence/val/ulm/._ulm_000000_000030_leftImg8bit.png").write_bytes(b"")
    (tree / "leftImg8bit_sequence/val/.thumbs").mkdir()
    (tree / "leftImg8bit_sequence/val/.thumbs/ulm_000000_000018_leftImg8bit.png").write_bytes(b"")
    assert sum(len(clip.frames) for clip in cityscapes(tree, "val").clips) == 8


def test_without_instance_files_nothing_is_said_of_objects(tree):
    for path in tree.glob("gtFine/val/ulm/*instanceIds.png"):
        path.unlink()
    assert all(frame.instances is None for clip in cityscapes(tree, "val").clips for frame in clip.frames)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def save(array):
    return lambda path: Image.fromarray(array).save(path)


@pytest.mark.parametrize(
    ("read", "suffix", "write", "words"),
    [
        ("labels", "labelIds", truncate, "cannot be decoded"),
        ("labels", "labelIds", lambda path: path.unlink(), "does not exist"),
        ("labels", "labelIds", save(np.full(SIZE, 34, np.uint8)), "holds 34 in 2048 of its pixels"),
        ("labels", "labelIds", save(np.full(SIZE, 255, np.uint8)), "holds 255"),
        ("labels", "labelIds", save(np.full((*SIZE, 3), 7, np.uint8)), "holds colours"),
        ("labels", "labelIds", save(np.full((16, 64), 7, np.uint8)), "64×16 pixels, but .*leftImg8bit.png is 64×32"),
        ("instances", "instanceIds", truncate, "cannot be decoded"),
        ("instances", "instanceIds", lambda path: path.unlink(), "does not exist"),
        ("instances", "instanceIds", save(np.full(SIZE, 40, np.uint16)), "holds 40"),
        ("instances", "instanceIds", save(np.full(SIZE, 34000, np.uint16)), "holds 34 "),
        ("instances", "instanceIds", save(np.full((*SIZE, 3), 7, np.uint8)), "holds colours"),
        ("instances", "instanceIds", save(np.full((32, 63), 7, np.uint16)), "63×32 pixels"),
    ],
)
def test_a_bad_file_is_named_in_one_line_when_it_is_read(tree, read, suffix, write, words):
    (path,) = tree.glob(f"*/val/ulm/ulm_000000_000019_*{suffix}.png")
    frame, intact = (clip.frames[1] for clip in cityscapes(tree, "val").clips)
    write(path)
    with pytest.raises(InputError, match=words) as error:
        getattr(frame, read)()
    assert str(path) in str(error.value)
    getattr(intact, read)()


def shape_or_complaint(read):
    try:
        return read().shape
    except NetWarpError as error:
        return str(error)


@settings(max_examples=30)
@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_files_give_labels_or_one_line(tmp_path_factory, position, value):
    root = tmp_path_factory.mktemp("tree")
    write_image(root, "ulm_000000_000019")
    path = write_truth(root, "ulm_000000_000019", *made_scene(0))
    for file, read in ((path, "labels"), (instances_of(path), "instances")):
        data = bytearray(file.read_bytes())
        data[position % len(data)] = value
        file.write_bytes(data)
        outcome = shape_or_complaint(getattr(cityscapes(root, "val").clips[0].frames[0], read))
        assert outcome == SIZE or "\n" not in outcome


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (lambda tree: None, ("missing", "val"), "is not a folder: expected leftImg8bit_sequence/ or leftImg8bit/"),
        (lambda tree: (tree / "other").mkdir(), ("other", "val"), "holds no Cityscapes: expected.*gtFine/"),
        (lambda tree: None, ("leftImg8bit_sequence", "val"), "give the folder that these are in"),
        (lambda tree: None, ("leftImg8bit_sequence/val", "val"), "give the folder that these are in"),
        (lambda tree: (tree / "gtFine").rename(tree / "gtCoarse"), (".", "val"), "no labels of val, in gtFine/val/"),
        (lambda tree: [f.unlink() for f in tree.glob("gtFine/val/ulm/*")], (".", "val"), "holds no labels: expected"),
        (lambda tree: [f.unlink() for f in tree.glob("left*/val/ulm/*")], (".", "val"), "holds no frames of val"),
        (
            lambda tree: write_image(tree, "ulm_000000_000005").rename(
                tree / "leftImg8bit_sequence/val/ulm/ulm_frame5_leftImg8bit.png"
            ),
            (".", "val"),
            "ulm_frame5_leftImg8bit.png is not named CITY_SEQUENCE_FRAME",
        ),
        (lambda tree: write_image(tree, "ulm_000000_0019"), (".", "val"), "are the same frame"),
    ],
)
def test_another_layout_gets_one_line(tree, change, arguments, words):
    change(tree)
    with pytest.raises(InputError, match=words):
        cityscapes(tree / arguments[0], arguments[1])


@pytest.mark.parametrize("split", ["vall", "", ".", "..", "train"])
def test_a_split_that_is_not_there(tree, split):
    with pytest.raises(ConfigurationError, match="no split of Cityscapes"):
        cityscapes(tree, split)


# --- the two numberings ----------------------------------------------------------------------------------------------


def test_equal_to_cityscapesscripts_table():
    table = pytest.importorskip("cityscapesscripts.helpers.labels")
    for label in table.labels:
        if label.id >= 0:
            assert to_train_ids(np.array([label.id]))[0] == label.trainId
    for train_id in [*range(19), 255]:
        label = table.trainId2label[train_id]
        assert to_ids(np.array([train_id]))[0] == label.id
        if train_id != 255:
            assert CITYSCAPES.names[train_id] == label.name
            assert CITYSCAPES.palette[train_id] == label.color
            assert (train_id in AVERAGE_INSTANCE_SIZES) == label.hasInstances


def test_equal_to_cityscapesscripts_average_sizes():
    script = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    table = pytest.importorskip("cityscapesscripts.helpers.labels")
    evaluated = {name: size for name, size in script.args.avgClassSize.items() if table.name2label[name].trainId != 255}
    assert {CITYSCAPES.names[train_id]: size for train_id, size in AVERAGE_INSTANCE_SIZES.items()} == evaluated


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint16"])
def test_there_and_back(dtype):
    train_ids = np.array([[*range(19), 255]], dtype)
    ids = to_ids(train_ids)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[*IDS, 0]]
    assert np.array_equal(to_train_ids(ids), train_ids)
    assert to_train_ids(ids).dtype == np.uint8


def test_ids_that_are_not_evaluated_are_ignored():
    others = [i for i in range(34) if i not in IDS]
    assert len(others) == 15
    assert (to_train_ids(np.array(others)) == 255).all()


@pytest.mark.parametrize("wrong", [34, 255, -1, 1000])
def test_what_is_no_id(wrong):
    with pytest.raises(InputError, match=rf"a file holds {wrong} in 2 of its pixels.*0 to 33"):
        to_train_ids(np.array([[7, wrong], [wrong, 8]]), "a file")


@pytest.mark.parametrize("wrong", [19, 254, -1, 256])
def test_what_is_no_train_id(wrong):
    with pytest.raises(InputError, match=rf"holds {wrong} in 1 of its pixels.*0 to 18, and 255"):
        to_ids(np.array([0, wrong, 255]))
