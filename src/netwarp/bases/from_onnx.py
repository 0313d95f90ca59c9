"""``onnx:FILE``: a network that an engine runs from an ONNX file, without its code and without PyTorch's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source
from netwarp.engines import Engine, Graph, Port, open_engine, read_graph
from netwarp.engines.graph import listed
from netwarp.errors import ConfigurationError, InputError, NetWarpError, WeightsError, few, reason_of
from netwarp.input_files import expanded
from netwarp.label_sets import LabelSet
from netwarp.model.answer import logits_of
from netwarp.model.inputs import Preprocess

DEFAULT_ENGINE = "onnxruntime"

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # channels last, as TensorFlow has them, out of channels first, and back

_PREPROCESS = ("mean", "std", "scale", "order", "divisor", "remainder", "size")
"""Metadata of a file that are fields of its :class:`Preprocess`, as JSON; ``classes`` and ``palette`` are others."""


class OnnxNetwork(nn.Module):
    """Runs a graph from an image ``[B,3,H,W]`` to logits ``[B,classes,h,w]``, on the CPU and without gradients.

    Ports have channels first; where the graph's own are last, ``last`` of (image, logits) says so.
    """

    layers_hidden: ClassVar[str] = "an engine runs the network from a file, and shows its result alone"

    def __init__(self, engine: Engine, image: Port, logits: Port, last: tuple[bool, bool] = (False, False)) -> None:
        super().__init__()
        self._engine, self._image, self._logits, self._last = engine, image, logits, last

    def forward(self, image: Tensor) -> Tensor:
        """Run the graph: frame by frame where it takes one at a time."""
        wanted = self._image.shape[2:]
        if any(n not in (None, length) for n, length in zip(wanted, image.shape[2:], strict=True)):
            height, width = (n or "?" for n in wanted)
            raise InputError(
                f"the ONNX file takes images of {width}×{height} alone, not of {image.shape[3]}×{image.shape[2]}: "
                "leave --size, --window and --scales out, or export it for this size"
            )
        pixels = image.detach().contiguous().cpu().numpy()
        if self._image.dtype == "uint8":
            pixels = np.rint(pixels).clip(0, 255)
        pixels = pixels.astype(self._image.dtype, copy=False)
        parts = [pixels[i : i + 1] for i in range(len(pixels))] if self._image.shape[0] == 1 else [pixels]
        with torch.no_grad():
            return torch.cat([torch.from_numpy(self._run(part)) for part in parts]).to(image.device)

    def _run(self, pixels: Any) -> Any:  # noqa: ANN401
        try:
            given = np.ascontiguousarray(pixels.transpose(_LAST)) if self._last[0] else pixels
            logits = self._engine({self._image.name: given})[self._logits.name].astype(np.float32, copy=False)
            return logits.transpose(_FIRST) if self._last[1] else logits
        except NetWarpError:
            raise
        except Exception as error:  # each engine has kinds of its own
            height, width = pixels.shape[2:]
            raise InputError(
                f"the ONNX file fails on an image of {width}×{height} ({reason_of(error)[:200]}): "
                "give by --size one that it takes"
            ) from error


def load_onnx(
    name: str,
    weights: str | Path | None,
    classes: int | Sequence[str] | None,
    engine: str | None = None,
    precision: str | None = None,
) -> nn.Module:
    """``onnx:FILE``, or ``onnx:FILE#OUTPUT`` for one of several results: see :func:`netwarp.bases.load_base`."""
    if weights is not None:
        raise ConfigurationError(f"onnx:{name} holds its own weights: leave {{option}} out", option="weights")
    path, asked = _place(name)
    graph = read_graph(path)
    image = _image_of(graph, path)
    logits = _logits_of(graph, path, asked)
    last = [_channels_last(image)] * 2
    if logits.name in graph.argmax:
        last[1] = graph.argmax[logits.name][1] in (3, -1)
        graph = graph.before_argmax(logits.name)
        (logits,) = graph.outputs
    image, logits = (_first(port) if each else port for port, each in zip((image, logits), last, strict=True))
    engine_ = open_engine(engine or DEFAULT_ENGINE, graph.source, precision)
    network = OnnxNetwork(engine_, image, logits, (last[0], last[1]))
    preprocess = _preprocess(graph.metadata, image, path)
    count = (logits.shape and logits.shape[1]) or _channels(network, preprocess, image)
    labels = _labels(ClassRequest.of(classes), count, graph.metadata, path)
    return attach_source(network, BaseSource(f"onnx:{name}", labels.names, labels.palette, preprocess))


def rebuild_onnx(source: BaseSource) -> nn.Module:
    """Refuse: a saved model must not decide which file runs here."""
    raise ConfigurationError(f"the model's base is the file of {source.spec}: give it as {{option}}", option="base")


def _place(name: str) -> tuple[Path, str | None]:
    """The file, and the output that is named behind a ``#`` of it."""
    path = expanded(name)
    file, mark, output = name.rpartition("#")
    if not mark or path.exists():
        return path, None
    return expanded(file), output


def _image_of(graph: Graph, path: Path) -> Port:
    """The one input."""
    if len(graph.inputs) != 1:
        hint = ""
        if {"frame", "previous", "flow"} <= {port.name for port in graph.inputs}:
            hint = "; it is a step of a stream with a memory of its own, and docs/export.md says how to run it"
        raise WeightsError(f"{path} takes {len(graph.inputs)} inputs, not an image ({listed(graph.inputs)}){hint}")
    (image,) = graph.inputs
    number = image.dtype in ("float32", "float16", "float64", "uint8")
    if len(image.shape) != 4 or not (image.shape[1] in (3, None) or _channels_last(image)) or not number:
        raise WeightsError(
            f"the input of {path} is no image [B,3,H,W] or [B,H,W,3] ({image}): export the network for one, in "
            "floating point or uint8"
        )
    if image.shape[0] not in (1, None):
        raise WeightsError(f"{path} takes {image.shape[0]} images at a time ({image}): export it for 1, or any number")
    return image


def _channels_last(image: Port) -> bool:
    return image.shape[3] == 3 and image.shape[1] != 3


def _first(port: Port) -> Port:
    return replace(port, shape=tuple(port.shape[axis] for axis in _FIRST)) if port.shape else port


def _logits_of(graph: Graph, path: Path, asked: str | None) -> Port:
    """The output that is named, or the only one that can be logits, or else the only one that is labels of logits."""
    names = [port.name for port in graph.outputs]
    if asked is not None and asked not in names:
        raise WeightsError(f"{path} has no output {asked!r}: it gives {listed(graph.outputs)}")
    given = [port for port in graph.outputs if asked in (None, port.name)]
    labels = [port for port in given if graph.argmax.get(port.name, ("", 0))[1] in (1, -3, 3, -1)]
    maps = [port for port in given if len(port.shape) in (0, 4) and port.dtype.startswith("float")]
    fit = [port for port in maps if port.name not in graph.argmax] or labels
    if not fit:
        raise WeightsError(
            f"{path} gives no logits [B,classes,h,w] ({listed(given)}): export the network without what makes labels "
            "of them"
        )
    if len(fit) > 1:
        raise WeightsError(
            f"{path} gives {len(fit)} results that may be logits ({listed(fit)}): write onnx:{path}#NAME for one of "
            f"{few([port.name for port in fit])}"
        )
    return fit[0]


def _preprocess(metadata: Mapping[str, str], image: Port, path: Path) -> Preprocess:
    """What the file says of its input, else ImageNet's; with the size of a file that takes one alone."""
    values = {name: _value(metadata[name]) for name in _PREPROCESS if name in metadata}
    if image.dtype == "uint8" and not values:
        values = {"mean": [0.0] * 3, "std": [1.0] * 3, "scale": 255.0}
    height, width = image.shape[2:]
    if height is not None and width is not None:
        values |= {"size": (height, width), "divisor": 1, "remainder": 0}
    try:
        return Preprocess.from_dict(values)
    except (TypeError, ConfigurationError) as error:
        raise WeightsError(f"the metadata of {path} describe no preprocessing: {reason_of(error)}") from error


def _value(text: str) -> Any:  # noqa: ANN401
    """A text as JSON, or as numbers with commas between, or as it stands."""
    with suppress(ValueError):
        return json.loads(text)
    if re.fullmatch(r"[\d.eE+\-,\s]+", text):
        with suppress(ValueError):
            return [float(part) for part in text.split(",")]
    return text


def _labels(asked: ClassRequest, count: int, metadata: Mapping[str, str], path: Path) -> LabelSet:
    if asked.count not in (None, count):
        raise WeightsError(f"{path} gives {count} classes, not the {asked.count} of {{option}}", option="classes")
    names, palette = (_value(metadata.get(key, "null")) for key in ("classes", "palette"))
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if names is None:
        return asked.labels(count)
    try:
        known = ClassRequest.of(names).labels(len(names))
        if palette is not None:
            known = LabelSet(known.names, tuple((int(r), int(g), int(b)) for r, g, b in palette))
    except (TypeError, ValueError, ConfigurationError) as error:
        raise WeightsError(f"the metadata of {path} name no classes: {reason_of(error)}") from error
    if len(known) != count:
        raise WeightsError(f"the metadata of {path} name {len(known)} classes, and it gives {count}")
    return asked.labels(count, known)


def _channels(network: OnnxNetwork, preprocess: Preprocess, image: Port) -> int:
    """How many classes a result has whose shape the file does not say."""
    height, width = preprocess.grid((image.shape[2] or 256, image.shape[3] or 256))[1]
    return logits_of(network(torch.zeros(1, 3, height, width))).shape[1]
