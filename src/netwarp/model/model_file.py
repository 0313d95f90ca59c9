"""A model in one safetensors file: its tensors, and its configuration as metadata. Reading it runs no code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError, WeightsError
from netwarp.model.gates import LearnedGate, PhotometricGate
from netwarp.model.options import Gate
from netwarp.output_files import written_whole

if TYPE_CHECKING:
    from netwarp.model.video_model import VideoModel

__all__ = ["MODEL_KEY", "SavedModel", "configuration", "read", "save"]

FORMAT = 2
MODEL_KEY = "netwarp"


@dataclass(frozen=True)
class SavedModel:
    """What a file holds.

    Attributes:
        path: The file.
        config: How to build the model: plain values.
        tensors: The model's ``state_dict``, with or without the base's part (``base.…``).
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]


def save(model: VideoModel, path: str | Path, *, include_base: bool = True) -> None:
    """Write a model; written beside and then renamed, so that ``path`` never holds half a file."""
    from safetensors.torch import save as to_bytes

    path = Path(path)
    config = configuration(model)
    state = {k: v for k, v in model.state_dict().items() if include_base or not k.startswith("base.")}
    check_finite(state, "the model")
    # Clones, because safetensors refuses tensors that share memory, as tied weights do.
    data = to_bytes(
        {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, {MODEL_KEY: json.dumps(config)}
    )
    with written_whole(path) as file:
        file.write(data)


def configuration(model: VideoModel) -> dict[str, Any]:
    """How to build a model again, but for its tensors: plain values that JSON can hold."""
    flow = getattr(model.flow, "spec", None)
    if not isinstance(flow, str):
        raise ConfigurationError(
            f"a model with the flow {type(model.flow).__name__} cannot be saved: give the flow a text 'spec'"
        )
    gate = _gate(model.gate)
    # A network of the user's own may have an attribute of this name that means something else.
    describe = getattr(getattr(model.base, "source", None), "to_dict", None)
    return {
        # The oldest that says it all, so that older versions read what they can.
        "format": FORMAT if gate is not None and "learned" in gate else 1,
        "layers": list(model.layers),
        "flow": flow,
        "flow_cnn": None
        if model.flow_cnn is None
        else {"variant": model.flow_cnn.variant, "stride": model.flow_cnn.stride, "start": model.flow_cnn.start},
        "memory": model.memory,
        "gate": gate,
        "training_free": model.training_free,
        "preprocess": model.preprocess.to_dict(),
        "classes": list(model.classes),
        "palette": [list(colour) for colour in model.palette],
        "example_size": None if model.example_size is None else list(model.example_size),
        "base": describe() if callable(describe) else None,
    }


def read(path: str | Path) -> SavedModel:
    """Read what :func:`save` wrote."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no model file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no file that VideoModel.save wrote ({str(error).splitlines()[0]}): "
            "weights of a network go to load_base (--base SPEC --weights FILE)"
        ) from error
    if MODEL_KEY not in metadata:
        raise WeightsError(
            f"{path} is no netwarp model, as it lacks the configuration that VideoModel.save writes: "
            "weights of a network go to load_base (--base SPEC --weights FILE)"
        )
    try:
        config = json.loads(metadata[MODEL_KEY])
        newer = config["format"] > FORMAT
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"the configuration in {path} is damaged") from error
    if newer:
        raise WeightsError(f"{path} was written by a newer netwarp (format {config['format']}): update netwarp")
    check_finite(tensors, str(path))
    return SavedModel(path, config, tensors)


def _gate(gate: Gate | None) -> dict[str, Any] | None:
    if isinstance(gate, LearnedGate):
        return {"learned": gate.to_dict()}
    if gate is None or isinstance(gate, PhotometricGate):
        return None if gate is None else gate.to_dict()
    raise ConfigurationError(
        f"a model with the gate {type(gate).__name__} cannot be saved: only a PhotometricGate or a LearnedGate can"
    )


def check_finite(tensors: dict[str, Tensor], owner: str) -> None:
    """Refuse weights with NaN or infinite values."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{owner} holds NaN or infinite values in {name!r}: the weights are damaged")
