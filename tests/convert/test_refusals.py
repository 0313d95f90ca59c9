"""What does not fit is found before anything is written, and said in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_reference import Blobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from convert.published import dilation8, dilation10, layers, playdata, pspnet101, pspnet101_netwarp
from convert.wire import Layer, blob, caffemodel
from netwarp import load, load_base
from netwarp.convert.architecture import ARCHITECTURES
from netwarp.convert.caffe import Converted, convert_caffe
from netwarp.convert.caffe_layers import Parameter, wanted_by
from netwarp.errors import ConfigurationError, OutputError, WeightsError

NARROW = 0.001  # a channel a layer, four in fc6


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "m.caffemodel"


@pytest.fixture
def convert(tmp_path: Path, source: Path):
    """Convert blobs, or layers, or bytes."""

    def run(arch: str, content: Blobs | list[Layer] | bytes, width: float = NARROW, **options: object) -> Converted:
        if isinstance(content, dict):
            content = layers(content)
        source.write_bytes(content if isinstance(content, bytes) else caffemodel(content))
        return convert_caffe(f"{arch}@{width}", source, tmp_path / "m.safetensors", **options)

    return run


@pytest.fixture
def refused(tmp_path: Path, source: Path, convert):
    """Likewise, where it must fail; gives what it says."""

    def run(*arguments: object, **options: object) -> str:
        with pytest.raises(WeightsError) as caught:
            convert(*arguments, **options)
        assert list(tmp_path.iterdir()) == [source], "something was written"
        assert "\n" not in str(caught.value)
        assert str(source) in str(caught.value)
        return str(caught.value)

    return run


def changed(blobs: Blobs, layer: str, *arrays: np.ndarray | bytes) -> list[Layer]:
    return [dataclasses.replace(each, blobs=arrays) if each.name == layer else each for each in layers(blobs)]


def test_names_follow_from_the_modules():
    block = nn.ModuleDict(
        {"1x1_reduce": nn.ModuleDict({"conv": nn.Conv2d(2, 3, 1, bias=False), "bn": nn.BatchNorm2d(3)})}
    )
    network = nn.ModuleDict({"conv4_23": block, "conv6": nn.Conv2d(3, 5, 1), "bn": nn.BatchNorm2d(4)})
    at = "conv4_23.1x1_reduce"
    assert wanted_by(network) == {
        "conv4_23_1x1_reduce": (Parameter(f"{at}.conv.weight", (3, 2, 1, 1)),),
        "conv4_23_1x1_reduce/bn": tuple(
            Parameter(f"{at}.bn.{name}", (3,)) for name in ("weight", "bias", "running_mean", "running_var")
        ),
        "conv6": (Parameter("conv6.weight", (5, 3, 1, 1)), Parameter("conv6.bias", (5,))),
        "bn/bn": tuple(Parameter(f"bn.{name}", (4,)) for name in ("weight", "bias", "running_mean", "running_var")),
    }


def test_layers_that_are_missing_are_counted(refused):
    blobs = {name: arrays for name, arrays in pspnet101(NARROW).items() if not name.startswith("conv4_7")}
    line = refused("pspnet101", blobs)
    assert "6 of 223 layers are missing (conv4_7_1x1_reduce, conv4_7_1x1_reduce/bn, conv4_7_3x3, …)" in line


def test_all_that_does_not_fit_is_in_one_line(refused):
    blobs = playdata(NARROW)
    del blobs["conv3_2"]
    blobs["conv1_1"][0] = np.zeros((2, 3, 3, 3), np.float32)
    blobs["fc7"] = blobs["fc7"][:1]
    line = refused("playdata", blobs)
    assert "is of another network: 1 of 16 layers are missing (conv3_2)" in line
    assert (
        "2 blobs do not fit (conv1_1 weight is [2, 3, 3, 3] there and [1, 3, 3, 3] here, fc7 has 1 blobs there and 2"
        in line
    )


@pytest.mark.parametrize("shape", [(3, 4, 4, 3), (4, 4, 9, 1), (4, 4, 3, 3, 1), (4, 36), (144,), (16, 3, 3)], ids=str)
def test_as_many_numbers_in_another_shape_do_not_fit(refused, shape):
    blobs = dilation8(NARROW, classes=4)
    assert blobs["ctx_fc1"][0].size == np.prod(shape)
    blobs["ctx_fc1"][0] = np.zeros(shape, np.float32)
    assert "ctx_fc1 weight is " in refused("dilation8", blobs)


@pytest.mark.parametrize("shape", [(4,), (1, 1, 1, 4), (1, 4, 1, 1), (4, 1), (1, 4)], ids=str)
def test_ones_around_a_vector_do_not_matter(convert, tmp_path, shape):
    blobs = dilation8(NARROW, classes=4)
    values = blobs["ctx_fc1"][1]
    blobs["ctx_fc1"][1] = values.reshape(shape)
    convert("dilation8", blobs)
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["ctx_fc1.bias"].numpy(), values)


def test_a_blob_without_a_shape(refused):
    line = refused("playdata", changed(playdata(NARROW), "fc7", b"", b""))
    assert "2 blobs do not fit (fc7 weight is no shape there" in line


@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_length_than_its_shape_says(refused, change):
    blobs = playdata(NARROW)
    weight, bias = blobs["conv2_1"]
    short = blob(np.zeros(weight.size + change, np.float32), shape=weight.shape)
    line = refused("playdata", changed(blobs, "conv2_1", short, bias))
    assert "is damaged" in line
    assert f"in layer conv2_1 needs {weight.size} numbers and has {weight.size + change}" in line


@pytest.mark.parametrize(
    ("value", "dtype", "says"),
    [(np.nan, np.float32, "NaN"), (-np.inf, np.float32, "infinity"), (1e200, np.float64, "infinity")],
)
def test_numbers_that_are_none(refused, value, dtype, says):
    blobs = playdata(NARROW)
    blobs["fc8"] = [array.astype(dtype) for array in blobs["fc8"]]
    blobs["fc8"][1][3] = value
    line = refused("playdata", blobs)
    assert "fc8" in line
    assert f"holds {says}" in line


def test_batch_norms_in_another_order(refused):
    blobs = pspnet101(NARROW)
    scale, shift, mean, variance = blobs["conv5_4/bn"]
    blobs["conv5_4/bn"] = [mean - 9, variance, scale, shift - 9]
    assert "conv5_4/bn in " in (line := refused("pspnet101", blobs))
    assert "has a negative variance" in line


def test_a_layer_twice_with_the_same_weights(convert):
    blobs = playdata(NARROW)
    assert convert("playdata", [*layers(blobs), Layer("fc7", blobs["fc7"])]).unused == ()


def test_a_layer_twice_with_other_weights(refused):
    blobs = playdata(NARROW)
    line = refused("playdata", [*layers(blobs), Layer("fc7", [array + 1 for array in blobs["fc7"]])])
    assert "has layer fc7 2 times, with different weights" in line


@pytest.mark.parametrize(
    ("arch", "blobs", "likely"),
    [
        ("pspnet101", dilation10, "dilation10"),
        ("dilation10", dilation8, "dilation8"),
        ("dilation8", dilation10, "dilation10"),
        ("dilation8", playdata, "playdata"),
        ("playdata", pspnet101, "pspnet101"),
        ("pspnet101-netwarp", pspnet101, "pspnet101"),
        ("dilation8", pspnet101_netwarp, "pspnet101-netwarp"),
    ],
)
def test_the_architecture_that_it_seems_to_be_is_named(refused, arch, blobs, likely):
    assert f"its layers are those of {likely}, give that as --arch" in refused(arch, blobs(NARROW))


def test_damage_is_no_reason_for_another_architecture(refused):
    blobs = dilation8(NARROW)
    blobs["final"][1][0] = np.nan
    line = refused("playdata", blobs)
    assert "final (fc8.bias) in " in line
    assert "--arch" not in line


def test_a_network_that_nobody_knows(refused):
    line = refused("playdata", [Layer("ip1", [np.zeros((2, 3), np.float32)], "InnerProduct")])
    assert line.endswith(f"has no layer fc8, of which playdata@{NARROW} is made")


def test_a_classifier_of_no_form(refused):
    blobs = playdata(NARROW)
    blobs["fc8"][0] = np.zeros(44, np.float32)
    assert "has no weights of a classifier in layer fc8" in refused("playdata", blobs)


@pytest.mark.parametrize(
    "shape", [(10**9, 4, 1, 1), (11, 10**12, 1, 1), (2**62, 2**62, 1, 1), (-11, -4, 1, 1)], ids=str
)
def test_sizes_that_are_absurd(refused, shape):
    """Nothing is made of the size that a file declares before its numbers bear it out."""
    blobs = playdata(NARROW)
    weight, bias = blobs["fc8"]
    assert "fc8" in refused("playdata", changed(blobs, "fc8", blob(weight, shape=shape), bias))


def test_more_classes_than_anybody_tells_apart(refused):
    blobs = playdata(NARROW, classes=1001)
    assert "its layer fc8 tells 1,001 classes apart" in refused("playdata", blobs)


@pytest.mark.parametrize("where", ["read", "built", "taken", "torch"])
def test_a_file_that_does_not_fit_into_memory(refused, monkeypatch, where):
    def too_much(*_: object, **__: object) -> None:
        if where == "torch":
            torch.empty(2**50)
        raise MemoryError

    if where == "read":
        monkeypatch.setattr(Path, "read_bytes", too_much)
    elif where == "taken":
        monkeypatch.setattr("netwarp.convert.caffemodel.Blob.numbers", too_much)
    else:
        monkeypatch.setattr("netwarp.convert.caffe.drafted", too_much)
    assert "does not fit into memory: converting takes several times" in refused("playdata", playdata(NARROW))


def test_another_width(refused):
    line = refused("dilation8", dilation8(2 * NARROW))
    assert "fc6 weight is [8, 1, 7, 7] there and [4, 1, 7, 7] here" in line


@pytest.mark.parametrize("form", ["layer", "layers"])
def test_fully_connected_layers_of_the_original_vgg(convert, tmp_path, form):
    blobs = playdata(NARROW, classes=1000)
    flat = {name: blobs[name][0].reshape(1, 1, len(blobs[name][0]), -1) for name in ("fc6", "fc7", "fc8")}
    inner = [
        dataclasses.replace(each, blobs=[flat[each.name], each.blobs[1]], type="InnerProduct")
        if each.name in flat
        else each
        for each in layers(blobs)
    ]
    assert convert("playdata", caffemodel(inner, form, "four")).classes == 1000
    state = load_file(tmp_path / "m.safetensors")
    for name in flat:
        assert np.array_equal(state[f"{name}.weight"].numpy(), blobs[name][0])


def test_fully_connected_weights_in_a_convolution(refused):
    blobs = playdata(NARROW)
    weight = blobs["fc6"][0]
    blobs["fc6"][0] = weight.reshape(1, 1, len(weight), -1)
    assert "fc6 weight is [1, 1, 4, 49] there and [4, 1, 7, 7] here" in refused("playdata", blobs)


def test_fully_connected_layers_of_other_sizes(refused):
    blobs = playdata(NARROW)
    wrong = [blobs["fc6"][0].reshape(-1, 4), blobs["fc6"][1]]
    inner = [
        dataclasses.replace(each, blobs=wrong, type="InnerProduct") if each.name == "fc6" else each
        for each in layers(blobs)
    ]
    assert "fc6 weight is [49, 4] there and [4, 1, 7, 7] here" in refused("playdata", inner)


def test_the_front_ends_classifier_under_its_authors_name(convert, tmp_path):
    blobs = playdata(NARROW)
    weight = blobs["fc8"][0]
    blobs["final"] = blobs.pop("fc8")
    assert convert("playdata", blobs).unused == ()
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["fc8.weight"].numpy(), weight)


def test_what_nobody_wants_is_reported_once(convert):
    blobs = dilation10(NARROW)
    upsample = Layer("ctx_upsample", [np.ones((19, 1, 16, 16), np.float32)], "Deconvolution")
    # Damaged ones do not matter, and neither do those without weights.
    broken = Layer("other", [blob(np.zeros(3, np.float32), shape=[7])])
    done = convert("dilation10", [*layers(blobs), upsample, broken, upsample, Layer("prob", type="Softmax")])
    assert done.unused == ("ctx_upsample", "other")


def test_classes(convert, refused, tmp_path):
    blobs = playdata(NARROW, classes=3)
    with pytest.raises(WeightsError, match="the weights have 3 outputs, classes=4 were asked for"):
        convert("playdata", blobs, classes=4)
    with pytest.raises(ConfigurationError, match="classes must be at least 1"):
        convert("playdata", blobs, classes=0)
    assert not (tmp_path / "m.safetensors").exists()
    assert convert("playdata", blobs, classes=["a", "b", "c"]).classes == 3
    assert load_base(f"netwarp:playdata@{NARROW}", weights=tmp_path / "m.safetensors").classes == (
        "class 0",
        "class 1",
        "class 2",
    )


def test_a_model_keeps_the_names_of_its_classes(convert, tmp_path):
    blobs = pspnet101_netwarp(0.01, classes=2)
    convert("pspnet101-netwarp", blobs, 0.01, classes=["road", "rest"])
    assert load(tmp_path / "m.safetensors").classes == ("road", "rest")
    convert("pspnet101-netwarp", pspnet101_netwarp(0.01), 0.01)
    assert load(tmp_path / "m.safetensors").classes[0] == "road"


def test_the_release_needs_its_own_layers(refused):
    blobs = pspnet101_netwarp(NARROW)
    blobs["flo_transformed_1"][0] = np.zeros((2, 4, 3, 3), np.float32)
    del blobs["conv5_4_1_w"]
    line = refused("pspnet101-netwarp", blobs)
    assert "1 of 229 layers are missing (conv5_4_1_w)" in line
    assert "flo_transformed_1 weight is [2, 4, 3, 3] there and [2, 4, 1, 1] here" in line


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        ("pspnet", "did you mean 'pspnet101'"),
        ("pspnet101@", "a width is a fraction"),
        ("pspnet101@2", "a width is a fraction"),
        (3, "not by 3"),
    ],
)
def test_architectures_that_there_are_not(source, tmp_path, arch, says):
    source.write_bytes(caffemodel(layers(playdata(NARROW))))
    with pytest.raises(ConfigurationError, match=says):
        convert_caffe(arch, source, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("m.caffemodel", "m.safetensors"),
        ("m.pth", "name it m.safetensors"),
        ("link.safetensors", "is the input itself"),
        ("folder.safetensors", "is a folder"),
        ("m.caffemodel/m.safetensors", "is a file, not a folder"),
    ],
)
def test_places_where_nothing_can_be_written(source, tmp_path, target, says):
    # Not even read: the file is none.
    source.write_bytes(b"no caffemodel")
    (tmp_path / "link.safetensors").symlink_to(source)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OutputError, match=says):
        convert_caffe("playdata", source, tmp_path / target)
    assert source.read_bytes() == b"no caffemodel"


def test_what_was_there_stays_until_the_new_is_whole(convert, tmp_path, source):
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"old")
    blobs = playdata(NARROW)
    with pytest.raises(WeightsError):
        convert("playdata", {**blobs, "fc6": blobs["fc7"]})
    assert target.read_bytes() == b"old"
    convert("playdata", blobs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.caffemodel", "m.safetensors"]
    assert set(load_file(target)) == set(load_base(f"netwarp:playdata@{NARROW}").state_dict())


def test_a_disk_that_is_full(convert, tmp_path, source, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"cannot write .*No space left on device"):
        convert("playdata", playdata(NARROW))
    assert list(tmp_path.iterdir()) == [source]


WHOLE = caffemodel(layers(playdata(NARROW)))


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 3)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_damaged_bytes_end_in_one_line_or_a_whole_file(tmp_path, changes, cut):
    content = bytearray(WHOLE)
    for place, byte in changes:
        content[place] = byte
    source, target = tmp_path / "m.caffemodel", tmp_path / "m.safetensors"
    target.unlink(missing_ok=True)
    source.write_bytes(content[: len(content) - cut])
    try:
        convert_caffe(f"playdata@{NARROW}", source, target)
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert not target.exists()
    else:
        base = load_base(f"netwarp:playdata@{NARROW}", weights=target)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in base.state_dict().values())


def test_every_architecture_marks_its_files():
    every = {
        "pspnet101-netwarp": pspnet101_netwarp,
        "pspnet101": pspnet101,
        "dilation10": dilation10,
        "dilation8": dilation8,
    }
    for name, blobs in {**every, "playdata": playdata}.items():
        names = set(blobs(NARROW))
        assert next(each.name for each in ARCHITECTURES.values() if each.mark in names) == name
        assert ARCHITECTURES[name].never not in names
