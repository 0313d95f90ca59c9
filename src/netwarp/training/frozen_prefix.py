"""A cache for the frozen beginning of a network, for training on few frames that come again as they are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

SAMPLE = 4096
"""About as many values of a module's input are compared with those that it had for the same frame before."""

IN_PLACE = "it changes its input, or returns a part of it"
"""The fault of a module that runs every time, while what follows it may be kept."""


@contextmanager
def frozen_prefix(
    base: nn.Module, budget: int = 4 << 30, when: Callable[[], bool] = lambda: True
) -> Iterator[FrozenPrefix]:
    """Run the frozen beginning of ``base`` once for each frame while in the block, and then return what it gave.

    The beginning ends where a module starts that is trained, or a module returns that has a hook (a NetWarp). It
    depends on the frame alone, so a step on one clip is bitwise the same with and without. In a batch of several,
    frames are computed one by one and may differ in the last bits. ``budget`` is in bytes of memory; ``when`` is asked
    at each pass, which runs whole else.
    """
    prefix = FrozenPrefix(base, budget, when)
    modules = list(base.modules())
    if any(isinstance(m, torch.jit.ScriptModule) or hasattr(m, "_orig_mod") or m._compiled_call_impl for m in modules):
        prefix.declined = "the network has compiled or scripted parts"
        modules = []
    patched = [vars(module).get("forward") for module in modules]  # as LoRA or a user put one there
    for module in modules:
        module.forward = partial(prefix.call, module, module.forward)
    try:
        yield prefix
    finally:
        for module, forward in zip(modules, patched, strict=True):
            del module.forward
            if forward is not None:
                module.forward = forward


class FrozenPrefix:
    """The cache of :func:`frozen_prefix`; ``declined`` says why the last pass was computed whole, or is None."""

    def __init__(self, base: nn.Module, budget: int, when: Callable[[], bool]) -> None:
        self.base, self.budget, self.nbytes, self._when = base, budget, 0, when
        self.declined: str | None = None
        self._kept: dict[tuple[Hashable, ...], Any] = {}
        self._faults: dict[Hashable, str | None] = {}  # of modules that were tried
        self._frames: list[bytes] | None = None  # those of a pass, as long as it is in the prefix
        self._thread = threading.get_ident()

    @property
    def frames(self) -> int:
        return len({frame for frame, *_ in self._kept})

    def call(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Stand for a module's ``forward``."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        if module is not self.base or kwargs or not _is_batch(args) or not self._when():
            return self._call(module, forward, args, kwargs)
        self.declined = "nothing of it is frozen before the first that is trained"
        self._frames = [_digest(frame) for frame in args[0]]
        try:
            return self._call(module, forward, args, kwargs)
        finally:
            self._frames = None

    def _call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        frames, self._frames = self._frames, None
        if frames is None:
            return forward(*args, **kwargs)
        if _is_recordable(module):
            output = self._remembered(module, forward, (args, kwargs), frames)
        elif any(p.requires_grad for p in module.parameters(False)) or _is_unsettled(module):
            return forward(*args, **kwargs)
        else:
            self._frames = frames
            output = forward(*args, **kwargs)
        if module._forward_hooks or module._forward_pre_hooks:
            self._frames = None
        return output

    def _remembered(self, module: nn.Module, forward: Callable[..., Any], call: Any, frames: list[bytes]) -> Any:  # noqa: ANN401
        """What a frozen module returns, from memory where it was called for the same frames before."""
        given = [leaf for leaf in tree_leaves(call) if isinstance(leaf, Tensor)]
        device = given[0].device.type if given else "cpu"
        cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        versions = (tensor._version for tensor in (*module.parameters(), *module.buffers()))
        modes = (m.training for m in module.modules())
        state = module, cast, *call[1], *(leaf.shape for leaf in given), *modes, *versions
        calls = [tree_map(partial(_of_frame, index=i, frames=len(frames)), call) for i in range(len(frames))]
        if state not in self._faults:
            self._faults[state] = _fault(module, forward, calls[0])
        fault = self._faults[state]
        if fault is None:
            found = [self._output(forward, each, (frame, state)) for frame, each in zip(frames, calls, strict=True)]
            self.declined = None
            # Copies, since a network may go on to change them in place.
            leaves = zip(*(leaves for leaves, _ in found), strict=True)
            output = tree_unflatten([torch.cat(of_frames) for of_frames in leaves], found[0][1])
        else:
            self.declined = self.declined and fault
            output = forward(*call[0], **call[1])
        self._frames = frames if fault in (None, IN_PLACE) else None
        return output

    def _output(self, forward: Callable[..., Any], call: Any, of: tuple[Hashable, ...]) -> Any:  # noqa: ANN401
        key = (*of, *(_sample(leaf) if isinstance(leaf, Tensor) else repr(leaf) for leaf in tree_leaves(call)))
        if key in self._kept:
            return self._kept[key]
        _, output = _run(forward, call)
        leaves, spec = tree_flatten(tree_map(torch.clone, output))
        nbytes = sum(leaf.nbytes for leaf in leaves)
        if self.nbytes + nbytes <= self.budget:
            self._kept[key] = leaves, spec
            self.nbytes += nbytes
        return leaves, spec


def _run(forward: Callable[..., Any], call: Any, copy: Callable[[Tensor], Tensor] = torch.clone) -> Any:  # noqa: ANN401
    """Call a module with copies of one frame's arguments: the copies, and what it returns."""
    args, kwargs = tree_map(lambda leaf: copy(leaf) if isinstance(leaf, Tensor) else leaf, call)
    return tree_leaves((args, kwargs)), forward(*args, **kwargs)


def _fault(module: nn.Module, forward: Callable[..., Any], call: Any) -> str | None:  # noqa: ANN401
    """Why a module's output cannot be kept, tried with one frame's arguments; None where it can.

    It must be the same again, whatever came before it and with other random numbers, and tensors of its own.
    """
    name = f"a {type(module).__name__}"
    held = [(buffer, buffer._version, buffer.clone()) for buffer in module.buffers()]
    devices = {leaf.device for leaf in tree_leaves(call) if isinstance(leaf, Tensor) and leaf.is_cuda}
    with torch.random.fork_rng(devices):
        try:
            taken, output = _run(forward, call)
            first = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, output)
            _run(forward, call, lambda tensor: tensor + 1)
            torch.manual_seed(torch.initial_seed() + 1)
            _, again = _run(forward, call)
        except Exception as error:
            return f"{name} fails on a frame by itself: {type(error).__name__}"
    if spoilt := [(buffer, value) for buffer, version, value in held if buffer._version != version]:
        for buffer, value in spoilt:
            buffer.copy_(value)
        return f"{name} changes its own buffers"
    returned = tree_leaves(output)
    if not all(isinstance(leaf, Tensor) and leaf.shape[:1] == (1,) and not leaf.requires_grad for leaf in returned):
        return f"{name} returns something else than tensors [1,…]"
    if not all(map(torch.equal, tree_leaves(first), tree_leaves(again))):
        return f"{name} does not give the same for the same frame"
    inputs = [leaf for leaf in taken if isinstance(leaf, Tensor)]
    places = {leaf.untyped_storage().data_ptr() for leaf in (*returned, *inputs)}
    own = len(places) == len(returned) + len(inputs) and not any(leaf._version for leaf in inputs)
    return None if own else IN_PLACE


def _of_frame(leaf: Any, index: int, frames: int) -> Any:  # noqa: ANN401
    """One frame's part of an argument of a batch."""
    return leaf[index : index + 1] if isinstance(leaf, Tensor) and leaf.shape[:1] == (frames,) else leaf


def _digest(values: Tensor) -> bytes:
    content = values.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data
    return hashlib.sha256(repr((values.shape, values.stride(), values.dtype)).encode() + content).digest()


def _sample(values: Tensor) -> bytes:
    step = max(1, int((values.numel() / SAMPLE) ** 0.5))
    return _digest(values[..., ::step, ::step] if values.ndim > 1 else values)


def _is_unsettled(module: nn.Module) -> bool:
    """Whether a module is random or has statistics in its present mode, or takes those of the batch."""
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return True
    if not module.training or next(module.children(), None) is not None:
        return False
    known = type(module).__module__.startswith("torch.nn.") and not isinstance(module, (_DropoutNd, nn.RReLU))
    return not known or next(module.buffers(), None) is not None


def _is_recordable(module: nn.Module) -> bool:
    """Whether its output depends on its input alone: nothing in it is trained, random or hooked (it may be itself)."""
    return not (
        module._forward_pre_hooks
        or any(parameter.requires_grad for parameter in module.parameters())
        or any(m._forward_hooks or m._forward_pre_hooks for m in module.modules() if m is not module)
        or any(map(_is_unsettled, module.modules()))
    )


def _is_batch(args: tuple[Any, ...]) -> bool:
    """Whether a call takes frames ``[B,C,H,W]`` alone, to which no gradient is due."""
    frames = args[0] if len(args) == 1 else None
    return (
        type(frames) is Tensor
        and frames.ndim == 4
        and len(frames) > 0
        and frames.is_floating_point()
        and not (frames.requires_grad or frames.is_inference() or torch.is_inference_mode_enabled())
        and not torch.compiler.is_compiling()
    )
