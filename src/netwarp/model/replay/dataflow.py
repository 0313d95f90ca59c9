"""Which results of a network's modules anybody may still look at, seen from outside while it runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from netwarp.model.replay.settled import version_of

__all__ = ["Dataflow", "tensors_in"]

# What a tensor is rather than what is in it. Properties are told by their name, "__get__".
_ABOUT = {
    *("__get__", "__len__", "dim", "element_size", "get_device", "is_complex", "is_contiguous", "is_floating_point"),
    *("ndimension", "nelement", "numel", "size", "storage_offset", "stride"),
}


def tensors_in(*trees: Any) -> list[Tensor]:  # noqa: ANN401
    """All tensors in nested containers."""
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, Tensor)]


class Dataflow(TorchFunctionMode):
    """Follows numbered results through what torch computes between modules.

    A result matters from now on if something made of it is alive, if numbers were read from what was made of it, or if
    something made of it was changed in place. Tensors of unknown origin count as made of all results so far.
    """

    def __init__(self, constants: Iterable[Tensor], trained: Callable[[], None]) -> None:
        super().__init__()
        self._known: dict[int, tuple[weakref.ref[Tensor], frozenset[int]]] = {}
        self._trained = trained
        self._read: frozenset[int] = frozenset()
        self._results = 0
        for tensor in constants:
            self._note(tensor, frozenset())

    def result(self, tensor: Tensor) -> int:
        """Take a tensor for a new result; returns its number."""
        self._note(tensor, frozenset({self._results}))
        self._results += 1
        return self._results - 1

    def alive(self) -> frozenset[int]:
        """Numbers of the results that matter from now on."""
        living = (sources for tensor, sources in self._known.values() if tensor() is not None)
        return self._read.union(*living)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While it lasts nothing is followed, and torch takes its fastest ways."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            self.__enter__()  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        given = tensors_in(args, kwargs)
        about = getattr(func, "__name__", "") in _ABOUT
        trained = any(tensor.requires_grad for tensor in given)
        if trained and not about:
            self._trained()
        versions = [version_of(tensor) for tensor in given]
        output = func(*args, **(kwargs or {}))
        leaves = tree_leaves(output)
        made = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if trained and made:
            self._trained()
        sources = frozenset[int]().union(*map(self._sources, given))
        numbers = not about and any(leaf is not None and not isinstance(leaf, Tensor) for leaf in leaves)
        if numbers or versions != [version_of(tensor) for tensor in given]:
            self._read |= sources
        for tensor in made:
            self._note(tensor, sources)
        return output

    def _sources(self, tensor: Tensor) -> frozenset[int]:
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else frozenset(range(self._results))

    def _note(self, tensor: Tensor, sources: frozenset[int]) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), sources)
