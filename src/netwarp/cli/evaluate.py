"""``netwarp evaluate``: how good labels are, and how steady."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwarp.cli.arguments import MASK_VALUE, flag, local_place, option, whole_number
from netwarp.cli.label_options import LabelOptions, label_settings
from netwarp.cli.models import build_model, check_model_options
from netwarp.cli.network_options import ModelOptions
from netwarp.cli.terminal import progress_bar, say, warn
from netwarp.cli.view_options import in_views, say_how_many, views_of
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.input_files import expanded

if TYPE_CHECKING:
    from torch import Tensor

    from netwarp.datasets.clips import ClipData, ClipFrame
    from netwarp.evaluation.clip_runner import OnLabels
    from netwarp.evaluation.scores import Scores
    from netwarp.inference.sliding import Sliding, StreamModel
    from netwarp.label_sets import LabelSet
    from netwarp.model import VideoModel

    Score = Callable[[Callable[[], None]], Mapping[str, Scores]]

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
labels along DIS-medium flow (share of pixels; TC mIoU is the literature's), \
and where the truth stands still for 8 or 16 frames (VC8, VC16)."""

ALONE, FREE, MODEL, CONTROL = "frame by frame", "training-free", "model", "control"
"""The names of the table's rows."""

_PREDICTIONS = "label maps"

_LENGTH_OF_VIDEOS = 10
"""Frames up to each labelled one that are taken out of a data set's videos, where --history does not say."""


_SMALL = 640 * 480
"""Pixels of a frame, or of all its views, up to which a network gains more from another clip on the next core than from
the core itself."""

_MOST_WORKERS = 8


def _widths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 100 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} are no widths: write whole pixels of 1 to 100, such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


@dataclass(frozen=True, kw_only=True)
class Request(ModelOptions, LabelOptions):
    """What is asked for."""

    data: str = option("SPEC", "camvid:DIR, cityscapes:DIR, vspw:DIR, folder:DIR or streets:KEY=VALUE,…", required=True)
    split: str | None = option("NAME", "a part of the data (default: val, or the only one)")
    predictions: str | None = option("DIR", "label maps made elsewhere, in place of a network")
    prediction_ids: str | None = option(
        "KIND",
        "what label maps hold that are read or saved: classes, or cityscapes for its ids (default: classes)",
        choices=("classes", "cityscapes"),
    )
    training_free: bool = flag("a --base with the memory that needs no training")
    compare: bool = flag("the network frame by frame too, in turn with the video model")
    control: str | None = option(
        "FILE", "the control of a --model, which 'netwarp train --control' saves: what the model has more, how surely"
    )
    widths: tuple[int, ...] = option(
        "W,…", "of tIoU's bands, in pixels (default: 1,2,4)", type=_widths, default=(1, 2, 4)
    )
    history: int | None = option(
        "N",
        "run only N frames before each labelled one (default: whole clips; frame by frame alone 0)",
        type=whole_number(0, 100_000),
    )
    per_class: bool = flag("print the IoU and tIoU of each class too")
    json: str | None = option("FILE", "write the scores there too", type=local_place)
    save_predictions: str | None = option("DIR", "write the label maps of all frames that are run", type=local_place)
    metric: list[str] | None = option(
        "SPEC", "a metric of your own besides, package.module:name; may be given again", action="append"
    )
    workers: int | None = option(
        "N",
        "clips at a time; on a CPU each gets its part of the threads, and times are those of a network on that "
        "(default: as many as threads, up to 8; 1 with --compare, or on a CPU with frames or views above 640x480)",
        type=whole_number(1, 1000),
    )
    cache: str | None = option("DIR", "folder for frames that are taken out of videos, and for rendered clips")
    mask_value: str | None = option(*MASK_VALUE)


def run(request: Request) -> None:
    """Evaluate; see the module."""
    _check_combinations(request)
    from netwarp.datasets.class_order import in_order_of
    from netwarp.datasets.registry import open_data
    from netwarp.output_files import Lock

    history = 0 if request.history is None and _is_alone(request) else request.history
    length = _LENGTH_OF_VIDEOS if history is None else history + 1
    data = open_data(request.data, request.split, length=length, cache=request.cache, mask_value=request.mask_value)
    _check_places(request)
    if not any(clip.frames for clip in data.clips):
        raise InputError(f"{data.name} has no frames: there is nothing to evaluate")
    if request.predictions is not None:
        frames, score = _of_predictions(request, data)
    else:
        models = _models(request, data)
        classes, data = data.classes, in_order_of(data, next(iter(models.values())).classes)
        saver = _saver(request, classes, data.classes, [*models][-1])
        frames, score = _of_models(request, models, data, history, saver)
    began = time.perf_counter()
    folder = request.save_predictions
    with nullcontext() if folder is None else Lock(Path(folder), "writing into"), progress_bar(frames) as advance:
        rows = score(advance)
    _tell(request, data, rows, frames, time.perf_counter() - began)


def _check_combinations(request: Request) -> None:
    if request.predictions is not None:
        with_network = {field.name for field in dataclasses.fields(ModelOptions)} - {"debug", "device"}
        with_network |= {"edges_window", "edges_sigma", "lag", "offline"}
        names = (*sorted(with_network), "training_free", "compare", "control", "history", "save_predictions")
        request.refuse(names, "goes with a network, and --predictions takes its place")
        return
    if request.control is not None and (request.model is None or request.frame_by_frame):
        raise ConfigurationError("{option} goes with a --model that was trained beside it", option="control")
    if request.model is None and request.base is None:
        raise ConfigurationError(
            "nothing to evaluate: give --base SPEC (any network), --model FILE (a saved video model) or "
            "--predictions DIR (label maps)"
        )
    if request.prediction_ids and not request.save_predictions:
        raise ConfigurationError("--prediction-ids goes with --predictions or --save-predictions")
    check_model_options(request, "training_free", "compare")
    if _is_alone(request):
        names = ("flow", "interpolation", "offline", *(("lag",) if request.lag else ()))
        request.refuse(names, "goes with a memory: give --training-free too")


def _is_alone(request: Request) -> bool:
    video = request.training_free or request.layers or request.compare
    return bool(request.predictions is None and (request.frame_by_frame or (request.model is None and not video)))


def _models(request: Request, data: ClipData) -> dict[str, VideoModel | Sliding]:
    """The models by the names of their rows; what was asked for comes last, after what it is compared with."""
    from netwarp.datasets.class_order import doubts_about, in_order_of

    height, width = next(frame for clip in data.clips for frame in clip.frames).image().shape[:2]
    size, alone = (height, width), _is_alone(request)
    model = build_model(request, size, memory=not alone)
    models = {ALONE if alone else FREE if request.model is None else MODEL: model}
    if request.control is not None:
        models = {CONTROL: _control(request, model, size), **models}
    if request.compare:
        models = {ALONE: model.without_memory(), **models}
    if doubts := doubts_about(model.classes, in_order_of(data, model.classes)):
        warn(doubts)
    say_how_many(request, model.base, size)
    return {name: in_views(each, request) for name, each in models.items()}


def _control(request: Request, model: VideoModel, size: tuple[int, int]) -> VideoModel:
    """The control of a model: of its classes and layers, with every w2 at 0."""
    control = build_model(
        dataclasses.replace(request, model=request.control, flow=None, gate=None), size, memory=True
    )  # fmt: skip
    if (control.classes, control.layers) != (model.classes, model.layers):
        raise ConfigurationError(
            f"{{option}} {request.control} is another model's: its classes or layers are not those of {request.model}",
            option="control",
        )
    if any(bool(netwarp.w2.any()) for netwarp in control.netwarps):  # type: ignore[operator]
        raise ConfigurationError(
            f"{{option}} {request.control} has a memory, and is no control: 'netwarp train --control' trains one",
            option="control",
        )
    return control


def _check_places(request: Request) -> None:
    """See that results can be written, before hours of work."""
    from netwarp.output_places import check_places

    if request.save_predictions is not None:
        folder, data = Path(request.save_predictions), expanded(request.data.partition(":")[2])
        if data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
            raise OutputError(f"{folder} lies in the data set, whose labels it could replace: name another folder")
    if request.json is not None:
        inputs, path = request.files_named(but=("json", "save_predictions")), Path(request.json)
        check_places([each for each in inputs if each.is_file() or not _holds_scores(path)], files=[path])


def _holds_scores(path: Path) -> bool:
    """Whether a file is an earlier one of the kind that is written, which may lie among label maps."""
    try:
        return path.is_file() and "miou" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _of_predictions(request: Request, data: ClipData) -> tuple[int, Score]:
    """The number of label maps, and what scores them."""
    from netwarp.datasets.predictions import Predictions
    from netwarp.evaluation.evaluate import evaluate_predictions

    assert request.predictions is not None
    predictions = Predictions(request.predictions, data, ids=request.prediction_ids == "cityscapes")
    options = _measures(data, request) | {"workers": request.workers or _threads()}
    return len(predictions.files), lambda advance: {
        _PREDICTIONS: evaluate_predictions(predictions, data, **options, on_frame=advance)
    }


def _of_models(
    request: Request, models: Mapping[str, Any], data: ClipData, history: int | None, on_labels: OnLabels | None
) -> tuple[int, Score]:
    """The number of frames to run, and what runs and scores them."""
    from netwarp.evaluation.evaluate import evaluate, frames_to_run

    options = _measures(data, request) | {"workers": request.workers or _workers(request, models, data)}
    # What it is compared with is the network as it is.
    plain = {"edges": "off", "lag": 0, "offline": False, "keyframes": "all"}
    settings = {**label_settings(request), "keyframes": request.keyframes or "all"}
    options |= {name: {**dict.fromkeys(models, plain[name]), [*models][-1]: value} for name, value in settings.items()}
    return frames_to_run(data, history), lambda advance: evaluate(
        models, data, **options, history=history, on_frame=advance, on_labels=on_labels, metrics=request.metric or ()
    )


def _saver(request: Request, classes: LabelSet, outputs: LabelSet, of_row: str) -> OnLabels | None:
    """What writes a row's label maps, numbered as the data has its classes, whatever the network's order."""
    if request.save_predictions is None:
        return None
    import numpy as np

    from netwarp.datasets.predictions import PredictionWriter

    writer = PredictionWriter(request.save_predictions, classes, ids=request.prediction_ids == "cityscapes")
    numbers = np.array([classes.names.index(name) for name in outputs.names])

    def save(row: str, frame: ClipFrame, labels: Tensor) -> None:
        if row == of_row:
            said = labels[0].cpu().numpy()
            known = said < len(numbers)
            writer.write(frame.name, np.where(known, numbers[np.where(known, said, 0)], said))

    return save


def _measures(data: ClipData, request: Request) -> dict[str, Any]:
    from netwarp.datasets.cityscapes import average_instance_sizes

    sizes = average_instance_sizes(data.classes.names)
    surely = request.json is not None or request.control is not None
    return {"widths": request.widths, "average_sizes": sizes, "intervals": surely}


def _workers(request: Request, models: Mapping[str, StreamModel], data: ClipData) -> int:
    """As many clips at a time as is faster and needs no great memory; one where times are to be compared."""
    from netwarp.model.inputs import base_device

    first = next(frame for clip in data.clips for frame in clip.frames)
    height, width = first.image().shape[:2]
    on_cpu = base_device(next(iter(models.values())).base).type == "cpu"
    large = views_of(request).pixels(request.size or (height, width)) > _SMALL
    return 1 if len(models) > 1 or (on_cpu and large) else _threads()


def _threads() -> int:
    import torch

    return min(_MOST_WORKERS, torch.get_num_threads())


def _tell(request: Request, data: ClipData, rows: Mapping[str, Scores], frames: int, seconds: float) -> None:
    from netwarp.cli.tables import class_table, gain_line, score_record, score_table
    from netwarp.datasets.check import ignored_class, label_counts
    from netwarp.evaluation.intervals import gains
    from netwarp.output_files import write_file

    name, scores = list(rows.items())[-1]
    gained = gains(scores, rows[CONTROL]) if CONTROL in rows else None
    if request.json is not None:  # before anything is said, which may fail
        others = {row: score_record(its, data.classes.names) for row, its in rows.items() if row != name}
        record = score_record(scores, data.classes.names) | ({"compared_with": others} if others else {})
        if gained is not None:
            record |= {"minus_control": score_record(gained, data.classes.names)}
        write_file(Path(request.json), f"{json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)}\n")
    say(score_table(rows))
    if gained is not None:
        say(f"\n{gain_line(name, gained, scores)}")
    if request.per_class:
        say(f"\n{class_table(rows, data.classes.names)}")
    rate = frames / max(seconds, 1e-9)
    noun = "frame" if frames == 1 else "frames"
    say(f"\n{data.name}: {scores['frames']} labelled of {frames} {noun} in {seconds:.1f} s ({rate:.1f} a second)")
    if data.left_out:
        first = data.left_out[0]
        warn(f"{len(data.left_out)} labelled frames are left out; the first is {first.name}: {first.reason}")
    if not scores["frames"]:
        warn(f"{data.name} has no labels: there are only consistency and time")
    labels = [frame.labels for clip in data.clips for frame in clip.frames if frame.labels is not None]
    if doubt := ignored_class(label_counts(labels, most=20).tolist()):
        warn(f"of {data.name} {doubt}")
