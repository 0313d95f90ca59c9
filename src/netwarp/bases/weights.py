"""Weights out of a file into a network: everything is checked before the network changes."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.bases.spec import reason_of
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.model.model_file import MODEL_KEY

__all__ = [
    "check_finite",
    "load_weights",
    "no_named_weights",
    "outputs_in",
    "read_weights",
    "unwrapped",
    "weights_file",
]

State = dict[str, Tensor]

_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".tar", ".th", ".safetensors"}
# Where training scripts put the state dict, and what DataParallel and torch.compile put before its keys.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.")


def weights_file(weights: str | Path | None) -> Path | None:
    """The path in what a user passed as ``weights=``, or None if that is a name such as ``"default"``.

    >>> weights_file("default"), weights_file("runs/best.pth").name
    (None, 'best.pth')
    """
    if weights is None:
        return None
    path = Path(weights).expanduser()
    named = isinstance(weights, Path) or path.suffix.lower() in _SUFFIXES or len(path.parts) > 1 or path.exists()
    return path if named else None


def read_weights(path: Path) -> State:
    """Read a state dict from a file, without running any code in it."""
    if not path.exists():
        raise WeightsError(f"no weights file at {path}")
    if not path.is_file():
        raise WeightsError(f"{path} is a folder: give the weights file in it")
    content: Any = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    while isinstance(content, Mapping):
        inner = next((content[w] for w in _WRAPPERS if isinstance(content.get(w), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no state dict but {type(content).__name__}: save the network's state_dict()")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds no state dict: its entry {name!r} is {type(value).__name__}, not a tensor; "
                "save the network's state_dict() alone"
            )
    return dict(content)


def _read_safetensors(path: Path) -> Any:  # noqa: ANN401
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            whole_model = MODEL_KEY in (file.metadata() or {})
            content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # damaged bytes may raise anything
        raise WeightsError(f"{path} cannot be read as safetensors: {reason_of(error)}") from error
    if whole_model:
        raise WeightsError(
            f"{path} is a whole netwarp model, not a network's weights: give it to netwarp.load (--model)"
        )
    return content


def _read_torch(path: Path) -> Any:  # noqa: ANN401
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or reason_of(error)}") from error
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)|(?:function|class|instantiate) (\S+)", str(error))
        if wanted is None:
            raise WeightsError(
                f"{path} is damaged, or no checkpoint that can be read without running code: "
                "write it with torch.save(network.state_dict(), path)"
            ) from error
        raise WeightsError(
            f"{path} runs code when it is read ({wanted[1] or wanted[2]}), which is refused: "
            "save the network's state_dict() alone"
        ) from error
    except Exception as error:  # damaged bytes may raise anything
        raise WeightsError(f"{path} is no checkpoint, or is damaged ({reason_of(error)[:120]})") from error


def outputs_in(state: Mapping[str, Tensor], heads: Iterable[tuple[str, int]]) -> int | None:
    """The number of outputs that weights have."""
    for name, dimension in heads:
        for prefix in ("", *_PREFIXES):
            tensor = state.get(prefix + name)
            if tensor is not None and tensor.ndim > dimension:
                return tensor.shape[dimension]
    return None


def load_weights(
    network: nn.Module, state: Mapping[str, Tensor], origin: str | Path, spare: tuple[str, ...] = ()
) -> None:
    """Load weights that must fit exactly."""
    expected = network.state_dict()
    given = {k: v for k, v in unwrapped(state, expected).items() if not k.startswith(spare or ("\0",))}
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)
    _check_names(expected, given, origin)
    for name, tensor in given.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise WeightsError(f"{name} in {origin} is sparse, quantized or complex: save plain tensors")
    _check_shapes(expected, given, origin)
    # A float64 that overflows the network's own dtype is as bad as an infinity.
    check_finite({name: tensor.to(expected[name].dtype) for name, tensor in given.items()}, origin)
    network.load_state_dict(given, strict=True)


def unwrapped(state: Mapping[str, Tensor], expected: Iterable[str] = ()) -> State:
    """Weights without the prefixes that ``DataParallel`` and ``torch.compile`` put before every name."""
    names, own = dict(state), tuple(expected)
    for prefix in _PREFIXES * 2:  # in either order
        wrapped = bool(names) and all(name.startswith(prefix) for name in names)
        if wrapped and not any(name.startswith(prefix) for name in own):
            names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
    return names


def check_finite(state: Mapping[str, Tensor], origin: str | Path) -> None:
    """Raise :class:`WeightsError` if a tensor holds NaN or infinity, naming it."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            what = "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
            raise WeightsError(
                f"{name} in {origin} holds {what}: the training that wrote it diverged, or it is damaged"
            )


def _check_names(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], origin: str | Path) -> None:
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    complaints = []
    if missing:
        complaints.append(f"{len(missing)} of {len(expected)} keys are missing ({_few(missing)})")
    if unexpected:
        complaints.append(f"{len(unexpected)} are unexpected ({_few(unexpected)})")
    if complaints:
        raise WeightsError(f"{origin} is of another network: {', '.join(complaints)}")


def _check_shapes(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], origin: str | Path) -> None:
    differing = [
        f"{name} is {list(given[name].shape)} there and {list(tensor.shape)} here"
        for name, tensor in expected.items()
        if given[name].shape != tensor.shape
    ]
    if differing:
        raise WeightsError(f"{origin} is of another network: {len(differing)} shapes differ ({_few(differing)})")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def no_named_weights(weights: str | Path, spec: str) -> ConfigurationError:
    """The error for a name where only a file makes sense, for the caller to raise."""
    return ConfigurationError(f"{spec} has no weights named {str(weights)!r}: give a .pth, .pt or .safetensors file")
