"""Scores for a terminal and as JSON: whatever was measured, and no column for what was not."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from netwarp.evaluation.layer_alignment import IMAGE, Alignment
from netwarp.evaluation.scores import Figure, Scores, figures
from netwarp.model.layers import OUTPUTS, LayerInfo, Probe

if TYPE_CHECKING:
    from netwarp.datasets.clips import Samples
    from netwarp.training import TrainResult
    from netwarp.training.settings import TrainSettings

LIMIT = 40
"""Most inner layers in the short list."""


def worth_showing(base: nn.Module, seen: Probe) -> tuple[LayerInfo, ...]:
    """The layers that differ enough for a user to choose among.

    Those that run once a frame; of a convolution and the norm and activation that follow it the last; of a block and
    the part that its output comes from, the block; no dropout, which hands on what it gets; and no deeper into the
    network than :data:`LIMIT` layers reach.
    """
    modules = dict(base.named_modules())
    once = [
        info
        for info in seen.layers
        if info.usable and not isinstance(modules[info.name], nn.modules.dropout._DropoutNd)
    ]
    leaves = {name: module for name, module in modules.items() if not any(True for _ in module.children())}
    shown = [info for info, after in zip(once, [*once[1:], None], strict=False) if not _goes_on(info, after, leaves)]
    depths = sorted({_depth(info) for info in shown})
    for depth in reversed(depths[1:]):
        if len(shown) <= LIMIT:
            break
        shown = [info for info in shown if _depth(info) < depth]
    return tuple(shown)


def _goes_on(info: LayerInfo, after: LayerInfo | None, leaves: Mapping[str, nn.Module]) -> bool:
    """Whether the layer that runs next says the same place better."""
    if after is None or (info.channels, info.size) != (after.channels, after.size):
        return False
    parent = info.name.rpartition(".")[0]
    if after.name == parent:
        return True
    another = isinstance(leaves.get(after.name), nn.modules.conv._ConvNd)
    return info.name in leaves and after.name.rpartition(".")[0] == parent and not another


def _depth(info: LayerInfo) -> int:
    return info.name.count(".")


def layer_records(layers: Sequence[LayerInfo], seen: Probe) -> list[dict[str, Any]]:
    """Layers, and the two names for the network's result, as plain values."""
    kinds = zip(OUTPUTS, ("logits", "log-probabilities"), strict=True)
    outputs = [replace(seen.output, name=name, kind=kind) for name, kind in kinds]
    return [
        {
            "name": info.name,
            "kind": info.kind,
            "shape": [info.channels, *info.size],
            "stride": [round(stride, 4) for stride in info.stride],
            "offset": None if info.grid is None else list(info.grid.offset),
            "runs": info.calls,
            "usable": info.usable,
            "fault": info.fault or (f"runs {info.calls} times a frame" if info.calls > 1 else None),
        }
        for info in (*layers, *outputs)
    ]


def add_alignment(
    records: Sequence[dict[str, Any]], found: Sequence[Alignment], frame: tuple[int, int]
) -> list[dict[str, Any]]:
    """Records with what was measured on a video, and one for the picture itself before them."""
    measured = {each.name: each for each in found if not math.isnan(each.warped)}
    whole = {"name": IMAGE, "kind": "frame", "shape": [3, *frame], "stride": [1.0, 1.0], "offset": [0.0, 0.0]}
    picture = {**whole, "runs": 0, "usable": False, "fault": None}
    return [
        {**record, **{name: getattr(measured.get(record["name"]), name, None) for name in ("unwarped", "warped")}}
        for record in (picture, *records)
    ]


def layer_table(records: Sequence[dict[str, Any]]) -> str:
    """Records of :func:`layer_records`, perhaps with :func:`add_alignment`, as lines of text."""
    measures = [name for name in ("unwarped", "warped") if any(name in record for record in records)]
    rows = [["layer", "kind", "C×h×w", "stride", "offset", "usable", *measures]]
    rows += [
        [
            record["name"],
            record["kind"],
            "×".join(map(str, record["shape"])),
            _two(record["stride"]),
            "–" if record["offset"] is None else _two(record["offset"]),
            "yes" if record["usable"] else f"no: {record['fault']}" if record["fault"] else "–",
            *(_number(record[name], 2) for name in measures),
        ]
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _two(numbers: Sequence[float]) -> str:
    vertical, horizontal = (f"{s:.3g}" for s in numbers)
    return vertical if vertical == horizontal else f"{vertical}×{horizontal}"


def score_table(rows: Mapping[str, Scores]) -> str:
    """A line for each row, a column for each figure that applies to one of them."""
    first, *others = [
        (head, values, figure.digits)
        for head, values, figure in _columns(rows)
        if isinstance(values[0], float) and not all(value == figure.usual for value in values)
    ]
    shown = [first, *(column for column in others if any(map(math.isfinite, column[1])))]
    lines = [["", *(head for head, _, _ in shown)]]
    lines += [[name, *(_number(values[i], digits) for _, values, digits in shown)] for i, name in enumerate(rows)]
    return aligned(lines)


def _columns(rows: Mapping[str, Scores]) -> Iterator[tuple[str, list[Any], Figure]]:
    """Each figure under its heading, with its value in each row; one for each width or length, where it has several."""
    for key, figure in figures(next(iter(rows.values()))).items():
        values = [scores[key] for scores in rows.values()]
        if isinstance(values[0], dict):
            yield from ((figure.head.format(each), [value[each] for value in values], figure) for each in values[0])
        else:
            yield figure.head, values, figure


def class_table(rows: Mapping[str, Scores], classes: Sequence[str]) -> str:
    """A line for each class, a column for each figure that applies to one; of several rows a table for each figure."""
    columns: list[tuple[str, str, Sequence[float], int]] = []
    for head, parts, figure in _columns(rows):
        by_class = {name: values for name, values in zip(rows, parts, strict=True) if isinstance(values, tuple)}
        if not columns or any(math.isfinite(value) for values in by_class.values() for value in values):
            columns += [(head, name, values, figure.digits) for name, values in by_class.items()]
    if len(rows) == 1:
        return _by_class("class", [(head, values, digits) for head, _, values, digits in columns], classes)
    heads = dict.fromkeys(head for head, *_ in columns)
    return "\n\n".join(_by_class(head, [column for of, *column in columns if of == head], classes) for head in heads)


def _by_class(corner: str, columns: Sequence[Sequence[Any]], classes: Sequence[str]) -> str:
    """Columns of a heading, a value for each class, and digits."""
    lines = [[corner, *(head for head, _, _ in columns)]]
    lines += [[name, *(_number(values[i], digits) for _, values, digits in columns)] for i, name in enumerate(classes)]
    return aligned(lines)


def score_record(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """Scores as plain values, in percent, rounded to what can be told apart; None where a metric does not apply."""
    return {key: _plain(value, classes) for key, value in scores.items() if key != "resampled"}


def _plain(value: Any, classes: Sequence[str]) -> Any:  # noqa: ANN401
    if isinstance(value, tuple):
        return {name: _plain(each, classes) for name, each in zip(classes, value, strict=True)}
    if isinstance(value, dict):
        return {str(key): _plain(each, classes) for key, each in value.items()}
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return [_plain(each, classes) for each in value] if isinstance(value, list) else value


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells under each other, the first a head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([texts[0], "─" * len(texts[0]), *texts[1:]])


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def gain_line(name: str, gains: Mapping[str, Any], scores: Scores) -> str:
    """What a row has more than its control, each figure with the bounds between which 95 % of the draws lie."""
    parts = []
    for key, figure in figures(scores).items():
        found = gains.get(key, {})
        by_width = (
            {figure.head: found} if "gain" in found else {figure.head.format(w): each for w, each in found.items()}
        )
        for head, each in by_width.items():
            bounds = each["interval"]
            sure = "" if bounds is None else f" ({bounds[0]:+.{figure.digits}f} to {bounds[1]:+.{figure.digits}f})"
            parts.append(f"{head} {each['gain']:+.{figure.digits}f}{sure}")
    bounded = any(" to " in part for part in parts)
    what = "95 % of draws in brackets" if bounded else "too few frames to say how sure that is"
    return f"{name} − control: {', '.join(parts)}; {what}"


def training_summary(result: TrainResult, settings: TrainSettings, samples: Samples, out: str) -> str:
    """What came out of a training, what of it is not the paper's, and which frames were left out: a line each."""
    lines = [result_line(result, settings, out)]
    if result.beyond_paper:
        beyond = "; ".join(_in_words(name, value) for name, value in result.beyond_paper.items())
        lines.append(f"other than in the paper: {beyond}")
    if samples.left_out:
        first, count = samples.left_out[0], len(samples.left_out)
        frames = "1 labelled frame was" if count == 1 else f"{count} labelled frames were"
        lines.append(f"{frames} left out{', such as' if count > 1 else ':'} {first.name} ({first.reason})")
    return "\n".join(lines)


_IN_WORDS = {
    "layers": "trained frame by frame",
    "length": "clips of {} frames",
    "memory": "{} memory",
    "gate": "a gate, {}",
    "flow": "flow by {}",
    "consistency": "a consistency loss of weight {}",
    "unlabelled": "{} clips without labels in each batch",
    "detach_past": "no gradients into the past",
    "keyframes": "trained with keyframes",
    "log_probs": "NetWarp at the log-probabilities",
}


def _in_words(name: str, value: Any) -> str:  # noqa: ANN401
    """An entry of ``TrainResult.beyond_paper``."""
    if name == "start":
        return "w1 and w2 begin at " + " or ".join(f"{w1:g} and {w2:g}" for w1, w2 in value)
    if name == "flow_cnn":
        said = "FlowCNN ({}) at 1/{} of the frame's size, begun as {}"
        return "no FlowCNN" if value is None else said.format(*value)
    if name == "train_base":
        return "the network frozen" if value == "none" else "a part of the network frozen"
    return _IN_WORDS[name].format(value)


def result_line(result: TrainResult, settings: TrainSettings, out: str) -> str:
    """Steps, time, loss and best score of a training, and the file that it ends in."""
    losses = result.losses[-100:]
    if result.before == result.steps:
        parts = [f"nothing left to train, {result.steps} steps were done before"]
    else:
        before = f", {result.before} of them before" if result.before else ""
        parts = [f"{result.steps} steps in {result.seconds:.0f} s{before}"]
    if losses:
        parts.append(f"loss {sum(losses) / len(losses):.3f}")
    if result.best is not None:
        parts.append(f"best validation {settings.monitor} {result.best.score:.2f} after step {result.best.step}")
    if result.stopped_early:
        parts.append(f"stopped early, kept step {result.kept}")
    return f"{', '.join(parts)}: {os.path.join(out, 'model.safetensors')}"  # noqa: PTH118 (as it was given)
