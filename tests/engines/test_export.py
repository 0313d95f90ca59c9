"""What operators become in a graph, against the operators themselves."""

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netwarp import warp, warp_combine
from netwarp.engines import export, open_engine, read_graph
from netwarp.errors import ConfigurationError


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(17, 23), (1, 9), (1, 1)])
def test_warp_and_sum_in_plain_operators(interpolation, size):
    draw = torch.Generator().manual_seed(0)
    current, previous = (torch.randn(2, 4, *size, generator=draw) for _ in range(2))
    gate, (w1, w2) = torch.rand(2, 1, *size, generator=draw), torch.randn(2, 4, generator=draw)
    for flow in (5 * torch.randn(2, 2, *size, generator=draw), torch.full((2, 2, *size), 2.0)):
        warped = export.warp(previous, flow, interpolation)
        torch.testing.assert_close(warped, warp(previous, flow, interpolation=interpolation), atol=1e-4, rtol=1e-4)
        for trust in (gate, None):
            combined = export.warp_combine(current, previous, flow, w1, w2, trust, interpolation)
            expected = warp_combine(current, previous, flow, w1, w2, trust, interpolation=interpolation)
            torch.testing.assert_close(combined, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_median_is_the_lower_one(count):
    values = torch.randn(3, count, 2)
    for keepdim in (False, True):
        assert torch.equal(export.median(values, 1, keepdim)[0], values.median(1, keepdim).values)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(20, 30), (64, 90), (100, 31)])
def test_antialiased_sizes(size, corners):
    image = torch.rand(2, 3, 64, 70)
    expected = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=corners)
    torch.testing.assert_close(export.resize_antialiased(image, size, corners), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", [(3, 2, 0, 5), (200, -60, -3, 1), (-70, 80, 90, -50)])
def test_replicated_borders(padding):
    image = torch.rand(2, 3, 64, 70)
    assert torch.equal(export.pad(image, padding, "replicate"), F.pad(image, padding, mode="replicate"))


class Shrinking(nn.Module):
    def forward(self, x):
        return F.interpolate(x, size=(20, 30), mode="bilinear", antialias=True) * x.flatten(1).median(1).values


def test_a_module_in_every_engine_with_few_nodes():
    image = torch.rand(1, 3, 64, 70)
    content = export.to_onnx(Shrinking(), {"x": image}, ["y"], {"size": [64, 70]})
    assert read_graph(content).metadata == {"size": "[64, 70]"}
    assert [port.name for port in read_graph(content).inputs] == ["x"]
    for engine in ("onnxruntime", "openvino"):
        found = torch.from_numpy(open_engine(engine, content)({"x": image.numpy()})["y"])
        torch.testing.assert_close(found, Shrinking()(image), atol=1e-5, rtol=1e-5)
    assert len(onnx.load_from_string(content).graph.node) < 10


class Deciding(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_what_cannot_be_exported_is_one_line():
    with pytest.raises(ConfigurationError, match="cannot be exported") as caught:
        export.to_onnx(Deciding(), {"x": torch.rand(1, 3, 8, 8)}, ["y"])
    assert "\n" not in str(caught.value)
