"""Modules that ask before they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

__all__ = ["Answer", "Questions"]

Answer = Callable[[nn.Module, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Called with a module, its own forward, and positional and keyword arguments; returns what the module returns."""


class Questions:
    """In place of their ``forward``, modules call somebody; their hooks run as ever."""

    def __init__(self, modules: Sequence[nn.Module], answer: Answer) -> None:
        self._modules = modules
        # Most have none of their own but their class's.
        self._own = {module: vars(module)["forward"] for module in modules if "forward" in vars(module)}
        for module in modules:
            vars(module)["forward"] = _Question(module, answer)

    def remove(self) -> None:
        """Put everything back as it was."""
        for module in self._modules:
            if module in self._own:
                vars(module)["forward"] = self._own[module]
            else:
                vars(module).pop("forward", None)


class _Question:
    """Stands for a module's ``forward``."""

    def __init__(self, module: nn.Module, answer: Answer) -> None:
        self._module, self._answer = module, answer
        self.__wrapped__: Callable[..., Any] = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return self._answer(self._module, self.__wrapped__, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of the module runs its own forward.
        return getattr, (self._module, "forward")
