"""Converted networks against an evaluation of the same blobs that shares no code with netwarp."""

from pathlib import Path

import caffe_reference
import numpy as np
import pytest
import torch
from torch import Tensor

from convert import release_reference
from convert.published import PUBLISHED, layers
from convert.wire import Layer, caffemodel
from netwarp import load, load_base
from netwarp.convert.caffe import Converted, convert_caffe

WIDTH = 0.0625
REFERENCES = {
    "playdata": lambda blobs, image: caffe_reference.playdata(blobs, image)["fc8"],
    "dilation8": lambda blobs, image: caffe_reference.dilation(blobs, image, 16)["ctx_final"],
    "dilation10": lambda blobs, image: caffe_reference.dilation(blobs, image, 64)["ctx_final"],
    "pspnet101": lambda blobs, image: caffe_reference.pspnet(blobs, image)["conv6"],
}


def frames(count: int, height: int, width: int) -> list[Tensor]:
    """Coarse and fine structure, so that neither poolings nor interpolations make all alike."""
    rough = torch.rand(count, 3, height // 8 + 1, width // 8 + 1)
    smooth = torch.nn.functional.interpolate(rough, (height, width), mode="bilinear")
    return list((0.7 * smooth + 0.3 * torch.rand(count, 3, height, width)).unsqueeze(1))


def relative_error(found: Tensor, wanted: np.ndarray) -> float:
    # A signal that has died, or is the same everywhere, would agree with anything.
    assert wanted.std(axis=(1, 2)).mean() > 0.01 * np.abs(wanted).max()
    assert found.shape == (1, *wanted.shape)
    return float(np.abs(found[0].double().numpy() - wanted).max() / np.abs(wanted).max())


def converted(folder: Path, arch: str, content: bytes, **options: object) -> tuple[Path, Converted]:
    source, target = folder / "m.caffemodel", folder / "out" / "m.safetensors"
    source.write_bytes(content)
    return target, convert_caffe(arch, source, target, **options)


@pytest.mark.parametrize(
    ("arch", "written"),
    [
        ("playdata", {"form": "layers", "sizes": "four"}),
        ("dilation8", {"form": "layer", "how": "split"}),
        ("dilation10", {"form": "layers", "sizes": "shape unpacked"}),
        ("pspnet101", {"form": "layer", "sizes": "four"}),
    ],
)
@torch.no_grad()
def test_networks_equal_an_independent_evaluation(tmp_path, arch, written):
    blobs = PUBLISHED[arch](WIDTH)
    target, done = converted(tmp_path, f"{arch}@{WIDTH}", caffemodel(layers(blobs), **written))
    classes = 19 if arch in ("dilation10", "pspnet101") else 11
    assert done.base == f"netwarp:{arch}@{WIDTH}"
    assert (done.video, done.classes, done.layers, done.unused, done.likely) == (False, classes, len(blobs), (), arch)
    assert done.parameters == sum(array.size for arrays in blobs.values() for array in arrays)
    base = load_base(done.base, weights=target)
    assert len(base.classes) == classes
    (frame,) = frames(1, 25, 41) if arch == "pspnet101" else frames(1, 16, 24)
    image = base.preprocess(frame)
    assert relative_error(base(image), REFERENCES[arch](blobs, image[0].double().numpy())) < 1e-4


@torch.no_grad()
def test_the_release_equals_an_independent_evaluation_on_a_pair(tmp_path):
    blobs = PUBLISHED["pspnet101-netwarp"](WIDTH)
    target, done = converted(tmp_path, f"pspnet101-netwarp@{WIDTH}", caffemodel(layers(blobs)))
    assert (done.video, done.classes, done.layers, done.unused) == (True, 19, len(blobs), ())
    model = load(target)
    assert model.layers == ("conv5_4",)
    assert (model.memory, model.flow.spec, model.flow_cnn.variant) == ("previous", "dis:light", "release")
    current, previous = frames(2, 41, 57)
    # In both directions, not whole, and beyond the border.
    flow = 3 * torch.randn(1, 2, 41, 57)
    mean = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    now, past = ((frame[0].flip(0) * 255 - mean).double().numpy() for frame in (current, previous))
    wanted = release_reference.release(blobs, now, past, flow[0].double().numpy())
    assert relative_error(model(current, previous, flow=flow), wanted) < 1e-4
    # What the NetWarp adds is no trifle here.
    assert relative_error(model(current, previous, flow=flow), caffe_reference.pspnet(blobs, now)["conv6"]) > 0.05
    _, state = model.step(previous)
    after, _ = model.step(current, state, flow=flow)
    assert relative_error(after, wanted) < 1e-4


@torch.no_grad()
def test_the_network_of_the_release_alone(tmp_path):
    blobs = PUBLISHED["pspnet101-netwarp"](WIDTH)
    copy = [Layer(f"{name}_prev", arrays) for name, arrays in blobs.items() if name.startswith("conv1_")]
    target, done = converted(tmp_path, f"pspnet101@{WIDTH}", caffemodel([*layers(blobs), *copy]))
    flow_cnn = ["conv1_flo_1", "conv2_flo_1", "conv3_flo_1", "flo_transformed_1", "conv5_4_0_w", "conv5_4_1_w"]
    assert list(done.unused) == [*flow_cnn, *(layer.name for layer in copy)]
    assert done.likely == "pspnet101-netwarp"
    base = load_base(done.base, weights=target)
    image = base.preprocess(frames(1, 25, 25)[0])
    assert relative_error(base(image), caffe_reference.pspnet(blobs, image[0].double().numpy())["conv6"]) < 1e-4
