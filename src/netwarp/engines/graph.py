"""What an ONNX file says of itself: its inputs, outputs and metadata, read without any engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from netwarp.errors import WeightsError, needs_extra, reason_of


@dataclass(frozen=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: str  # as numpy calls it
    shape: tuple[int | None, ...]  # None where any length goes

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{','.join('?' if n is None else str(n) for n in self.shape)}]"


@dataclass(frozen=True)
class Graph:
    """An ONNX graph: where it is, and what goes in and comes out."""

    source: Path | bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str]
    argmax: Mapping[str, tuple[str, int]]  # of outputs that are labels: the tensor they are the ArgMax of, and its axis

    def before_argmax(self, name: str) -> Graph:
        """The graph up to the logits of an output that is labels."""
        import onnx

        model = onnx.load_from_string(self.source) if isinstance(self.source, bytes) else onnx.load(self.source)
        try:
            extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
            part = extractor.extract_model([port.name for port in self.inputs], [self.argmax[name][0]])
            return replace(read_graph(part.SerializeToString()), metadata=self.metadata)
        except Exception as error:  # shapes that nothing tells, or more than Protocol Buffers take
            raise WeightsError(
                f"the graph that gives {name} cannot be cut before its ArgMax ({reason_of(error)[:120]}): "
                "export the network without it"
            ) from error


def read_graph(source: Path | bytes) -> Graph:
    """Read a file, or its content. Weights that lie in files beside it are left there."""
    with needs_extra("onnx", "onnx", "an ONNX file"):
        import onnx
    name = "the graph" if isinstance(source, bytes) else str(source)
    try:
        # Inputs and outputs are all that is looked at: what weights are is the engine's matter.
        model = (
            onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source, load_external_data=False)
        )
    except FileNotFoundError:
        raise WeightsError(f"no ONNX file at {name}") from None
    except IsADirectoryError:
        raise WeightsError(f"{name} is a folder: give the .onnx file in it") from None
    except Exception as error:  # damaged bytes may raise anything
        what = getattr(error, "strerror", None) or "its content is something else, or damaged"
        raise WeightsError(f"{name} is no ONNX model: {what}") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise WeightsError(f"{name} is no ONNX model: it holds no graph")
    weights = {tensor.name for tensor in graph.initializer}  # which older files list among the inputs
    try:
        inputs = tuple(_port(value, onnx) for value in graph.input if value.name not in weights)
        outputs = tuple(_port(value, onnx) for value in graph.output)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name} has inputs or outputs that are no tensors: {reason_of(error)}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    made = {name: node for node in graph.node for name in node.output}
    argmax = {port.name: found for port in outputs if (found := _argmax_behind(port.name, made))}
    return Graph(source, inputs, outputs, metadata, argmax)


def _argmax_behind(name: str, made: Mapping[str, Any]) -> tuple[str, int] | None:
    """What a tensor is the ArgMax of, and along which axis, whatever its labels' type and dimensions became."""
    while (node := made.get(name)) is not None and node.op_type in ("Cast", "Identity", "Squeeze", "Unsqueeze"):
        name = node.input[0]
    if node is None or node.op_type != "ArgMax":
        return None
    return node.input[0], next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def listed(ports: Sequence[Port]) -> str:
    """Ports with their types and shapes, for an error."""
    return "; ".join(map(str, ports)) or "none"


def _port(value: Any, onnx: Any) -> Port:  # noqa: ANN401
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim)
    return Port(value.name, str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))), shape)
