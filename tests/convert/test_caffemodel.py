"""Reading caffemodels: every form that Caffe and protobuf allow, and nothing else."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save_file

from convert.wire import Layer, blob, caffemodel, delimited, layer, number, numbers
from netwarp.convert import caffemodel as caffe_schema
from netwarp.convert.caffemodel import Blob, read_caffemodel
from netwarp.errors import MissingExtraError, WeightsError

FORMS, SIZES, HOW = ("layer", "layers"), ("shape", "shape unpacked", "four"), ("packed", "unpacked", "split", "mixed")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def small(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return rng().standard_normal(shape).astype(dtype)


def net() -> list[Layer]:
    return [
        Layer("data", type="Data"),
        Layer("conv1", [small(4, 3, 2, 1), small(4)]),
        Layer("relu1", type="ReLU"),
        Layer("fc", [small(5, 4), small(5)], "InnerProduct"),
    ]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_layers_with_weights_are_those_of_the_file(tmp_path, form):
    model = read_caffemodel(write(tmp_path / "m.caffemodel", caffemodel(net(), form)))
    assert model.name == "a net"
    assert [(each.name, each.inner_product) for each in model.layers] == [("conv1", False), ("fc", True)]
    assert [[blob.shape for blob in each.blobs] for each in model.layers] == [[(4, 3, 2, 1), (4,)], [(5, 4), (5,)]]


@given(
    arrays.arrays(
        st.sampled_from((np.float32, np.float64)),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        elements={"allow_nan": False},
    ),
    st.sampled_from(FORMS),
    st.sampled_from(SIZES),
    st.sampled_from(HOW),
    st.text(max_size=5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_array_comes_back_bit_by_bit(tmp_path, values, form, sizes, how, name):
    content = caffemodel([Layer(name, [values])], form, sizes, how)
    (found,) = read_caffemodel(write(tmp_path / "m.caffemodel", content)).layers
    assert found.name == "".join(c if c.isprintable() else "�" for c in name)
    # Without a number there is no telling which type it would have had.
    assert found.blobs[0].numbers().astype(values.dtype).tobytes() == values.tobytes()
    assert found.blobs[0].shape == ((1,) * (4 - values.ndim) if sizes == "four" else ()) + values.shape


def test_gradients_and_unknown_fields_are_skipped(tmp_path):
    weights = small(2, 3)
    content = blob(weights) + numbers(6, small(2, 3) + 1) + numbers(9, small(2, 3, dtype=np.float64)) + number(77, 5)
    (found,) = read_caffemodel(write(tmp_path / "m", caffemodel([Layer("x", [content])]))).layers
    assert np.array_equal(found.blobs[0].numbers(), weights.ravel())


def test_old_fields_go_before_shape_as_in_caffe(tmp_path):
    content = blob(small(6), shape=[6]) + number(1, 1) + number(2, 1) + number(3, 2) + number(4, 3)
    (found,) = read_caffemodel(write(tmp_path / "m", caffemodel([Layer("x", [content])]))).layers
    assert found.blobs[0].shape == (1, 1, 2, 3)


def test_a_blob_without_any_shape(tmp_path):
    (found,) = read_caffemodel(write(tmp_path / "m", caffemodel([Layer("x", [numbers(5, small(6))])]))).layers
    assert found.blobs[0].shape is None


def test_layers_of_both_forms_and_repeated_names(tmp_path):
    one, two = Layer("same", [small(1)]), Layer("same", [small(2)])
    model = read_caffemodel(write(tmp_path / "m", layer(one) + layer(two, "layers")))
    assert sorted(each.blobs[0].size for each in model.layers) == [1, 2]


def test_names_cannot_command_the_terminal(tmp_path):
    content = layer(Layer("x\x1b[2J\n", [small(1)])) + delimited(
        100, delimited(1, b"\xff\xfe") + delimited(7, blob(small(1)))
    )
    model = read_caffemodel(write(tmp_path / "m", content))
    assert [each.name for each in model.layers] == ["x�[2J�", "��"]


class _Numbers(list):
    """Protobuf's containers before version 7.34, which numpy reads one by one."""


class _Message:
    double_data = _Numbers()
    data = _Numbers([1.5, -2.0])

    def HasField(self, name: str) -> bool:  # noqa: N802
        return False


def test_containers_of_older_protobufs():
    found = Blob(_Message()).numbers()
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -2.0]


def prototxt() -> bytes:
    return b'name: "VGG"\ninput: "data"\nlayer {\n  name: "conv1_1"\n  type: "Convolution"\n}\n' * 200


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes)"),
        (prototxt(), "is a prototxt"),
        (b"layers {\n  name: 'x' }", "is a prototxt"),
        (b"<!DOCTYPE html>\n<html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        ("einfach nur Text, für ".encode() * 500, "its content is text"),
        (("x" * 4095 + "ü").encode(), "its content is text"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "is an HDF5 snapshot (.caffemodel.h5)"),
        (b"\x1f\x8b\x08" + b"\0" * 100, "is compressed"),
        (number(1, 40000) + delimited(2, b"net_iter_40000.caffemodel"), "a solver's state or a mean image"),
        (bytes(range(3, 200)), "is not a caffemodel"),
        (b"\x0a\x03ab", "is cut off"),
        (delimited(1, b"only a name"), "is cut off"),
        (caffemodel([Layer("relu1", type="ReLU"), Layer("pool1", type="Pooling")]), "2 layers and no weights in any"),
    ],
)
def test_what_is_no_caffemodel_is_named(tmp_path, content, says):
    path = write(tmp_path / "m.caffemodel", content)
    with pytest.raises(WeightsError) as caught:
        read_caffemodel(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"), [("zip.pth", "zip"), ("old.pth", "pickle"), ("m.safetensors", "safetensors")]
)
def test_files_of_other_libraries(tmp_path, name, says):
    content = {"x": torch.ones(2)}
    if says == "safetensors":
        save_file(content, tmp_path / name)
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=says == "zip")
    with pytest.raises(WeightsError, match=f"is a .*{says}"):
        read_caffemodel(tmp_path / name)


@pytest.mark.parametrize("path", ["nothing.caffemodel", ".", "x" * 300, "/dev/null"])
def test_what_is_no_file(tmp_path, path):
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path / path))):
        read_caffemodel(tmp_path / path)


def test_more_than_protobuf_reads(tmp_path):
    path = tmp_path / "m.caffemodel"
    with path.open("wb") as file:
        file.write(caffemodel(net()))
        file.truncate(2**31)  # a hole: it takes no place on the disk
    with pytest.raises(WeightsError, match="is larger than 2 GB"):
        read_caffemodel(path)


def test_cut_off_anywhere(tmp_path):
    whole = caffemodel(net())
    path = write(tmp_path / "m.caffemodel", whole)
    complete = read_caffemodel(path).layers
    # Where a layer has just ended it is a file of fewer layers, and cannot be told from one.
    ends = [len(caffemodel(net()[:count])) for count in (2, 3)]
    for length in set(range(len(whole))) - set(ends):
        with pytest.raises(WeightsError):
            read_caffemodel(write(path, whole[:length]))
    for length in ends:
        (found,) = read_caffemodel(write(path, whole[:length])).layers
        assert found.name == complete[0].name


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"\x0a\x03net\xa2\x06" + tail))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_one_line(tmp_path, content):
    with pytest.raises(WeightsError) as caught:
        read_caffemodel(write(tmp_path / "m.caffemodel", content))
    assert "\n" not in str(caught.value)


@pytest.fixture
def _no_protobuf(monkeypatch):
    caffe_schema.net_parameter.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    yield
    caffe_schema.net_parameter.cache_clear()


@pytest.mark.usefixtures("_no_protobuf")
def test_without_protobuf(tmp_path):
    with pytest.raises(MissingExtraError, match=r"protobuf.*\[convert\]"):
        read_caffemodel(write(tmp_path / "m.caffemodel", caffemodel(net())))
