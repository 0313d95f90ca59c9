"""Export a model, check the graph in every engine, and only then write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from netwarp._version import __version__
from netwarp.engines import ENGINES, Engine, open_engine
from netwarp.engines.export import to_onnx
from netwarp.errors import ConfigurationError, MissingExtraError
from netwarp.export.check import check, example
from netwarp.export.step import StreamStep
from netwarp.flow import FlowSource, LucasKanadeFlow, spec_of
from netwarp.model import VideoModel
from netwarp.model.inputs import base_device, base_dtype
from netwarp.output_files import write_file


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        inputs: Names of the graph's inputs.
        outputs: Names of its outputs.
        bytes: Size of the file.
        agreement: By engine, the least share of labels that were the model's own.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bytes: int
    agreement: dict[str, float]


def export(
    model: VideoModel, path: str | Path, size: tuple[int, int], *, logits: bool = False, flow_inside: bool = False
) -> Exported:
    """Write a model as an ONNX file: one step of a stream, from a frame and its state to labels and the next state.

    The graph is run in ONNX Runtime, and in OpenVINO where that is installed, and compared with the model.

    Args:
        model: On the CPU, in float32; put into evaluation mode.
        path: The file; it appears whole or not at all.
        size: (height, width) of the frames that the graph takes.
        logits: Whether it gives logits at frame size too.
        flow_inside: Whether flow is estimated in the graph (:class:`netwarp.flow.LucasKanadeFlow`), in place of the
            model's own, which is an input otherwise.

    Raises:
        ConfigurationError: The model cannot be exported, or the graph computes something else.
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
    content = to_onnx(step, example(model, step, size), step.results, _metadata(model, size, inside or model.flow))
    agreement = {name: check(engine, name, model, step, size) for name, engine in _engines(content)}
    write_file(Path(path), content)
    return Exported(tuple(step.names), tuple(step.results), len(content), agreement)


def _engines(content: bytes) -> Iterator[tuple[str, Engine]]:
    for name in ENGINES:
        try:
            yield name, open_engine(name, content)
        except MissingExtraError:
            if name == "onnxruntime":
                raise


def _metadata(model: VideoModel, size: tuple[int, int], flow: FlowSource) -> dict[str, Any]:
    return {
        "netwarp": __version__,
        "classes": model.classes,
        "palette": model.palette,
        "size": size,
        "layers": model.layers,
        "flow": spec_of(flow),
    }
