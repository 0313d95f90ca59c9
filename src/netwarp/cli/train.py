"""``netwarp train``: a video model from labelled clips."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from netwarp.cli.arguments import CommandRequest, flag, local_place, option
from netwarp.cli.models import base_of, has_random_weights
from netwarp.cli.network_options import PREPROCESS, NetworkOptions, size
from netwarp.cli.sections import section
from netwarp.cli.terminal import quiet_loading, say, warn
from netwarp.errors import ConfigurationError, NetWarpError, shown
from netwarp.label_sets import LabelSet, coloured_by
from netwarp.training.settings import TrainSettings

if TYPE_CHECKING:
    from netwarp.datasets.clips import ClipData
    from netwarp.model import VideoModel

EXAMPLE = """\
examples:
  netwarp train --config examples/train.yaml
  netwarp train --config train.yaml --training.rate 1e-4 --out runs/slower
  netwarp train --config train.yaml --control
  netwarp train --out runs/mine --data.spec camvid:data/camvid \\
      --model.base netwarp:espnet --model.weights espnet.pth \\
      --model.layers log_probs --training.train_base false

The folder gets log.csv, last.ckpt, and at the end model.safetensors (for --model of the other commands) and \
result.json. Killed or interrupted, the same command goes on from the last checkpoint and ends as if nothing had \
happened. Options override the file; docs/training.md explains them."""

CONTROL = "control"
"""The folder of the control, in that of the training."""

_LONGEST = 10_000
"""Frames of a clip."""


@dataclass(frozen=True)
class DataOptions:
    """What is trained on.

    Attributes:
        spec: The data set: camvid:DIR, cityscapes:DIR, vspw:DIR, folder:DIR or streets:KEY=VALUE,…
        split: Its part to train on; null for the only one.
        validation: Its part to validate on; null for none.
        length: Frames in a clip, the last one labelled: 2 are the paper's pairs, 1 trains frame by frame.
        cache: Folder for flow, rendered clips, and frames of videos, so that they are made once.
        mask_value: Classes that numbers in label files stand for, where they are others, such as 255=1.
    """

    spec: str | None = None
    split: str | None = "train"
    validation: str | None = None
    length: int = 2
    cache: str | None = None
    mask_value: str | None = None

    def __post_init__(self) -> None:
        if not self.spec:
            raise ConfigurationError("--data.spec is missing: say what to train on, such as camvid:DIR or streets")
        if not 1 <= self.length <= _LONGEST:
            raise ConfigurationError(f"data.length must be 1 to {_LONGEST} frames, not {shown(self.length)}")


@dataclass(frozen=True)
class ModelSection:
    """What is trained.

    Attributes:
        file: A saved model to train on; it says everything below, but for a flow that is to take its flow's place.
        base: The network: torchvision:NAME, smp:ARCH/ENCODER, hf:REPO_OR_FOLDER, netwarp:NAME, onnx:FILE or
            package.module:callable.
        weights: Its weights: a file, or a name such as default; null for random ones.
        classes: Number of its outputs; null for the weights' own, or the data's where there are none.
        engine: What runs an onnx:FILE, onnxruntime or openvino; null for onnxruntime.
        mean: What is taken off a frame, by channel, in units of scale; null for the network's own.
        std: What it is divided by then; null likewise, as below.
        scale: The value of white before, such as 1 or 255.
        order: Of the channels.
        task: What its outputs are: classes, binary (one logit) or multilabel; null for what they look like.
        layers: Where it gets its NetWarps ('netwarp layers' lists them), output or log_probs; [] for frame by frame.
        flow: dis[:authors|ultrafast|fast|light|medium|accurate][@FRACTION], raft[:FILE], zero or true
            (that of rendered clips); null for dis, or the file's.
        flow_cnn: The correction of the flow, in the form of the paper or of its release; null for none.
        flow_cnn_stride: Compute it at a fraction of the frame's size: 1 is the paper's, 2 is half; null for the stride
            of the finest of the layers.
        flow_cnn_start: identity lets the flow pass at first; gaussian is the paper's.
        memory: previous keeps the frame's own representation (the paper), fused the combined one.
        start: Initial w1 and w2.
        interpolation: How NetWarps sample a representation.
        gate: Trust per pixel: photometric, learned[:open|photometric][,terms=…]; null for the paper's equation.
    """

    file: str | None = None
    base: str | None = None
    weights: str | None = None
    classes: int | None = None
    engine: Literal["onnxruntime", "openvino"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    scale: float | None = None
    order: Literal["rgb", "bgr"] | None = None
    task: Literal["classes", "binary", "multilabel"] | None = None
    layers: tuple[str, ...] | None = None
    flow: str | None = None
    flow_cnn: Literal["paper", "release"] | None = "paper"
    flow_cnn_stride: int | None = None
    flow_cnn_start: Literal["identity", "gaussian"] = "identity"
    memory: Literal["previous", "fused"] = "previous"
    start: tuple[float, float] = (1.0, 0.0)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    gate: str | None = None

    def __post_init__(self) -> None:
        if self.file is None:
            if self.base is None:
                raise ConfigurationError("--model.base is missing: name the network, or a saved model by --model.file")
            if self.layers is None:
                raise ConfigurationError(
                    "--model.layers is missing: 'netwarp layers' lists where a NetWarp can go, [] trains frame by frame"
                )
            return
        for field in dataclasses.fields(self):
            if field.name not in ("file", "flow") and getattr(self, field.name) != field.default:
                raise ConfigurationError(f"--model.{field.name} does not go with --model.file, which says it itself")


@dataclass(frozen=True, kw_only=True)
class Request(CommandRequest):
    """What is asked for; every key of the file is an option too, which comes before the file."""

    config: list[str] | None = option("FILE", "YAML with all that follows, as keys", action="append")
    print_config: bool = flag("print all that follows as YAML, and end")
    out: str | None = option("DIR", "folder for all that is written; in the file: out")
    size: str | None = option("WxH", "size that frames get for the network, as 640x480; in the file: size")
    control: bool = flag(
        "train the control too, in OUT/control: as long, on the same labels, but without video; in the file: control"
    )
    data: DataOptions = section(DataOptions)
    model: ModelSection = section(ModelSection)
    training: TrainSettings = section(TrainSettings)


def run(request: Request) -> None:
    """Train; see the module."""
    if request.print_config:
        import yaml

        shown = {"out": request.out, "size": request.size, "control": request.control} | {
            n: dataclasses.asdict(getattr(request, n)) for n in ("data", "model", "training")
        }
        say(yaml.safe_dump(json.loads(json.dumps(shown)), sort_keys=False).rstrip())
        return
    if not request.out:
        raise ConfigurationError("--out is missing: name the folder for what is written", option="out")
    try:
        local_place(request.out)
    except argparse.ArgumentTypeError as error:
        raise ConfigurationError(f"{{option}}: {error}", option="out") from error
    data, wanted, settings = request.data, request.model, request.training
    if settings.validate_every is not None and data.validation is None:
        raise ConfigurationError("training.validate_every needs data.validation, the part to validate on")
    if request.control and settings.devices > 1:
        raise ConfigurationError(
            f"{{option}} trains twice in a process, which several devices do not: take training.devices 1, not "
            f"{settings.devices}",
            option="control",
        )
    resized = _size(request)

    from netwarp.cli.tables import result_line, training_summary
    from netwarp.datasets.class_order import in_order_of
    from netwarp.distributed import is_first_process
    from netwarp.training import train
    from netwarp.training.checkpoint import RunFolder
    from netwarp.training.parameters import as_control

    folders = [request.out, *([os.path.join(request.out, CONTROL)] if request.control else [])]  # noqa: PTH118
    for folder in folders:
        RunFolder(Path(folder)).check()
    clips, validation = _data(data)
    model = _model(wanted, clips, settings, request.debug)
    if wanted.base and settings.train_base is False and has_random_weights(wanted.base, wanted.weights):
        warn(f"{wanted.base} has random weights and is frozen: give --model.weights, or train the network too")
    _take_names(model, clips)
    if resized is not None:
        model.preprocess = dataclasses.replace(model.preprocess, size=resized)
        model.without_memory()  # tries the network at this size
    trainings = [(model, settings)]
    if request.control:
        other = _model(wanted, clips, settings, request.debug)  # the same weights, which are not trained yet
        other.preprocess, other.classes, other.palette = model.preprocess, model.classes, model.palette
        trainings.append(as_control(other, settings))
    clips = in_order_of(clips, model.classes)
    validation = None if validation is None else in_order_of(validation, model.classes)
    samples = clips.samples(data.length)
    windows = clips.windows(data.length) if settings.consistency.unlabelled else ()
    first = is_first_process(settings.devices)
    counted = {"clips": len(samples), "left_out": len(samples.left_out)}
    # What is newer than trainings that are gone on with is theirs only where it is used.
    newer = ["mask_value"] if data.mask_value is None else []
    plain = {name: value for name, value in dataclasses.asdict(data).items() if name not in ("cache", *newer)}
    caller = {"data": plain | counted, "network": _network(wanted)}
    said: list[str] = []
    try:
        for folder, (each, how) in zip(folders, trainings, strict=True):
            control = each is not model
            result = train(
                each,
                samples,
                how,
                classes=len(clips.classes),
                unlabelled=() if control else windows,
                validation=validation,
                cache=data.cache,
                folder=folder,
                caller=caller | ({"control": True} if control else {}),
                progress=sys.stderr.isatty(),
            )
            said.append(f"{CONTROL}: {result_line(result, how, folder)}" if control else
                        training_summary(result, how, samples, folder))  # fmt: skip
    except (NetWarpError, KeyboardInterrupt) as error:
        if first:
            raise
        # All processes end alike, and one says why. The others' ends must not look like failures of their own.
        raise SystemExit(0) from error
    if first:
        say("\n".join(said))


def _size(request: Request) -> tuple[int, int] | None:
    """(height, width) of ``--size``, which views that are cut or scaled make no sense with."""
    if request.size is None:
        return None
    try:
        found = size(request.size)
    except argparse.ArgumentTypeError as error:
        raise ConfigurationError(f"size: {error}", option="size") from error
    if request.training.augment.crop is not None or request.training.augment.scale != (1.0, 1.0):
        raise ConfigurationError(
            "size and training.augment's crop or scale both say what the network sees: leave one of them out",
            option="size",
        )
    return found


def _data(options: DataOptions) -> tuple[ClipData, ClipData | None]:
    """What is trained on, which has clips with labels, and what is validated on."""
    from netwarp.datasets.registry import open_data

    assert options.spec is not None
    clips, validation = (
        None if split is None and part == "validation" else
        open_data(options.spec, split, length=options.length, cache=options.cache, mask_value=options.mask_value)
        for part, split in (("train", options.split), ("validation", options.validation))
    )  # fmt: skip
    assert clips is not None
    samples = clips.samples(options.length)
    if not samples:
        reasons = sorted({left.reason for left in samples.left_out})
        raise ConfigurationError(
            f"{clips.name} has no labelled clip of {options.length} frames"
            + (f" ({len(samples.left_out)} labelled frames are left out: {'; '.join(reasons)})" if reasons else "")
            + ": 'netwarp check-data' says what is there"
        )
    return clips, validation


def _model(options: ModelSection, clips: ClipData, settings: TrainSettings, debug: bool) -> VideoModel:
    """The model before training; what is random in it follows from the seed."""
    import torch

    from netwarp.model import FlowCNN, VideoModel

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        if options.file is not None:
            from netwarp.bases.load_model import load

            with quiet_loading(debug):
                return load(options.file, flow=options.flow)
        assert options.base is not None
        classes = options.classes
        if classes is None and has_random_weights(options.base, options.weights):
            named: int | list[str] | None = list(clips.classes.names)
        else:
            named = classes
        asked = {name: getattr(options, name) for name in ("base", "weights", "engine", *PREPROCESS)}
        base = base_of(NetworkOptions(**asked, classes=named, debug=debug))
        cnn = options.flow_cnn
        return VideoModel(
            base,
            options.layers,
            options.flow or "dis",
            None if cnn is None else FlowCNN(cnn, stride=options.flow_cnn_stride, start=options.flow_cnn_start),
            memory=options.memory,
            start=options.start,
            interpolation=options.interpolation,
            gate=options.gate,
            task=options.task,
        )


def _take_names(model: VideoModel, clips: ClipData) -> None:
    """Give a model the data's names where its own are made up, and the data's colours of classes called the same."""
    labels = coloured_by(LabelSet(model.classes, model.palette), clips.classes)
    model.classes, model.palette = labels.names, labels.palette
    if len(labels) > len(clips.classes):
        warn(f"the network has {len(labels)} outputs, the data {len(clips.classes)} classes: the others learn nothing")


def _network(options: ModelSection) -> dict[str, Any]:
    """As older versions have it in their checkpoints."""
    return dataclasses.asdict(options) | {"flow": options.flow or "dis"}
