"""What a model file may ask for when its network is built: nothing outside of it, and no more memory than it fills."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from netwarp.errors import ConfigurationError, WeightsError

_CODE = ("attn_implementation", "_attn_implementation", "auto_map", "quantization_config", "custom_pipelines")
_PLAIN = (None, "eager", "sdpa")
_NAMES = ("backbone", "encoder", "encoder_name", "architecture", "model_name", "_name_or_path", "name_or_path")

_SLACK = 1 << 24
_TIMES = 4
"""Elements that a network may make beside its weights while it is built: buffers, initial values."""

_SIZED = frozenset(
    getattr(torch, name) for name in ("empty", "zeros", "ones", "rand", "randn", "full", "arange", "linspace", "eye")
)


def check_self_contained(source: Any, path: str | Path) -> None:  # noqa: ANN401
    """Refuse the description of a network that makes its library ask a hub, or read files, by a name in it."""
    for key, value in _entries(source):
        smp = key == "spec" and str(value).startswith("smp:")
        text = str(value).partition("/")[2] if smp else value
        # A name of timm's is an architecture; with a slash or colon it is a place.
        place = isinstance(text, str) and (set(text) & set("/:\\~") or text.startswith("."))
        if (key in _CODE and value not in _PLAIN) or ((key in _NAMES or smp) and place):
            raise ConfigurationError(
                f"the network in {path} names something outside of the file ({key}: {str(value)[:80]!r}): "
                "give {option}, or load it with trust=True",
                option="base",
            )


def _entries(values: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield str(key), value
            yield from _entries(value)
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _entries(value)


class SizeLimit(TorchFunctionMode):
    """Within it torch makes no more than so many times the elements that a file holds."""

    def __init__(self, held: int, path: str | Path) -> None:
        super().__init__()
        self._left, self._path = _TIMES * held + _SLACK, path

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func in _SIZED:
            self._left -= _elements(func, args, kwargs or {})
            if self._left < 0:
                raise WeightsError(f"the configuration in {self._path} is damaged: it describes a larger network")
        return func(*args, **(kwargs or {}))


def _elements(func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> int:  # noqa: ANN401
    """How many elements a call that makes a tensor asks for."""
    if func in (torch.arange, torch.linspace):
        return max((abs(int(a)) for a in args if isinstance(a, (int, float)) and math.isfinite(a)), default=0)
    if func is torch.full:
        args = args[:1]
    size = options.get("size", args)
    sides = [side for part in size for side in (part if isinstance(part, (tuple, list)) else [part])]
    return math.prod(side for side in sides if isinstance(side, int))
