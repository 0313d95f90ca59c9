"""ONNX files made by hand: a convolution of stride 2 over an image, and what its right answer is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

CLASSES = 4
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=CLASSES).astype(np.float32)
TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "float16": TensorProto.FLOAT16}


class Convolution(nn.Module):
    """The same in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CLASSES, 3, stride=2, padding=1)
        self.conv.weight.data, self.conv.bias.data = torch.from_numpy(WEIGHT.copy()), torch.from_numpy(BIAS.copy())
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def right_answer(image: Tensor) -> Tensor:
    return F.conv2d(image, torch.from_numpy(WEIGHT), torch.from_numpy(BIAS), stride=2, padding=1)


def write_onnx(
    path: Path,
    size: tuple[Any, ...] = ("b", 3, "h", "w"),
    *,
    dtype: str = "float32",
    operator: str = "Conv",
    before: tuple[onnx.NodeProto, ...] = (),
    more: tuple[onnx.NodeProto, ...] = (),
    outputs: dict[str, tuple[int, tuple[Any, ...]]] | None = None,
    inputs: tuple[onnx.ValueInfoProto, ...] = (),
    **metadata: Any,
) -> Path:
    """Write the convolution, ``image`` to ``logits``, with ``more`` nodes behind it; metadata as JSON.

    Nodes ``before`` it make ``y`` of ``x``, the image in float32.
    """
    rest = ("h2", "w2") if isinstance(size[-2], str) else tuple(-(-n // 2) for n in size[-2:])
    outputs = outputs or {"logits": (TensorProto.FLOAT, (size[0], CLASSES, *rest))}
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        *before,
        helper.make_node(
            operator, ["y" if before else "x", "weight", "bias"], ["logits"], strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        *more,
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("image", TYPES[dtype], size), *inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(BIAS, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.save(model, str(path))
    return path
