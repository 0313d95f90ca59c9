"""Networks of which only the names and shapes are wanted: built without drawing their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["drafted"]

_DRAWS = {"normal_", "uniform_", "kaiming_uniform_"}


class _Undrawn(TorchFunctionMode):
    """Leaves what would be filled with random numbers as it was allocated."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def drafted(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network that is not to be run.

    A VGG takes a few milliseconds so, and next to no memory: pages that nobody writes to are never taken. The meta
    device would do too, but the first normal distribution on it imports torch's compiler, for five seconds.

    Args:
        build: Makes the network.

    Returns:
        It, with any values in its weights.
    """
    with _Undrawn():
        return build()
