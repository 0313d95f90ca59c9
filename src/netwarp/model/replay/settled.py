"""Which modules of a network return the same whenever they see the same frame."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from netwarp.model.outputs import Hooks

__all__ = ["Settled", "Watch", "condition_of", "digest", "is_opaque", "version_of"]


def condition_of(modules: Sequence[nn.Module]) -> tuple[object, ...]:
    """All that :class:`Settled` depends on: modes, hooks, and what is trained."""
    return tuple(
        (
            module.training,
            tuple(module._forward_hooks),
            tuple(module._forward_pre_hooks),
            tuple(p.requires_grad for p in module._parameters.values() if p is not None),
        )
        for module in modules
    )


def is_opaque(module: nn.Module) -> bool:
    """Whether a module is compiled or scripted: nobody can step in there."""
    compiled = type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None
    return compiled or isinstance(module, torch.jit.ScriptModule)


def version_of(tensor: Tensor) -> int:
    """Counts how often a tensor was changed in place, or one that shares its memory."""
    return 0 if tensor.is_inference() else tensor._version


def digest(tensor: Tensor) -> bytes:
    """Of a tensor's content."""
    return hashlib.sha256(tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data).digest()


class Watch:
    """Notices when tensors change (but for writing through ``.data``); looks only at those that were written to."""

    def __init__(self) -> None:
        self._seen: list[tuple[tuple[int, int] | None, bytes]] = []

    def look_anew(self) -> None:
        """Look at all tensors next time: batch norms that are trained write their statistics without a sign."""
        self._seen = [(None, content) for _, content in self._seen]

    def changed(self, tensors: Sequence[Tensor]) -> bool:
        """Whether their contents are others than at the last call."""
        marks = [(tensor.data_ptr(), version_of(tensor)) for tensor in tensors]
        if marks == [mark for mark, _ in self._seen]:
            return False
        seen, before = self._seen, [content for _, content in self._seen]
        self._seen = [
            (mark, seen[i][1] if i < len(seen) and seen[i][0] == mark else digest(tensor))
            for i, (mark, tensor) in enumerate(zip(marks, tensors, strict=True))
        ]
        return before != [content for _, content in self._seen]


class Settled:
    """Modules sorted by what their output depends on, under one condition (:func:`condition_of`).

    Attributes:
        replayable: Their output depends on the frame alone if their input does: nothing in them is trained, changes its
            statistics, looks at other samples of a batch, or is tapped (they themselves may be).
        unsettled: What they return depends on more than the frame, or they change when they run.
        tapped: What they return may be exchanged (:class:`netwarp.model.outputs.Hooks`).
        watched: Somebody else has hooks on them, who might be surprised by a pass more.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self.unsettled = {module for module in modules if _is_unsettled(module)}
        self.tapped = {module for module in modules if any(map(_is_tap, module._forward_hooks.values()))}
        self.watched = {module for module in modules if any(map(_is_foreign, _hooks(module)))}
        captured = {module for module in modules if any(map(_is_capture, _hooks(module)))}
        self.replayable: set[nn.Module] = set()
        for module in modules:
            inside = set(module.modules())
            trained = any(parameter.requires_grad for parameter in module.parameters())
            hidden = (inside - {module}) & (self.tapped | (set() if _gathers(module) else captured))
            if not (trained or hidden or inside & self.unsettled):
                self.replayable.add(module)

    def weights(self) -> list[Tensor]:
        """What the output of replayable modules may depend on besides their input."""
        return [
            tensor
            for module in self._modules
            if module not in self.unsettled and not (_is_leaf(module) and _is_trained(module))
            for tensor in (*module._parameters.values(), *module._buffers.values())
            if tensor is not None and not tensor.requires_grad
        ]

    def constants(self) -> Iterator[Tensor]:
        """Parameters and buffers."""
        for module in self._modules:
            yield from module.parameters(recurse=False)
            yield from module.buffers(recurse=False)


def _is_unsettled(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return True  # takes the statistics of the batch, in evaluation mode too
    return module.training and _is_leaf(module) and any(True for _ in module.buffers(recurse=False))


def _is_leaf(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _hooks(module: nn.Module) -> list[object]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def _is_tap(hook: object) -> bool:
    return isinstance(getattr(getattr(hook, "func", None), "__self__", None), Hooks)


def _is_capture(hook: object) -> bool:
    """Hooks of transformers' own, with which a model gathers its layers' outputs during its forward."""
    return str(getattr(hook, "__module__", "")).startswith("transformers.")


def _is_foreign(hook: object) -> bool:
    return not (_is_tap(hook) or _is_capture(hook))


def _gathers(module: nn.Module) -> bool:
    return any(base.__name__ == "PreTrainedModel" for base in type(module).__mro__)
