"""Match Caffe's layers with a network's parameters, by name and shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.convert.caffemodel import Blob, CaffeLayer, Caffemodel
from netwarp.errors import WeightsError, few
from netwarp.weights import check_finite


@dataclass(frozen=True)
class Parameter:
    """The tensor of a network's ``state_dict`` that takes a blob."""

    key: str
    shape: tuple[int, ...]


Wanted = dict[str, tuple[Parameter, ...]]
"""The layers that a network needs, by Caffe's names, each with a parameter for every blob."""

# Caffe's BN layer, as PSPNet's files have it: scale, shift, mean, variance.
_BLOBS = {
    nn.Conv2d: ("weight", "bias"),
    nn.BatchNorm2d: ("weight", "bias", "running_mean", "running_var"),
}
# The front-end's authors call its classifier "final"; here it has VGG's name, and the paper's.
_ALSO_CALLED = {"fc8": "final"}


def wanted_by(network: nn.Module, prefix: str = "", names: Mapping[str, str] | None = None) -> Wanted:
    """The Caffe layers that hold a network's parameters.

    A convolution at ``conv4_23.1x1_reduce.conv`` is layer ``conv4_23_1x1_reduce``, the batch norm beside it is
    ``conv4_23_1x1_reduce/bn``.
    """
    found: Wanted = {}
    for path, module in network.named_modules():
        blobs = next((blobs for kind, blobs in _BLOBS.items() if isinstance(module, kind)), None)
        if blobs is None:
            continue
        tensors = module.state_dict()
        name = path.removesuffix(".conv").removesuffix(".bn").replace(".", "_")
        name += "/bn" if isinstance(module, nn.BatchNorm2d) else ""
        found[(names or {}).get(path, name)] = tuple(
            Parameter(f"{prefix}{path}.{blob}", tuple(tensors[blob].shape)) for blob in blobs if blob in tensors
        )
    return found


def named(model: Caffemodel, wanted: str) -> CaffeLayer | None:
    """The layer with a name, or its other name; None if there is none."""
    for name in (wanted, _ALSO_CALLED.get(wanted)):
        layers = [layer for layer in model.layers if layer.name == name]
        if layers:
            if not all(_alike(layers[0], other) for other in layers[1:]):
                raise WeightsError(f"{model.path} has layer {name} {len(layers)} times, with different weights")
            return layers[0]
    return None


def outputs_of(layer: CaffeLayer, path: Path) -> int | None:
    """The number of outputs of a convolution or fully connected layer, or None for other weights."""
    shape = _weight_shape(layer)
    if len(shape) not in (2, 4) or min(shape) < 1:
        return None
    _check_length(path, layer, layer.blobs[0], shape)
    return shape[0]


def fitting(model: Caffemodel, wanted: Wanted) -> dict[str, CaffeLayer]:
    """Find the layers of a file that a network needs, and check their shapes."""
    layers = {name: named(model, name) for name in wanted}
    missing = [name for name, layer in layers.items() if layer is None]
    found = {name: layer for name, layer in layers.items() if layer is not None}
    misshapen = [complaint for name, layer in found.items() for complaint in _complaints(layer, wanted[name])]
    complaints = []
    if missing:
        complaints.append(f"{len(missing)} of {len(wanted)} layers are missing ({few(missing)})")
    if misshapen:
        count = f"{len(misshapen)} blobs do not fit" if len(misshapen) > 1 else "a blob does not fit"
        complaints.append(f"{count} ({few(misshapen)})")
    if complaints:
        raise WeightsError(f"{model.path} is of another network: {', '.join(complaints)}")
    return found


def taken(layers: Mapping[str, CaffeLayer], wanted: Wanted, path: Path) -> dict[str, Tensor]:
    """Read the parameters of layers that fit, and check their values."""
    for name, layer in layers.items():
        for blob, parameter in zip(layer.blobs, wanted[name], strict=True):
            _check_length(path, layer, blob, parameter.shape)
    state: dict[str, Tensor] = {}
    for name, layer in layers.items():
        own = {p.key: _tensor(blob, p) for blob, p in zip(layer.blobs, wanted[name], strict=True)}
        check_finite({f"{layer.name} ({key})": tensor for key, tensor in own.items()}, path)
        if any(key.endswith(".running_var") and bool((tensor < 0).any()) for key, tensor in own.items()):
            raise WeightsError(
                f"{layer.name} in {path} has a negative variance: it is damaged, or its blobs are not in the "
                "order scale, shift, mean, variance"
            )
        state |= own
    return state


def _complaints(layer: CaffeLayer, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    if len(layer.blobs) != len(parameters):
        yield f"{layer.name} has {len(layer.blobs)} blobs there and {len(parameters)} here"
        return
    for blob, parameter in zip(layer.blobs, parameters, strict=True):
        if not _fits(layer, blob, parameter):
            shape = "no shape" if blob.shape is None else list(blob.shape)
            kind = parameter.key.rpartition(".")[2]
            yield f"{layer.name} {kind} is {shape} there and {list(parameter.shape)} here"


def _fits(layer: CaffeLayer, blob: Blob, parameter: Parameter) -> bool:
    if blob.shape is None:
        return False
    if len(parameter.shape) == 1:  # ones around a vector say nothing: [1,1,1,N] and [1,C,1,1] in old files
        return [size for size in blob.shape if size != 1] == [size for size in parameter.shape if size != 1]
    if layer.inner_product:
        # A fully connected layer is a convolution over all of its input, whose weights lie in the same order.
        return _weight_shape(layer) == (parameter.shape[0], math.prod(parameter.shape[1:]))
    return blob.shape == parameter.shape


def _weight_shape(layer: CaffeLayer) -> tuple[int, ...]:
    shape = layer.blobs[0].shape or ()
    return shape[2:] if layer.inner_product and len(shape) == 4 and shape[:2] == (1, 1) else shape


def _check_length(path: Path, layer: CaffeLayer, blob: Blob, shape: tuple[int, ...]) -> None:
    needed = math.prod(shape)
    if blob.size != needed:
        raise WeightsError(
            f"{path} is damaged: the blob of {shape} in layer {layer.name} needs {needed:,} numbers and "
            f"has {blob.size:,}"
        )


def _tensor(blob: Blob, parameter: Parameter) -> Tensor:
    numbers = blob.numbers()
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which is refused
        return torch.from_numpy(numbers.astype(np.float32, copy=False)).view(parameter.shape)


def _alike(one: CaffeLayer, other: CaffeLayer) -> bool:
    return len(one.blobs) == len(other.blobs) and all(
        a.shape == b.shape and a.size == b.size and np.array_equal(a.numbers(), b.numbers())
        for a, b in zip(one.blobs, other.blobs, strict=True)
    )
