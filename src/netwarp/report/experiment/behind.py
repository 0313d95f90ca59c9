"""Which modules of a network run behind one of its layers: its decoder, whatever it is called."""

from __future__ import annotations

import torch
from torch import nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.model.carried import preprocess_of
from netwarp.model.probe import base_device, base_dtype, evaluating, probe

__all__ = ["modules_behind", "trained_modules"]

AFTER = "after "


def modules_behind(base: nn.Module, layer: str) -> tuple[str, ...]:
    """The modules that begin when a layer is done, and have parameters.

    Args:
        base: The network.
        layer: Name of one of its modules.

    Returns:
        Names of modules that run behind ``layer`` with all that is in them, the outermost of each, in the order in
        which they begin. What also runs before, or within, is not among them.

    Raises:
        ConfigurationError: There is no such module, it does not run once a frame, or nothing runs behind it.
    """
    modules = dict(base.named_modules())
    if layer not in modules or not layer:
        raise unknown_name("layer", layer, [name for name in modules if name])
    begun: list[str] = []  # in order; those before the layer's end too
    ends: list[int] = []  # how many had begun when the layer ended
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: begun.append(name)) for name, module in modules.items()
    ]
    handles.append(modules[layer].register_forward_hook(lambda *_: ends.append(len(begun))))
    preprocess = preprocess_of(base)
    frame = torch.zeros(1, 3, *probe(base, preprocess).frame, device=base_device(base))
    begun.clear()
    ends.clear()
    try:
        with evaluating(base), torch.no_grad(), torch.random.fork_rng(devices=[]):
            base(preprocess(frame).to(base_dtype(base)))
    finally:
        for handle in handles:
            handle.remove()
    if len(ends) != 1:
        raise ConfigurationError(f"layer {layer!r} runs {len(ends)} times a frame: choose one that runs once")
    before, after = set(begun[: ends[0]]), list(dict.fromkeys(begun[ends[0] :]))
    wholly = [name for name in after if name not in before and any(True for _ in modules[name].parameters())]
    outermost = tuple(name for name in wholly if not any(name.startswith(f"{other}.") for other in wholly))
    if not outermost:
        raise ConfigurationError(f"nothing that can be trained runs behind layer {layer!r}: choose an earlier one")
    return outermost


def trained_modules(base: nn.Module, trained: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that :attr:`netwarp.report.experiment.rows.Row.trained` names.

    Args:
        base: The network.
        trained: Names of its modules, and ``"after LAYER"``.

    Returns:
        Names of modules.

    Raises:
        ConfigurationError: As :func:`modules_behind`.
    """
    names: list[str] = []
    for entry in trained:
        names += modules_behind(base, entry.removeprefix(AFTER)) if entry.startswith(AFTER) else [entry]
    return tuple(dict.fromkeys(names))
