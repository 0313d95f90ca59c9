"""A model in one safetensors file: its tensors, and its configuration as metadata. Reading it runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from netwarp.errors import InputError, WeightsError
from netwarp.output_files import write_file
from netwarp.weights import MODEL_KEY, DamagedFileError, check_finite, read_safetensors, safetensors_file

FORMAT = 4


@dataclass(frozen=True)
class SavedModel:
    """What a file holds: how to build the model, in plain values, and its ``state_dict``, or only that without base."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]


def write_model(path: str | Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a model; written beside and then renamed, so that ``path`` never holds half a file."""
    check_finite(tensors, "the model")
    write_file(Path(path), safetensors_file(tensors, {MODEL_KEY: json.dumps(config)}))


def read(path: str | Path) -> SavedModel:
    """Read what :func:`write_model` wrote."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no model file at {path}")
    try:
        tensors, metadata = read_safetensors(path)
    except DamagedFileError:
        raise
    except WeightsError as error:
        raise WeightsError(
            f"{error}: VideoModel.save did not write it, and weights of a network go to load_base "
            "(--base SPEC --weights FILE)"
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
