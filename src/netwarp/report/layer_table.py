"""The places in a network where a NetWarp can go, as a table that stays readable for a big network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netwarp.model.placement import OUTPUTS
from netwarp.model.probe import LayerInfo, Probe

__all__ = ["LIMIT", "layer_records", "layer_table", "worth_showing"]

LIMIT = 40
"""Most inner layers in the short list."""


def worth_showing(base: nn.Module, seen: Probe, limit: int = LIMIT) -> tuple[LayerInfo, ...]:
    """The layers that differ enough for a user to choose among.

    Those that run once a frame; of convolution, norm and activation in a row the last; of a block and the part that
    its output comes from, the block; and no deeper into the network than ``limit`` layers reach.

    Args:
        base: The network.
        seen: What it did with a frame.
        limit: Most layers to return, unless there are more on its outermost level.

    Returns:
        Layers in the order in which they run.
    """
    once = [info for info in seen.layers if info.calls == 1]
    leaves = {name for name, module in base.named_modules() if not any(True for _ in module.children())}
    shown = [info for info, after in zip(once, [*once[1:], None], strict=True) if not _goes_on(info, after, leaves)]
    depths = sorted({_depth(info) for info in shown})
    for depth in reversed(depths[1:]):
        if len(shown) <= limit:
            break
        shown = [info for info in shown if _depth(info) < depth]
    return tuple(shown)


def _goes_on(info: LayerInfo, after: LayerInfo | None, leaves: set[str]) -> bool:
    """Whether the layer that runs next says the same place better."""
    if after is None or (info.channels, info.size) != (after.channels, after.size):
        return False
    parent = info.name.rpartition(".")[0]
    return after.name == parent or (info.name in leaves and after.name.rpartition(".")[0] == parent)


def _depth(info: LayerInfo) -> int:
    return info.name.count(".")


def layer_records(layers: Sequence[LayerInfo], seen: Probe) -> list[dict[str, object]]:
    """Layers, and the two names for the network's result, as plain values.

    Args:
        layers: Those to list.
        seen: What the network did with a frame.

    Returns:
        Of each its name, kind, ``[C, h, w]``, stride (frame pixels per pixel, vertically and horizontally), how often
        it runs a frame, and whether it can hold a NetWarp.
    """
    records: list[dict[str, object]] = [
        {
            "name": info.name,
            "kind": info.kind,
            "shape": [info.channels, *info.size],
            "stride": [round(s, 4) for s in info.stride],
            "runs": info.calls,
            "usable": info.calls == 1,
        }
        for info in layers
    ]
    (h, w), (height, width) = seen.output, seen.frame
    for name, kind in zip(OUTPUTS, ("logits", "log-probabilities"), strict=True):
        stride = [round(height / h, 4), round(width / w, 4)]
        shape = [seen.classes, h, w]
        records.append({"name": name, "kind": kind, "shape": shape, "stride": stride, "runs": 1, "usable": True})
    return records


def layer_table(records: Sequence[dict[str, object]]) -> str:
    """Records of :func:`layer_records` as lines of text."""
    rows = [("layer", "kind", "C×h×w", "stride", "once a frame")]
    for record in records:
        rows.append(
            (
                str(record["name"]),
                str(record["kind"]),
                "×".join(str(n) for n in _numbers(record["shape"])),
                _stride(_numbers(record["stride"])),
                "yes" if record["usable"] else f"no, {record['runs']} times",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _numbers(value: object) -> Sequence[float]:
    assert isinstance(value, Sequence)
    return value


def _stride(stride: Sequence[float]) -> str:
    vertical, horizontal = (f"{s:.3g}" for s in stride)
    return vertical if vertical == horizontal else f"{vertical}×{horizontal}"
