"""``netwarp evaluate``: how good labels are, and how steady."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import add_base_arguments, add_device_argument, check_combinations, evaluated_models, is_alone
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import progress_bar, say, warn
from netwarp.cli.view_options import add_view_arguments, views_of
from netwarp.errors import InputError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

    from netwarp.datasets.clips import ClipData, ClipFrame
    from netwarp.evaluation.clip_runner import OnLabels
    from netwarp.evaluation.scores import Scores
    from netwarp.inference.stream_model import StreamModel
    from netwarp.label_sets import LabelSet

SUMMARY = "measure a network, a video model, or label maps against labelled clips"

EXAMPLE = """\
examples:
  netwarp evaluate --data camvid:DIR --split test --base netwarp:espnet \\
      --weights espnet.pth
  netwarp evaluate --data camvid:DIR --base netwarp:espnet \\
      --weights espnet.pth --compare
  netwarp evaluate --data cityscapes:DIR --model trained.safetensors \\
      --history 4 --json scores.json
  netwarp evaluate --data cityscapes:DIR --model psp.safetensors --history 2 \\
      --window 713 --scales 0.5,0.75,1,1.25,1.5,1.75 --flip
  netwarp evaluate --data cityscapes:DIR --predictions results/ \\
      --prediction-ids cityscapes

A --base is measured frame by frame, unless --training-free, --layers or --compare say otherwise.
Label maps are PNG files, NAME.png or NAME_….png for the frame NAME, of classes (255: none) or Cityscapes' ids.
Scores are in percent: IoU, near label changes (tIoU), with objects of all sizes alike (iIoU); consistency of \
labels along DIS-medium flow, and where the truth stands still for 8 or 16 frames (VC8, VC16)."""

_PREDICTIONS = "label maps"

_LENGTH_OF_VIDEOS = 10
"""Frames up to each labelled one that are taken out of a data set's videos, where --history does not say."""


_SMALL = 640 * 480
"""Pixels of a frame, or of all its views, up to which a network gains more from another clip on the next core than from
the core itself."""

_MOST_WORKERS = 8


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--data", metavar="SPEC", required=True, help="camvid:DIR, cityscapes:DIR, folder:DIR or streets:KEY=VALUE,…"
    )
    parser.add_argument("--split", metavar="NAME", help="a part of the data (default: val, or the only one)")
    parser.add_argument("--model", metavar="FILE", help="a model that VideoModel.save wrote")
    add_base_arguments(parser, required=False)
    parser.add_argument("--predictions", metavar="DIR", help="label maps made elsewhere, in place of a network")
    parser.add_argument(
        "--prediction-ids",
        metavar="KIND",
        choices=("classes", "cityscapes"),
        help="what label maps hold that are read or saved: classes, or cityscapes for its ids (default: classes)",
    )
    parser.add_argument("--training-free", action="store_true", help="a --base with the memory that needs no training")
    parser.add_argument(
        "--layers", nargs="+", metavar="LAYER", help="where that memory is, in place of log_probs ('netwarp layers')"
    )
    parser.add_argument(
        "--flow",
        metavar="SPEC",
        help="dis[:ultrafast|fast|light|medium][@FRACTION], raft[:FILE], precomputed:FOLDER with a sub-folder for each "
        "clip, true (that of rendered clips) or zero (default: dis, or the model's)",
    )
    parser.add_argument("--frame-by-frame", action="store_true", help="the network of a --model without its memory")
    parser.add_argument(
        "--compare", action="store_true", help="the network frame by frame too, in turn with the video model"
    )
    parser.add_argument(
        "--widths", metavar="W,…", type=_widths, default=(1, 2, 4), help="of tIoU's bands, in pixels (default: 1,2,4)"
    )
    parser.add_argument(
        "--history",
        metavar="N",
        type=_count,
        help="run only N frames before each labelled one (default: whole clips; frame by frame alone 0)",
    )
    parser.add_argument("--per-class", action="store_true", help="print the IoU of each class too")
    parser.add_argument("--json", metavar="FILE", help="write the scores there too")
    parser.add_argument("--save-predictions", metavar="DIR", help="write the label maps of all frames that are run")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_positive,
        help="clips at a time; on a CPU each gets its part of the threads, and times are those of a network on that "
        "(default: as many as threads, up to 8; 1 with --compare, or on a CPU with frames or views above 640x480)",
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="folder for frames that are taken out of videos, and for rendered clips"
    )
    add_view_arguments(parser)
    add_device_argument(parser)


def run(options: Namespace) -> None:
    """Evaluate; see the module."""
    check_combinations(options)
    from netwarp.cli.terminal import keep_freed_memory
    from netwarp.datasets.class_order import in_order_of
    from netwarp.datasets.registry import open_data

    keep_freed_memory()
    history = 0 if options.history is None and is_alone(options) else options.history
    length = _LENGTH_OF_VIDEOS if history is None else history + 1
    data = open_data(options.data, options.split, length=length, cache=options.cache)
    if not any(clip.frames for clip in data.clips):
        raise InputError(f"{data.name} has no frames: there is nothing to evaluate")
    if options.predictions is not None:
        measured = _score_predictions(options, data)
    else:
        models = evaluated_models(options, data)
        classes, data = data.classes, in_order_of(data, next(iter(models.values())).classes)
        measured = _score_models(options, models, data, history, _saver(options, classes, data.classes, [*models][-1]))
    _tell(options, data, measured)


@dataclass(frozen=True)
class _Measured:
    """Scores of all rows, the number of frames that each has run, and the seconds that all took."""

    rows: dict[str, Scores]
    frames: int
    seconds: float


def _check_places(options: Namespace) -> None:
    """See that results can be written, before hours of work."""
    from netwarp.output_files import prepare_file

    if options.save_predictions is not None:
        folder, data = Path(options.save_predictions), Path(options.data.partition(":")[2]).expanduser()
        if data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
            raise OutputError(f"{folder} lies in the data set, whose labels it could replace: name another folder")
    if options.json is not None:
        prepare_file(Path(options.json))


def _score_predictions(options: Namespace, data: ClipData) -> _Measured:
    from netwarp.datasets.predictions import Predictions
    from netwarp.evaluation.evaluate import evaluate_predictions

    predictions = Predictions(options.predictions, data, ids=options.prediction_ids == "cityscapes")
    _check_places(options)
    frames = len(predictions.files)
    began = time.perf_counter()
    with progress_bar(frames) as advance:
        scores = evaluate_predictions(
            predictions, data, **_measures(data, options), workers=options.workers or _threads(), on_frame=advance
        )
    return _Measured({_PREDICTIONS: scores}, frames, time.perf_counter() - began)


def _score_models(
    options: Namespace, models: Mapping[str, Any], data: ClipData, history: int | None, on_labels: OnLabels | None
) -> _Measured:
    from netwarp.evaluation.evaluate import evaluate, frames_to_run

    _check_places(options)
    frames = frames_to_run(data, history)
    began = time.perf_counter()
    with progress_bar(frames) as advance:
        rows = evaluate(
            models,
            data,
            **_measures(data, options),
            history=history,
            workers=options.workers or _workers(options, models, data),
            on_frame=advance,
            on_labels=on_labels,
        )
    return _Measured(rows, frames, time.perf_counter() - began)


def _saver(options: Namespace, classes: LabelSet, outputs: LabelSet, of_row: str) -> OnLabels | None:
    """What writes a row's label maps, numbered as the data has its classes, whatever the network's order."""
    if options.save_predictions is None:
        return None
    import numpy as np

    from netwarp.datasets.predictions import PredictionWriter

    writer = PredictionWriter(options.save_predictions, classes, ids=options.prediction_ids == "cityscapes")
    numbers = np.array([classes.names.index(name) for name in outputs.names])

    def save(row: str, frame: ClipFrame, labels: Tensor) -> None:
        if row == of_row:
            said = labels[0].cpu().numpy()
            known = said < len(numbers)
            writer.write(frame.name, np.where(known, numbers[np.where(known, said, 0)], said))

    return save


def _measures(data: ClipData, options: Namespace) -> dict[str, Any]:
    from netwarp.datasets.cityscapes import average_instance_sizes

    return {"widths": options.widths, "average_sizes": average_instance_sizes(data.classes.names)}


def _workers(options: Namespace, models: Mapping[str, StreamModel], data: ClipData) -> int:
    """As many clips at a time as is faster and needs no great memory; one where times are to be compared."""
    from netwarp.model.inputs import base_device

    first = next(frame for clip in data.clips for frame in clip.frames)
    height, width = first.image().shape[:2]
    on_cpu = base_device(next(iter(models.values())).base).type == "cpu"
    large = views_of(options).pixels((height, width)) > _SMALL
    return 1 if len(models) > 1 or (on_cpu and large) else _threads()


def _threads() -> int:
    import torch

    return min(_MOST_WORKERS, torch.get_num_threads())


def _tell(options: Namespace, data: ClipData, measured: _Measured) -> None:
    from netwarp.cli.tables import class_table, score_record, score_table

    name, scores = list(measured.rows.items())[-1]
    say(score_table(measured.rows))
    if options.per_class:
        say(f"\n{class_table(measured.rows, data.classes.names)}")
    rate = measured.frames / max(measured.seconds, 1e-9)
    noun = "frame" if measured.frames == 1 else "frames"
    say(
        f"\n{data.name}: {scores['frames']} labelled of {measured.frames} {noun} in {measured.seconds:.1f} s "
        f"({rate:.1f} a second)"
    )
    if data.left_out:
        first = data.left_out[0]
        warn(f"{len(data.left_out)} labelled frames are left out; the first is {first.name}: {first.reason}")
    if not scores["frames"]:
        warn(f"{data.name} has no labels: there are only consistency and time")
    if options.json is not None:
        others = {row: score_record(its, data.classes.names) for row, its in measured.rows.items() if row != name}
        record = score_record(scores, data.classes.names) | ({"compared_with": others} if others else {})
        _write(Path(options.json), f"{json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)}\n")


def _write(path: Path, text: str) -> None:
    from netwarp.output_files import write_file

    write_file(path, text)


@from_text
def _widths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 100 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} are no widths: write whole pixels of 1 to 100, such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


def _whole(text: str, lowest: int, highest: int) -> int:
    if not text.strip().isdecimal() or not lowest <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
    return int(text)


@from_text
def _count(text: str) -> int:
    return _whole(text, 0, 100_000)


@from_text
def _positive(text: str) -> int:
    return _whole(text, 1, 1000)
