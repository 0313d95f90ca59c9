"""A cache for the frozen beginning of a network, for training on few frames that come again as they are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

ROUNDING = 1e-3
"""Difference that rounding alone makes, relative to the largest value."""

OTHER_SEED = 982_451_653

Calls = list[tuple[nn.Module, Any]]
"""The modules of the prefix in the order in which they run, and what each returned for a frame."""


@contextmanager
def frozen_prefix(base: nn.Module, budget: int = 4 << 30) -> Iterator[FrozenPrefix]:
    """Run the frozen beginning of ``base`` once for each frame while in the block, and then return what it gave.

    The beginning ends where a module starts that is trained, or a module returns that has a hook (a NetWarp). It
    depends on the frame alone, so a step on one clip is bitwise the same with and without. In a batch of several,
    frames are computed one by one and may differ in the last bits. ``budget`` is in bytes of memory.
    """
    prefix = FrozenPrefix(base, budget)
    modules = list(base.modules())
    if any(isinstance(m, torch.jit.ScriptModule) or hasattr(m, "_orig_mod") or m._compiled_call_impl for m in modules):
        prefix.declined = "the network has compiled or scripted parts"
        modules = []
    for module in modules:
        module.forward = partial(prefix.call, module, module.forward)
    try:
        yield prefix
    finally:
        for module in modules:
            del module.forward


@dataclass(eq=False)
class _Cache:
    """What was recorded in one state of the network (what is trained, hooked, in training mode)."""

    recordable: set[nn.Module]
    versions: list[int] = field(default_factory=list)
    kept: dict[Hashable, Calls] = field(default_factory=dict)
    declined: str | None = None
    checked: bool = False


class _Declined(BaseException):
    """The network cannot be cached; the text says why. No Exception, which a network might catch."""


class _PrefixEnds(BaseException):
    """What follows depends on more than the frame."""


class FrozenPrefix:
    """The cache of :func:`frozen_prefix`; ``declined`` says why the last pass was computed whole, or is None."""

    def __init__(self, base: nn.Module, budget: int) -> None:
        self.base, self.budget, self.nbytes = base, budget, 0
        self.declined: str | None = None
        self._caches: dict[Hashable, _Cache] = {}
        self._run: _Run | None = None
        self._thread = threading.get_ident()

    @property
    def frames(self) -> int:
        """How many frames are kept."""
        return sum(len(cache.kept) for cache in self._caches.values())

    def call(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Stand for a module's ``forward``."""
        if self._run is not None and threading.get_ident() == self._thread:
            return self._run.call(module, partial(forward, *args, **kwargs))
        if module is self.base and threading.get_ident() == self._thread and not kwargs and _is_batch(args):
            return self._pass(forward, args[0])
        return forward(*args, **kwargs)

    def _pass(self, forward: Callable[..., Any], frames: Tensor) -> Any:  # noqa: ANN401
        cache = self._cache()
        try:
            if cache.declined is not None:
                raise _Declined(cache.declined)
            calls = [self._calls(cache, forward, frame[None]) for frame in frames]
            if not cache.checked:
                self._check(cache, calls[0], forward, frames[:1])
            self.declined = None
            return self._under(_Player(calls), forward, frames)
        except _Declined as why:
            cache.declined = self.declined = str(why)
            self._forget(cache)
            return forward(frames)

    def _cache(self) -> _Cache:
        modules = list(self.base.modules())
        hooks = tuple((*m._forward_hooks, None, *m._forward_pre_hooks) for m in modules)
        state = hooks, *(m.training for m in modules), *(p.requires_grad for p in self.base.parameters())
        if state not in self._caches:
            self._caches[state] = _Cache({module for module in modules if _is_recordable(module)})
        cache = self._caches[state]
        versions = [t._version for m in modules if m in cache.recordable for t in (*m.parameters(), *m.buffers())]
        if versions != cache.versions:  # other weights were loaded
            self._forget(cache)
            cache.versions = versions
        return cache

    def _forget(self, cache: _Cache) -> None:
        self.nbytes -= sum(map(_nbytes, cache.kept.values()))
        cache.kept.clear()

    def _calls(self, cache: _Cache, forward: Callable[..., Any], frame: Tensor) -> Calls:
        device = frame.device.type
        cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        content = frame.contiguous().cpu().flatten().view(torch.uint8).numpy().data
        key = hashlib.sha256(content).digest(), frame.shape, frame.stride(), frame.dtype, cast
        if key not in cache.kept:
            calls = self._record(cache, forward, frame)
            if self.nbytes + _nbytes(calls) > self.budget:
                return calls
            cache.kept[key] = calls
            self.nbytes += _nbytes(calls)
        return cache.kept[key]

    def _record(self, cache: _Cache, forward: Callable[..., Any], frame: Tensor, *, seed: int | None = None) -> Calls:
        """Run the prefix on a frame ``[1,C,H,W]`` by itself."""
        recorder = _Recorder(cache.recordable)
        try:
            self._alone(cache, recorder, forward, frame, seed)
        except _PrefixEnds:
            pass
        except Exception as error:
            raise _Declined(f"it fails on a frame by itself: {type(error).__name__}") from error
        if not recorder.calls:
            raise _Declined("nothing of it is frozen before the first that is trained")
        return recorder.calls

    def _alone(
        self, cache: _Cache, run: _Run, forward: Callable[..., Any], frame: Tensor, seed: int | None = None
    ) -> Any:  # noqa: ANN401
        """Run the network without a model's hooks, and leave no trace in buffers or random numbers."""
        modules = list(self.base.modules())
        held = [(m, name, buffer) for m in modules for name, buffer in m._buffers.items() if buffer is not None]
        for module, name, buffer in held:
            module._buffers[name] = buffer.clone()
        try:
            # A checkpointed pass around this one shall not count what is saved here.
            apart = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
            with apart, torch.random.fork_rng([frame.device] if frame.is_cuda else []), torch.enable_grad():
                if seed is not None:
                    torch.manual_seed(seed)
                return Context().run(self._under, run, forward, frame.clone())
        finally:
            spoilt = [m for m, name, b in held if m in cache.recordable and not torch.equal(m.get_buffer(name), b)]
            for module, name, buffer in held:
                module._buffers[name] = buffer
            if spoilt:
                raise _Declined(f"a frozen {type(spoilt[0]).__name__} changes its own buffers")

    def _check(self, cache: _Cache, calls: Calls, forward: Callable[..., Any], frame: Tensor) -> None:
        """See that a frame gives the same again: whatever came before it, with other random numbers, and played."""
        self._record(cache, forward, frame + torch.ones_like(frame))
        again = self._record(cache, forward, frame, seed=OTHER_SEED)
        whole = self._alone(cache, _Run(), forward, frame)
        played = self._alone(cache, _Player([calls]), forward, frame)
        for ours, theirs in ((_outputs(calls), _outputs(again)), (tree_leaves(played), tree_leaves(whole))):
            if len(ours) != len(theirs) or not all(map(_alike, ours, theirs)):
                raise _Declined("the network does not give the same for the same frame")
        cache.checked = True

    def _under(self, run: _Run, forward: Callable[..., Any], frames: Tensor) -> Any:  # noqa: ANN401
        self._run = run
        try:
            return run.call(self.base, partial(forward, frames))
        finally:
            self._run = None


class _Run:
    """A pass in which every module runs."""

    def call(self, module: nn.Module, forward: Callable[[], Any]) -> Any:  # noqa: ANN401
        """What a module returns, or returned."""
        return forward()


class _Recorder(_Run):
    """A pass that records the outermost frozen modules of the prefix, and ends with it."""

    def __init__(self, recordable: set[nn.Module]) -> None:
        self.calls: Calls = []
        self._recordable = recordable
        self._inside = False

    def call(self, module: nn.Module, forward: Callable[[], Any]) -> Any:  # noqa: ANN401
        if self._inside:
            return forward()
        recordable = module in self._recordable
        if not recordable and (any(p.requires_grad for p in module.parameters(False)) or _is_unsettled(module)):
            raise _PrefixEnds
        self._inside = recordable
        output = forward()
        self._inside = False
        if recordable:
            kept = tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, output)
            if any(not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != 1 for leaf in tree_leaves(kept)):
                raise _Declined(f"a {type(module).__name__} returns something else than tensors [1,…]")
            self.calls.append((module, kept))
        if module._forward_hooks or module._forward_pre_hooks:
            raise _PrefixEnds
        return output


class _Player(_Run):
    """A pass in which the modules of the prefix return what was recorded for each frame of the batch."""

    def __init__(self, frames: list[Calls]) -> None:
        self._modules = [module for module, _ in frames[0]]
        self._outputs = [[output for _, output in calls] for calls in frames]
        self._place = 0
        if any([module for module, _ in calls] != self._modules for calls in frames[1:]):
            raise _Declined("the network takes another way on another frame")

    def call(self, module: nn.Module, forward: Callable[[], Any]) -> Any:  # noqa: ANN401
        if self._place == len(self._modules) or module not in self._modules:
            return forward()
        if module is not self._modules[self._place]:
            raise _Declined("the network takes another way on a frame that it has seen")
        each = [tree_flatten(outputs[self._place]) for outputs in self._outputs]
        self._place += 1
        # Copies, since a network may go on to change them in place.
        leaves = zip(*(leaves for leaves, _ in each), strict=True)
        return tree_unflatten([torch.cat(of_frames) for of_frames in leaves], each[0][1])


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


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, 0.0, ROUNDING * float(other.detach().abs().max()))


def _outputs(calls: Calls) -> list[Tensor]:
    return tree_leaves([output for _, output in calls])


def _nbytes(calls: Calls) -> int:
    return sum(output.nbytes for output in _outputs(calls))
