"""The engines, by name: each runs an ONNX graph on the CPU, from arrays to arrays."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netwarp.errors import ConfigurationError, MissingExtraError, WeightsError, needs_extra, reason_of, unknown_name

Array = NDArray[Any]
Arrays = Mapping[str, Array]


PRECISIONS = {"bfloat16": "bf16", "float16": "f16"}
"""What an engine can compute in besides the graph's own dtype, as OpenVINO calls it."""


Engine = Callable[[Arrays], dict[str, Array]]
"""A graph that is ready to run, from several threads at a time: arrays by the names of inputs, to arrays of the
caller's own by the names of outputs."""


class OnnxRuntime:
    """ONNX Runtime, in what the graph says."""

    def __init__(self, source: Path | bytes, _precision: str | None = None) -> None:
        with needs_extra("onnxruntime", "onnx", "the engine onnxruntime"):
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        # Threads that wait for work would otherwise take the cores from decoding and flow.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        given = source if isinstance(source, bytes) else str(source)
        self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """Run the graph; see :data:`Engine`."""
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))


_MAKING_THE_CORE = threading.Lock()


@functools.cache
def _core_of(openvino: Any) -> Any:  # noqa: ANN401
    """OpenVINO's core, one a process: each changes the stack that signals are handled on, and puts back what it found.

    Where the first of two goes first, that is memory which is gone, and the next signal kills the process.
    """
    return openvino.Core()


class OpenVino:
    """OpenVINO; in float32 on every processor, or in ``precision`` where it can."""

    def __init__(self, source: Path | bytes, precision: str | None = None) -> None:
        with needs_extra("openvino", "openvino", "the engine openvino"):
            import openvino
        with _MAKING_THE_CORE:  # a cache alone lets two threads make two
            core = _core_of(openvino)
        settings = {
            # On processors that know bfloat16 it would compute in that, unasked.
            "INFERENCE_PRECISION_HINT": "f32" if precision is None else PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        model = core.read_model(source if isinstance(source, bytes) else str(source))
        self._names = [output.any_name for output in model.outputs]
        self._compiled = core.compile_model(model, "CPU", settings)
        self._requests = threading.local()  # a request that is running takes no other inputs

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """Run the graph; see :data:`Engine`."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        results = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        # Copies: the request writes its next results over these.
        return {name: np.array(results[i]) for i, name in enumerate(self._names)}


ENGINES: dict[str, Callable[[Path | bytes, str | None], Engine]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
"""Every engine by its name."""


def check_engine(name: str, precision: str | None = None) -> None:
    """Refuse what is no engine, and a precision that it does not have."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if precision is not None and precision not in PRECISIONS:
        raise unknown_name("dtype", precision, PRECISIONS)
    if name == "onnxruntime" and precision is not None:
        raise ConfigurationError(f"onnxruntime computes as the graph says, not in {precision}: take openvino")


def open_engine(name: str, source: Path | bytes, precision: str | None = None) -> Engine:
    """Compile a graph, a file or its content, for one of :data:`ENGINES`.

    ``precision`` is ``"bfloat16"`` or ``"float16"`` to compute in that where the engine can; None for the graph's own.

    Raises:
        ConfigurationError: No engine of that name, or it cannot compute so.
        WeightsError: The engine cannot run this graph.
        MissingExtraError: The engine is not installed.
    """
    check_engine(name, precision)
    try:
        return ENGINES[name](source, precision)
    except (ConfigurationError, MissingExtraError):
        raise
    except Exception as error:  # each engine has kinds of its own
        others = " or ".join(other for other in ENGINES if other != name)
        what = "the graph" if isinstance(source, bytes) else str(source)
        reason = reason_of(error)
        advice = (
            "its weights lie in a file of their own, which belongs beside it"
            if "xternal" in reason
            else f"try {others}"
        )
        raise WeightsError(f"{name} cannot run {what} ({reason[:150]}): {advice}") from error
