"""The settled beginning of a network's pass: recorded on one frame, played on a batch of frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from netwarp.model.replay.dataflow import Dataflow, tensors_in
from netwarp.model.replay.settled import Settled, version_of

__all__ = ["Call", "Diverged", "Player", "Recorder", "Recording", "Run", "Unfit"]


class Run(Protocol):
    """What modules of a network ask, while a pass of it is recorded or played, instead of running."""

    def call(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """What ``forward(*args, **kwargs)`` returns, or would."""


class Unfit(BaseException):
    """A module's output cannot be kept; what is in the module may do better."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Diverged(BaseException):
    """Played, the network took another way than when it was recorded."""


class _Enough(BaseException):
    """What follows depends on more than the frame."""


@dataclass(frozen=True)
class _Blank:
    """Stands for a tensor that nobody looks at."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def filled(self, batch: int) -> Tensor:
        """Of the same form; NaN, so that a mistake would not go unseen."""
        strides = (math.prod(self.shape[1:]), *self.stride[1:])
        blank = torch.empty_strided((batch, *self.shape[1:]), strides, dtype=self.dtype, device=self.device)
        return blank.fill_(math.nan if self.dtype.is_floating_point or self.dtype.is_complex else 0)


@dataclass(frozen=True, eq=False)
class Call:
    """A module's call: what it returned, as leaves of nested containers.

    Attributes:
        module: Which was called.
        leaves: Tensors ``[1,...]``, plain values, and blanks for tensors that nobody looks at.
        spec: The containers.
    """

    module: nn.Module
    leaves: tuple[Any, ...]
    spec: TreeSpec

    @property
    def form(self) -> tuple[Any, ...]:
        """What two calls must have in common to be put into one batch."""
        kinds = [(type(leaf), leaf.shape[1:], leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        return self.module, self.spec, kinds


@dataclass(frozen=True, eq=False)
class Recording:
    """The calls of settled modules in a pass over a frame, up to where something else comes in."""

    calls: tuple[Call, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        tensors = {id(leaf): leaf for call in self.calls for leaf in call.leaves if isinstance(leaf, Tensor)}
        return sum(tensor.nbytes for tensor in tensors.values())

    @property
    def form(self) -> list[tuple[Any, ...]]:
        """What two recordings must have in common to be played as one batch."""
        return [call.form for call in self.calls]


class Recorder:
    """Records a pass."""

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._flow = Dataflow(settled.constants(), self._end)
        self._calls: list[tuple[nn.Module, list[Any], TreeSpec]] = []
        self._numbers: list[list[int | None]] = []
        self._recording: Recording | None = None
        self._inside = False
        self._random: list[Tensor] = []

    def record(self, network: nn.Module, forward: Callable[..., Any], frame: Tensor) -> Recording:
        """Run a network on a frame ``[1,...]`` until something comes in that is not settled."""
        self._random = _random_state(frame.device)
        try:
            with self._flow:
                output = self.call(network, forward, (frame,), {})
            self._finish()
            del output  # was alive until here
        except _Enough:
            pass
        assert self._recording is not None
        return self._recording

    def call(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """See :class:`Run`."""
        if self._inside:
            return forward(*args, **kwargs)
        if module in self._settled.unsettled:
            self._end()
        if module in self._settled.replayable:
            with self._flow.paused():
                output = self._record(module, forward, args, kwargs)
        else:
            output = forward(*args, **kwargs)
        if module in self._settled.tapped:
            self._end()  # before the hooks
        return output

    def _record(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        given = tensors_in(args, kwargs)
        device = given[0].device if given else torch.device("cpu")
        if any(tensor.requires_grad for tensor in given) or self._drew(device):
            self._end()
        versions = [version_of(tensor) for tensor in given]
        self._inside = True
        output = forward(*args, **kwargs)
        self._inside = False
        leaves, spec = tree_flatten(output)
        made = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if (
            self._drew(device)
            or versions != [version_of(tensor) for tensor in given]
            or not made
            or not all(map(_is_keepable, leaves))
            or not _memory(made).isdisjoint(_memory(given))
            or len(_memory(made)) < len(set(map(id, made)))
        ):
            raise Unfit(module)
        if any(tensor.requires_grad for tensor in made):
            self._end()
        clones = {id(tensor): tensor.detach().clone() for tensor in made}
        self._calls.append((module, [clones.get(id(leaf), leaf) for leaf in leaves], spec))
        self._numbers.append([self._flow.result(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves])
        return output

    def _drew(self, device: torch.device) -> bool:
        """Whether anybody drew random numbers: what follows may depend on them."""
        return not all(map(torch.equal, self._random, _random_state(device)))

    def _end(self) -> None:
        self._finish()
        raise _Enough

    def _finish(self) -> None:
        if self._recording is not None:
            return  # the network took the first end for an error of its own
        alive = self._flow.alive()
        calls = []
        for (module, leaves, spec), numbers in zip(self._calls, self._numbers, strict=True):
            needed = {id(leaf) for leaf, number in zip(leaves, numbers, strict=True) if number in alive}
            kept = (_blank(leaf) if isinstance(leaf, Tensor) and id(leaf) not in needed else leaf for leaf in leaves)
            calls.append(Call(module, tuple(kept), spec))
        self._recording = Recording(tuple(calls))


class Player:
    """Plays recordings: one for each frame of a batch, all of one form."""

    def __init__(self, settled: Settled, recordings: Sequence[Recording]) -> None:
        self._settled = settled
        self._calls = list(zip(*(recording.calls for recording in recordings), strict=True))
        self._next = 0

    def play(self, network: nn.Module, forward: Callable[..., Any], frames: Tensor) -> Any:  # noqa: ANN401
        """What ``network(frames)`` returns."""
        output = self.call(network, forward, (frames,), {})
        if self._next < len(self._calls):
            raise Diverged
        return output

    def call(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """See :class:`Run`."""
        if self._next == len(self._calls) or module not in self._settled.replayable:
            return forward(*args, **kwargs)
        calls = self._calls[self._next]
        if calls[0].module is not module:
            raise Diverged
        self._next += 1
        joined: dict[int, Any] = {}  # one tensor may be returned in two places
        for leaves in zip(*(call.leaves for call in calls), strict=True):
            if id(leaves[0]) not in joined:
                joined[id(leaves[0])] = _join(leaves)
        return tree_unflatten([joined[id(leaf)] for leaf in calls[0].leaves], calls[0].spec)


def _join(leaves: tuple[Any, ...]) -> Any:  # noqa: ANN401
    first = leaves[0]
    if isinstance(first, _Blank):
        return first.filled(len(leaves))
    if isinstance(first, Tensor):
        # Always a copy: the network may go on to change it in place.
        return first.clone() if len(leaves) == 1 else torch.cat(leaves)
    return first


def _blank(tensor: Tensor) -> _Blank:
    return _Blank(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)


def _is_keepable(leaf: Any) -> bool:  # noqa: ANN401
    if isinstance(leaf, Tensor):
        return type(leaf) is Tensor and leaf.layout == torch.strided and leaf.ndim > 0 and leaf.shape[0] == 1
    return leaf is None or isinstance(leaf, (bool, int, float, str))


def _memory(tensors: Sequence[Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def _random_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states
