"""Output of a network, brought to the frame's size, and its layers' representations, which hooks read and replace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.model.task import Task
from netwarp.ops import Grid, sample


def representation_of(output: Any) -> Tensor | None:  # noqa: ANN401
    """Find the feature map in what a layer returns; None if it returns something else."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point():
        return output
    return None


def with_representation(output: Any, representation: Tensor) -> Any:  # noqa: ANN401
    """Replace the feature map that :func:`representation_of` finds in an output."""
    if isinstance(output, list):
        return [representation, *output[1:]]
    if isinstance(output, tuple):
        rest = (representation, *output[1:])
        return type(output)(*rest) if hasattr(output, "_fields") else rest
    return representation


def output_grid(base: nn.Module) -> Grid | None:
    """``base.output_grid``: the pixel of the network's input whose label place i of its output is; None for cells'.

    Place i of other networks' outputs is the middle of a cell.
    """
    grid = getattr(base, "output_grid", None)
    if grid is not None and not (isinstance(grid, Grid) and min(grid.stride) > 0):
        raise ConfigurationError(f"the base's output_grid must be a netwarp.ops.Grid of positive strides, not {grid!r}")
    return grid


def margin_of(base: nn.Module, layer: str) -> int:
    """How far the map of a layer reaches beyond the network's input, on each side, in pixels of the input.

    Networks that reflect their input outward and then do without padding (Yu and Koltun's) say it in ``margins``, a
    dict by the names of layers, on the network or on a module that the layer is in. Others' maps cover the input alone.
    """
    module: nn.Module | None = base
    inside = layer
    while module is not None and inside:
        margins = getattr(module, "margins", None)
        margin = margins.get(inside, 0) if isinstance(margins, dict) else 0
        if isinstance(margin, int) and margin > 0:
            return margin
        part, _, inside = inside.partition(".")
        module = dict(module.named_children()).get(part)
    return 0


def to_frame_size(
    logits: Tensor,
    resized: tuple[int, int],
    padded: tuple[int, int],
    frame: tuple[int, int],
    grid: Grid | None = None,
    task: Task | None = None,
) -> Tensor:
    """Bring logits from the network's output size to the frame's: back through padding and resizing.

    Where the output has a grid, its probabilities are interpolated, as Yu and Koltun's release does it, and the result
    are log-probabilities: logits of the same probabilities. So are those of a network that returns probabilities.
    """
    task = task or Task(logits.shape[1])
    as_shares = grid is not None or (task.squashed and tuple(logits.shape[-2:]) != frame)
    maps = task.probabilities(logits) if as_shares else logits
    maps = _scaled(maps, padded) if grid is None else sample(maps, Grid().among(grid), padded)
    if padded != resized:
        maps = maps[..., : resized[0], : resized[1]]
    maps = _scaled(maps, frame)
    return task.logits(maps).to(logits.dtype) if as_shares else maps


def contenders(logits: Tensor) -> Tensor:
    """Classes of ``[B,C,h,w]`` that can be the largest somewhere between its places, ascending.

    What is interpolated lies between its neighbours' values: a class whose highest value around is nowhere as high as
    the lowest around of another class cannot win.
    """
    around = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
    maps = torch.split(logits, 1, 1)  # one class at a time: there may be many
    certain = -around(-maps[0])
    for other in maps[1:]:
        torch.maximum(certain, -around(-other), out=certain)
    certain -= 1e-5 * logits.max(1).values.abs().max()  # for rounding on the way
    can = [bool((around(each) >= certain).any()) for each in maps]
    return torch.tensor(can, device=logits.device).nonzero().flatten()


def _scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps of cells at another size."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


Visitor = Callable[[str, Tensor], Tensor | None]
"""Called with a layer's name and representation; returns what the network goes on with, or None for the same."""


@dataclass(frozen=True)
class _Pass:
    """A pass inside :meth:`Hooks.intercept`."""

    hooks: Hooks
    visitor: Visitor
    checkpoints: int | None  # that were running when it began; None where nothing is trained


_intercepted: ContextVar[_Pass | None] = ContextVar("network_pass", default=None)


class StopPass(BaseException):
    """Ends a pass from within a visitor: the rest of the network need not run.

    Not an ``Exception``, so that a network that catches those does not catch it.
    """


def check_layers(base: nn.Module, names: Sequence[str]) -> None:
    """Refuse names of layers that are unknown or given twice, and all of a network that shows none."""
    hidden = getattr(base, "layers_hidden", None)
    if names and isinstance(hidden, str):
        raise ConfigurationError(f"layer {names[0]!r} cannot hold a NetWarp, as {hidden}: take 'output' or 'log_probs'")
    known = [name for name, _ in base.named_modules() if name]
    for name in names:
        if name not in known:
            raise unknown_name("layer", name, known)
        if list(names).count(name) > 1:
            raise ConfigurationError(f"layer {name!r} is named twice: name each layer once")


class Hooks:
    """Hooks on some layers of a network."""

    def __init__(self, base: nn.Module, names: Sequence[str]) -> None:
        check_layers(base, names)
        self._handles = [base.get_submodule(n).register_forward_hook(partial(self._on_forward, n)) for n in names]

    @contextmanager
    def intercept(self, visitor: Visitor) -> Iterator[None]:
        """Call ``visitor`` for each layer that runs in the block; a :class:`StopPass` that it raises ends the block."""
        token = _intercepted.set(_Pass(self, visitor, _checkpoints_running() if torch.is_grad_enabled() else None))
        try:
            yield
        except StopPass:
            pass
        finally:
            _intercepted.reset(token)

    def remove(self) -> None:
        """Take the hooks off; the network is as it was before."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _on_forward(self, name: str, module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ANN401
        current = _intercepted.get()
        if current is None or current.hooks is not self:
            return None
        if current.checkpoints is not None and _checkpoints_running() > current.checkpoints:
            raise ConfigurationError(
                f"layer {name!r} runs inside gradient checkpointing, which runs it again without its NetWarp: "
                "turn checkpointing off, checkpoint the whole VideoModel, or take torch.no_grad() if nothing is trained"
            )
        representation = representation_of(output)
        if representation is None:
            raise ConfigurationError(
                f"layer {name!r} returns {type(output).__name__}, not a feature map [B,C,h,w]: "
                "choose another layer ('netwarp layers' lists those that work)"
            )
        exchanged = current.visitor(name, representation)
        return None if exchanged is None else with_representation(output, exchanged)


def _checkpoints_running() -> int:
    """How many frames of ``torch.utils.checkpoint`` the caller is under.

    What those run is run again in the backward pass, when the pass is long over. Torch has no public way to ask.
    """
    count, frame = 0, sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        count += frame.f_globals.get("__name__") == "torch.utils.checkpoint"
    return count
