"""Export a model, check the graph in every engine, and only then write it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from netwarp._version import __version__
from netwarp.engines import ENGINES, Engine, open_engine, read_graph
from netwarp.engines.export import to_onnx
from netwarp.errors import ConfigurationError, MissingExtraError
from netwarp.export.check import check, example
from netwarp.export.step import StreamStep
from netwarp.flow import FlowSource, LucasKanadeFlow, spec_of
from netwarp.model import VideoModel
from netwarp.model.inputs import base_device, base_dtype
from netwarp.model.layers import probe
from netwarp.output_files import write_file


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        inputs: Names of the graph's inputs.
        outputs: Names of its outputs.
        bytes: Size of the file.
        multiple: What height and width must be multiples of; None where they are fixed.
        agreement: By engine, the least share of labels that were the model's own.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bytes: int
    multiple: int | None
    agreement: dict[str, float]


def export(
    model: VideoModel,
    path: str | Path,
    size: tuple[int, int],
    *,
    logits: bool = False,
    flow_inside: bool = False,
    dynamic: bool = False,
) -> Exported:
    """Write a model as an ONNX file: one step of a stream, from a frame and its state to labels and the next state.

    The graph is run in ONNX Runtime, and in OpenVINO where that is installed, and compared with the model.

    Args:
        model: On the CPU, in float32; put into evaluation mode.
        path: The file; it appears whole or not at all.
        size: (height, width) of the frames that the graph takes; with ``dynamic`` of those that it is tried with first,
            brought up to multiples.
        logits: Whether it gives logits at frame size too.
        flow_inside: Whether flow is estimated in the graph (:class:`netwarp.flow.LucasKanadeFlow`), in place of the
            model's own, which is an input otherwise.
        dynamic: Whether the graph takes frames of all sizes that are multiples of the network's coarsest stride and
            divisor (``multiple`` in its metadata). It is compared with the model at three sizes.

    Raises:
        ConfigurationError: The model cannot be exported, or not for all sizes, or the graph computes something else.
        MissingExtraError: The exporter or ONNX Runtime is not installed.
        OutputError: The file cannot be written.
    """
    if base_device(model.base).type != "cpu" or base_dtype(model.base) != torch.float32:
        raise ConfigurationError("a model is exported from the CPU and in float32: call model.cpu().float() first")
    if isinstance(getattr(model.base, "layers_hidden", None), str):
        raise ConfigurationError("the model's network is an ONNX file already: export what it was made of")
    model.eval()
    inside = LucasKanadeFlow() if flow_inside and model.layers else None
    step = StreamStep(model, logits=logits, flow=inside and inside.between).eval()
    sizes, multiple = [size], None
    if dynamic:
        multiple = _multiple_of(model)
        sizes = _sizes_around(size, multiple)
    strides = _strides(model, step, sizes)
    metadata = _metadata(model, inside or model.flow) | {"size": sizes[0], "multiple": multiple, "strides": strides}
    given = example(model, step, sizes[0])
    any_size = {2: Dim.AUTO, 3: Dim.AUTO}
    free = (tuple({} if name == "first" else any_size for name in given),) if dynamic else None
    content = to_onnx(step, given, step.results, metadata, free)
    for port in read_graph(content).inputs if dynamic else ():
        if port.name != "first" and port.shape[2:] != (None, None):
            raise ConfigurationError(
                f"the network's code asks for sizes, and its graph takes {port} alone: export it for one size",
                option="dynamic",
            )
    agreement = {name: min(check(run, name, model, step, each) for each in sizes) for name, run in _engines(content)}
    write_file(Path(path), content)
    return Exported(tuple(step.names), tuple(step.results), len(content), multiple, agreement)


def _engines(content: bytes) -> Iterator[tuple[str, Engine]]:
    for name in ENGINES:
        try:
            yield name, open_engine(name, content)
        except MissingExtraError:
            if name == "onnxruntime":
                raise


def _multiple_of(model: VideoModel) -> int:
    """What sizes must be multiples of, so that every map of the network is a whole fraction of the frame."""
    given = model.preprocess
    if given.size is not None or given.remainder:
        form = "one size" if given.size is not None else f"sizes {given.divisor}k+{given.remainder}"
        raise ConfigurationError(f"the network takes frames of {form}: export it for one size", option="dynamic")
    seen = probe(model.base, given, model.example_size)
    strides = (round(n) for info in (*seen.layers, seen.output) if info.grid is not None for n in info.stride)
    return math.lcm(given.divisor, *(max(stride, 1) for stride in strides))


def _sizes_around(size: tuple[int, int], multiple: int) -> list[tuple[int, int]]:
    """The size, one that is taller and wider by other numbers, and a smaller one, all of multiples."""
    height, width = (-(-n // multiple) for n in size)
    smaller = (max(3 * height // 4, 1), max(3 * width // 4, 1))
    return [(h * multiple, w * multiple) for h, w in ((height, width), (height + 1, width + 2), smaller)]


def _strides(model: VideoModel, step: StreamStep, sizes: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Of each memory: how much smaller it is than the frame, down and across."""
    found = {}
    for height, width in sizes:
        maps = [t for name, t in example(model, step, (height, width)).items() if name.startswith("memory_")]
        found[height, width] = [(height / t.shape[2], width / t.shape[3]) for t in maps]
    first = found[sizes[0]]
    whole = all(n.is_integer() for pair in first for n in pair)
    if len(sizes) > 1 and not (whole and all(strides == first for strides in found.values())):
        raise ConfigurationError(
            f"the maps of {', '.join(model.layers)} are no whole fractions of the frame: export for one size",
            option="dynamic",
        )
    return first


def _metadata(model: VideoModel, flow: FlowSource) -> dict[str, Any]:
    return {
        "netwarp": __version__,
        "task": model.task.name,
        "classes": model.classes,
        "palette": model.palette,
        "layers": model.layers,
        "flow": spec_of(flow),
    }
