"""What does not fit is found before anything is written, and said in one line."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_reference import Blobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from convert.published import dilation8, dilation10, layers, playdata, pspnet101, pspnet101_netwarp
from convert.wire import Layer, blob, caffemodel
from netwarp import load, load_base
from netwarp.convert.caffe import Converted, convert_caffe
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
    """Convert, which must fail, and return the error's text."""

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


def with_blobs(make: Callable[[float], Blobs], layer: str, change: Callable[[list[np.ndarray]], list]) -> list[Layer]:
    """A published file with other blobs in a layer."""
    blobs = make(NARROW)
    return changed(blobs, layer, *change(blobs[layer]))


def without(make: Callable[[float], Blobs], start: str) -> Blobs:
    return {name: arrays for name, arrays in make(NARROW).items() if not name.startswith(start)}


def several() -> list[Layer]:
    blobs = without(playdata, "conv3_2")
    blobs["fc7"] = blobs["fc7"][:1]
    return changed(blobs, "conv1_1", np.zeros((2, 3, 3, 3), np.float32), blobs["conv1_1"][1])


def longer(by: int) -> list[Layer]:
    def change(blobs: list[np.ndarray]) -> list:
        return [blob(np.zeros(blobs[0].size + by, np.float32), shape=blobs[0].shape), blobs[1]]

    return with_blobs(playdata, "conv2_1", change)


def flat_fc6() -> list[Layer]:
    inner = with_blobs(playdata, "fc6", lambda blobs: [blobs[0].reshape(-1, 4), blobs[1]])
    return [dataclasses.replace(each, type="InnerProduct") if each.name == "fc6" else each for each in inner]


def fc8(value: float, dtype: type) -> list[Layer]:
    def change(blobs: list[np.ndarray]) -> list[np.ndarray]:
        weight, bias = (array.astype(dtype) for array in blobs)
        bias[3] = value
        return [weight, bias]

    return with_blobs(playdata, "fc8", change)


def release() -> list[Layer]:
    blobs = without(pspnet101_netwarp, "conv5_4_1_w")
    return changed(blobs, "flo_transformed_1", np.zeros((2, 4, 3, 3), np.float32), blobs["flo_transformed_1"][1])


REFUSED = {
    "layers are missing": (
        "pspnet101", lambda: without(pspnet101, "conv4_7"), ["6 of 223", "conv4_7_1x1_reduce", "conv4_7_3x3"],
    ),
    "all that does not fit": (
        "playdata", several, ["1 of 16", "conv3_2", "2 blobs", "conv1_1 weight is [2, 3, 3, 3]", "fc7 has 1 blobs"],
    ),
    **{
        f"as many numbers in {shape}": (
            "dilation10",
            lambda shape=shape: with_blobs(
                lambda width: dilation10(width, 4), "ctx_fc1", lambda blobs: [blobs[0].reshape(shape), blobs[1]]
            ),
            [f"ctx_fc1 weight is {list(shape)} there"],
        )
        for shape in [(3, 4, 4, 3), (4, 4, 9, 1), (4, 4, 3, 3, 1), (4, 36), (144,), (16, 3, 3)]
    },
    "no shape": ("playdata", lambda: with_blobs(playdata, "fc7", lambda _: [b"", b""]), ["2 blobs", "fc7 weight"]),
    "a number too few": ("playdata", lambda: longer(-1), ["damaged", "conv2_1", "needs 9 numbers and has 8"]),
    "a number too many": ("playdata", lambda: longer(1), ["damaged", "conv2_1", "needs 9 numbers and has 10"]),
    "NaN": ("playdata", lambda: fc8(np.nan, np.float32), ["fc8", "NaN"]),
    "infinity": ("playdata", lambda: fc8(-np.inf, np.float32), ["fc8", "infinity"]),
    "too large": ("playdata", lambda: fc8(1e200, np.float64), ["fc8", "infinity"]),
    "another order of a batch norm": (
        "pspnet101",
        lambda: with_blobs(pspnet101, "conv5_4/bn", lambda b: [b[2] - 9, b[3], b[0], b[1] - 9]),
        ["conv5_4/bn", "negative variance"],
    ),
    "a layer twice": (
        "playdata",
        lambda: [*layers(playdata(NARROW)), Layer("fc7", [array + 1 for array in playdata(NARROW)["fc7"]])],
        ["fc7 2 times"],
    ),
    "an unknown network": (
        "playdata",
        lambda: [Layer("ip1", [np.zeros((2, 3), np.float32)], "InnerProduct")],
        ["fc8", f"playdata@{NARROW}"],
    ),
    "a flat classifier": (
        "playdata", lambda: with_blobs(playdata, "fc8", lambda b: [np.zeros(44, np.float32), b[1]]), ["fc8"],
    ),
    # Nothing is made of the size that a file declares before its numbers bear it out.
    **{
        f"a size of {shape}": (
            "playdata",
            lambda shape=shape: with_blobs(playdata, "fc8", lambda b: [blob(b[0], shape=shape), b[1]]),
            ["fc8"],
        )
        for shape in [(10**9, 4, 1, 1), (11, 10**12, 1, 1), (2**62, 2**62, 1, 1), (-11, -4, 1, 1)]
    },
    "too many classes": ("playdata", lambda: playdata(NARROW, classes=1001), ["fc8", "1,001 classes"]),
    "another width": ("dilation8", lambda: dilation8(2 * NARROW), ["fc6 weight is [8, 1, 7, 7] there"]),
    "fully connected weights in a convolution": (
        "playdata",
        lambda: with_blobs(playdata, "fc6", lambda b: [b[0].reshape(1, 1, len(b[0]), -1), b[1]]),
        ["fc6 weight is [1, 1, 4, 49] there and [4, 1, 7, 7] here"],
    ),
    "fully connected weights of other sizes": ("playdata", flat_fc6, ["fc6 weight is [49, 4] there"]),
    "the release's own layers": (
        "pspnet101-netwarp", release, ["1 of 229", "conv5_4_1_w", "flo_transformed_1 weight is [2, 4, 3, 3] there"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(refused, case):
    arch, content, said = REFUSED[case]
    line = refused(arch, content())
    assert all(each in line for each in said), line


def test_damage_is_no_reason_for_another_architecture(refused):
    line = refused("playdata", with_blobs(dilation8, "final", lambda b: [b[0], b[1] * np.nan]))
    assert "final (fc8.bias) in " in line
    assert "--arch" not in line


@pytest.mark.parametrize("shape", [(4,), (1, 1, 1, 4), (1, 4, 1, 1), (4, 1), (1, 4)], ids=str)
def test_ones_around_a_vector_do_not_matter(convert, tmp_path, shape):
    blobs = dilation8(NARROW, classes=4)
    values = blobs["ctx_fc1"][1]
    blobs["ctx_fc1"][1] = values.reshape(shape)
    convert("dilation8", blobs)
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["ctx_fc1.bias"].numpy(), values)


def test_a_layer_twice_with_the_same_weights(convert):
    blobs = playdata(NARROW)
    assert convert("playdata", [*layers(blobs), Layer("fc7", blobs["fc7"])]).unused == ()


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


def test_the_front_ends_classifier_under_its_authors_name(convert, tmp_path):
    blobs = playdata(NARROW)
    weight = blobs["fc8"][0]
    blobs["final"] = blobs.pop("fc8")
    assert convert("playdata", blobs).unused == ()
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["fc8.weight"].numpy(), weight)


def test_unused_layers_are_reported_once(convert):
    blobs = dilation10(NARROW)
    upsample = Layer("ctx_upsample", [np.ones((19, 1, 16, 16), np.float32)], "Deconvolution")
    # Damaged ones do not matter, and neither do those without weights.
    broken = Layer("other", [blob(np.zeros(3, np.float32), shape=[7])])
    done = convert("dilation10", [*layers(blobs), upsample, broken, upsample, Layer("prob", type="Softmax")])
    assert done.unused == ("ctx_upsample", "other")


def test_classes(convert, refused, tmp_path):
    blobs = playdata(NARROW, classes=3)
    with pytest.raises(WeightsError, match="the weights have 3 outputs, not the 4"):
        convert("playdata", blobs, classes=4)
    with pytest.raises(ConfigurationError, match=r"classes .*not 0"):
        convert("playdata", blobs, classes=0)
    assert not (tmp_path / "m.safetensors").exists()
    assert convert("playdata", blobs, classes=["a", "b", "c"]).classes == 3
    base = load_base(f"netwarp:playdata@{NARROW}", weights=tmp_path / "m.safetensors")
    assert base.classes == tuple(f"class {i}" for i in range(3))


def test_a_model_keeps_the_names_of_its_classes(convert, tmp_path):
    blobs = pspnet101_netwarp(0.01, classes=2)
    convert("pspnet101-netwarp", blobs, 0.01, classes=["road", "rest"])
    assert load(tmp_path / "m.safetensors").classes == ("road", "rest")
    convert("pspnet101-netwarp", pspnet101_netwarp(0.01), 0.01)
    assert load(tmp_path / "m.safetensors").classes[0] == "road"


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
