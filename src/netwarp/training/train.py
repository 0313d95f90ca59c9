"""Training from beginning to end, or from where it was killed."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netwarp._version import __version__
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.check import label_counts, never_labelled
from netwarp.datasets.clips import ClipData, Sample
from netwarp.datasets.samples import SampleReader
from netwarp.distributed import is_first_process
from netwarp.errors import ConfigurationError, InputError, NetWarpError, WeightsError
from netwarp.flow import spec_of
from netwarp.freed_memory import keep_freed_memory
from netwarp.model import VideoModel
from netwarp.model.model_file import read
from netwarp.model.netwarp import NetWarp
from netwarp.output_files import write_file
from netwarp.training.batches import WorkData
from netwarp.training.checkpoint import Checkpoint, RunFolder, difference, fingerprint, restore
from netwarp.training.frozen_prefix import frozen_prefix
from netwarp.training.logs import StepRecord, TrainResult, check_tensorboard, progress_bar
from netwarp.training.losses import class_weights
from netwarp.training.parameters import frozen_as_told, parameter_groups
from netwarp.training.process_state import (
    AtOnce,
    HeldSignals,
    Interrupted,
    left_as_it_was,
    need_lightning,
    quiet_lightning,
)
from netwarp.training.settings import TrainSettings

if TYPE_CHECKING:
    from netwarp.training.loop import BetweenSteps


def beyond_paper(model: VideoModel, settings: TrainSettings, length: int) -> dict[str, Any]:
    """Every option that differs from the paper's section 3.1: two frames, Eq. 3 from (1, 0), DIS, the paper's Λ."""
    if not model.layers:
        return {"layers": "none: frame by frame"}
    starts = {(float(n.w1.mean()), float(n.w2.mean())) for n in model.netwarps if isinstance(n, NetWarp)}
    spec = spec_of(model.flow) or type(model.flow).__name__
    options = {
        "length": (length, length == 2),
        "start": ([list(start) for start in sorted(starts)], starts == {(1.0, 0.0)}),
        "memory": (model.memory, model.memory == "previous"),
        "gate": (None if model.gate is None else repr(model.gate), model.gate is None),
        "flow": (spec, str(spec).startswith("dis")),
        "flow_cnn": (_flow_cnn(model), _flow_cnn(model) == ["paper", 1, "gaussian"]),
        "consistency": (settings.consistency.weight, not settings.consistency.weight),
        "unlabelled": (settings.consistency.unlabelled, not settings.consistency.unlabelled),
        "detach_past": (settings.detach_past, not settings.detach_past),
        "keyframes": (settings.keyframes, not settings.keyframes),
        "train_base": (_trained(model), _trained(model) == "all"),
        "log_probs": (True, "log_probs" not in model.layers),
    }
    return {name: value for name, (value, as_in_paper) in options.items() if not as_in_paper}


def _flow_cnn(model: VideoModel) -> list[Any] | None:
    cnn = model.flow_cnn
    return None if cnn is None else [cnn.variant, cnn.stride, cnn.start]


def _trained(model: VideoModel) -> str:
    required = [parameter.requires_grad for parameter in model.base.parameters()]
    return "all" if all(required) else "part" if any(required) else "none"


LAST = 100
"""Steps that the final loss is averaged over."""


def write_result(path: Path, result: TrainResult, settings: TrainSettings, caller: Mapping[str, Any]) -> None:
    """Write what came out, and what else the caller wants said; nan becomes null."""
    losses = result.losses[-LAST:]
    scores = [(record.step, record.scores) for record in result.records if record.scores is not None]
    content = {
        "steps": result.steps,
        "stopped_early": result.stopped_early,
        "kept": result.kept,
        "beyond_paper": result.beyond_paper,
        "loss": sum(losses) / len(losses) if losses else None,
        "best": None if result.best is None else {"step": result.best.step, settings.monitor: result.best.score},
        "validation": [{"step": step, **asdict(s)} for step, s in scores],
        "seconds": round(result.seconds, 1),
        "training": asdict(settings),
        **caller,
        "netwarp": __version__,
    }
    text = json.dumps(_without_nan(content), indent=2)
    write_file(path, f"{text}\n", "free space, and give the command again")


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_training(
    model: VideoModel,
    samples: Sequence[Sample],
    settings: TrainSettings,
    classes: int,
    unlabelled: Sequence[Sample],
    validation: ClipData | None,
    place: RunFolder | None,
) -> None:
    """Check the arguments of :func:`netwarp.training.train` against each other, the machine and the folder."""
    _check_clips(samples, unlabelled, settings)
    model.task.check_training()
    outputs = len(model.classes)
    if not 1 <= classes <= outputs:
        raise ConfigurationError(
            f"labels have {classes} classes, but the network has {outputs} outputs: load it with classes={classes}"
        )
    if not isinstance(settings.class_weights, str) and len(settings.class_weights) != classes:
        raise ConfigurationError(f"class_weights has {len(settings.class_weights)} values for {classes} classes")
    if validation is None and settings.validate_every is not None:
        raise ConfigurationError("validate_every needs clips to validate on")
    if validation is not None and len(validation.classes) != classes:
        raise ConfigurationError(
            f"{validation.name} has {len(validation.classes)} classes, what is trained on has {classes}"
        )
    if validation is not None and settings.patience is not None:
        from netwarp.training.loop import check_validation  # imports Lightning

        check_validation(validation, settings.monitor)
    _check_machine(settings)
    if place is None:
        if settings.tensorboard:
            raise ConfigurationError("tensorboard needs a folder to write to")
        return
    if settings.tensorboard:
        check_tensorboard()
    model.configuration()  # raises where the model cannot be saved
    place.check()


def _check_clips(samples: Sequence[Sample], unlabelled: Sequence[Sample], settings: TrainSettings) -> None:
    if not samples:
        raise ConfigurationError("nothing to train on: there is no labelled clip")
    length = len(samples[0].frames)
    for sample in (*samples, *unlabelled):
        if len(sample.frames) != length:
            raise InputError(f"{sample.name} has {len(sample.frames)} frames, {samples[0].name} has {length}")
    for sample in samples:
        if sample.frames[-1].labels is None:
            raise InputError(f"{sample.name} has no labels to train on")
    if settings.keyframes and length < 3:
        raise ConfigurationError(f"keyframes are drawn from clips of 3 frames or more, not {length}: --data.length 5")
    if settings.consistency.weight and length < 2:
        raise ConfigurationError("consistency is between neighbouring frames: clips need at least 2")
    if settings.consistency.unlabelled and not unlabelled:
        raise ConfigurationError("consistency.unlabelled asks for clips without labels, and there are none")


def _check_machine(settings: TrainSettings) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.accelerator == "gpu" and not gpus:
        raise ConfigurationError("accelerator gpu: torch finds no GPU here: take cpu, or leave it out")
    if settings.accelerator != "cpu" and gpus and settings.devices > gpus:
        raise ConfigurationError(f"devices {settings.devices}: there are {gpus} GPUs")


log = logging.getLogger("netwarp")

REPLAYED = 400
"""Most frames that a frozen network is replayed on: 10 MB each for a small network's logits at 480×360."""


def train(
    model: VideoModel,
    samples: Sequence[Sample],
    settings: TrainSettings | None = None,
    *,
    classes: int,
    unlabelled: Sequence[Sample] = (),
    validation: ClipData | None = None,
    cache: Path | str | None = None,
    folder: Path | str | None = None,
    replay: bool = True,
    caller: Mapping[str, Any] | None = None,
    watch: Callable[[StepRecord], None] | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train what requires gradients of a model (paper, section 3.1, "Usage and Training").

    With a folder, the training survives its process: called again with the same arguments it goes on from the last
    checkpoint, and on a CPU ends with bitwise the weights that it would have had undisturbed. A checkpoint of another
    training is refused, but a finished one goes on where only ``steps`` are more: at the rate that the longer
    training has there.

    With several devices, this process starts the others, each of which runs the same program again up to this call:
    one such call in a program.

    Args:
        model: With ``layers=[]`` the network itself is trained, frame by frame. In evaluation mode afterwards.
        samples: Clips of one length, the last frame of each labelled (:meth:`ClipData.samples`). 2 frames are the
            paper's pairs.
        settings: How; by default :class:`TrainSettings`'s.
        classes: Number of classes that labels have; the model may have more outputs.
        unlabelled: Clips of that length for the consistency loss alone (:meth:`ClipData.windows`).
        validation: Clips to validate on, as streams.
        cache: Folder that the model's flow of ``samples`` is kept in (:class:`SampleReader`).
        folder: Where ``log.csv``, ``last.ckpt``, ``best.safetensors``, and at the end ``model.safetensors`` and
            ``result.json`` go. None writes nothing.
        replay: On a CPU, without augmentation, and with at most :data:`REPLAYED` frames, whether the frozen beginning
            of the network runs once a frame (:func:`.frozen_prefix`). In batches of more than one clip
            that changes the last bits.
        caller: Plain values that must be the same for a checkpoint to be gone on from, beyond those that are known
            here; they go into ``result.json``.
        watch: Called after every step.
        progress: Show a bar.

    Returns:
        What came out. The model is trained; with ``patience`` it is the best of all validations.

    Raises:
        ConfigurationError: Arguments that make no sense together, or that this machine cannot do.
        InputError: A frame or its labels cannot be read or used.
        MissingExtraError: Lightning is not installed, or TensorBoard where it is asked for.
        OutputError: The folder cannot be written, is in use, or holds something else.
        WeightsError: The loss is not finite; or the checkpoint is damaged, or another training's. Nothing is lost.
        Interrupted: Ctrl-C or SIGTERM (a ``KeyboardInterrupt``), after a step is done and kept.
    """
    settings, caller = settings or TrainSettings(), dict(caller or {})
    place = None if folder is None else RunFolder(Path(folder))
    first = is_first_process(settings.devices)
    check_training(model, samples, settings, classes, unlabelled, validation, place)
    need_lightning()
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_lightning())
        from netwarp.training.loop import BetweenSteps, fit

        stack.callback(model.eval)
        stack.enter_context(left_as_it_was())
        stack.enter_context(frozen_as_told(model, settings.train_base, batch_norm=settings.freeze_batch_norm))
        groups = parameter_groups(model, settings)
        length = len(samples[0].frames)
        moves = length > 1 and (len(model.layers) > 0 or settings.consistency.weight > 0)
        reader, others = (SampleReader(clips, model.flow if moves else None, cache) for clips in (samples, unlabelled))
        beyond = beyond_paper(model, settings, length)
        marks, begun = {}, None
        if place is not None:
            marks = fingerprint(model, settings, samples, unlabelled, validation, caller)
            if first:
                stack.enter_context(place.taken())
            begun = _begun(place, marks)
        _warn_of_labels(samples, model.classes[:classes])
        weights = _weights(settings, samples, classes, len(model.classes))
        if begun is not None:
            assert place is not None
            restore(model, begun.tensors, place.last)

        signals = stack.enter_context(HeldSignals())
        bar = stack.enter_context(progress_bar(settings.steps, begun.step if begun else 0, progress and first))
        listeners = [bar, watch] if watch else [bar]
        between = BetweenSteps(settings, validation, place, marks, begun, signals, listeners)
        if begun is not None and first:
            log.info("%s step %d of %d", "done up to" if between.done else "going on from", begun.step, settings.steps)
        try:
            if not between.done:
                data = partial(WorkData, reader, others, settings, classes)
                again = replay and _comes_again(model, [*samples, *unlabelled], settings)
                with frozen_prefix(model.base) if again else contextlib.nullcontext():
                    fit(model, data, groups, settings, weights, classes, between, begun)
        except AtOnce:
            between.interrupted = True
        if between.interrupted:
            raise Interrupted(between.step, settings.steps, between.kept)
        result = TrainResult(
            steps=between.step,
            records=between.records,
            stopped_early=between.stopped_early,
            kept=_keep_best(model, settings, between, place),
            best=between.best,
            seconds=between.seconds,
            beyond_paper=beyond,
        )
        if place is not None and first:
            model.save(place.model)
            write_result(place.result, result, settings, caller)
            place.forget_checkpoints(all_of_them=False)
    return result


def _comes_again(model: VideoModel, samples: Sequence[Sample], settings: TrainSettings) -> bool:
    """Whether a frozen part of the network sees the same pictures again and again, few enough to be kept in memory."""
    frozen = any(not parameter.requires_grad for parameter in model.base.parameters())
    frames = {frame.name for sample in samples for frame in sample.frames}
    on_cpu = settings.accelerator == "cpu" or (settings.accelerator == "auto" and not torch.cuda.is_available())
    return frozen and on_cpu and settings.augment == Augmentation() and len(frames) <= REPLAYED


def _begun(place: RunFolder, marks: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint to go on from; None where there is none."""
    begun = place.newest()
    if begun is not None and (other := difference(begun.fingerprint, marks, begun.step)):
        raise WeightsError(
            f"{place.last} is of another training ({other}): name another folder, or go back to what it was"
        )
    return begun


def _weights(settings: TrainSettings, samples: Sequence[Sample], classes: int, outputs: int) -> Tensor | None:
    """Of the classes in the loss; outputs that no label has count 1, which changes nothing."""
    if settings.class_weights == "none":
        return None
    if isinstance(settings.class_weights, str):
        labels = (frame.labels() for frame in (sample.frames[-1] for sample in samples) if frame.labels is not None)
        weights = class_weights(labels, classes, settings.class_weight_constant)
    else:
        weights = torch.tensor(settings.class_weights)
    return torch.cat([weights, torch.ones(outputs - classes)])


def _warn_of_labels(samples: Sequence[Sample], names: Sequence[str]) -> None:
    """Say before the first step which classes have no pixel to learn from."""
    labels = [frame.labels for frame in (sample.frames[-1] for sample in samples) if frame.labels is not None]
    try:
        doubt = never_labelled(label_counts(labels).tolist(), names)
    except NetWarpError:  # said when its step is due, with a checkpoint of all steps before
        return
    if doubt:
        log.warning("in what is trained on, %s", doubt)


def _keep_best(model: VideoModel, settings: TrainSettings, between: BetweenSteps, place: RunFolder | None) -> int:
    """With ``patience``, make the model what it was at the best validation; how many steps it has had then."""
    best = between.best
    if settings.patience is None or best is None or best.step == between.step:
        return between.step
    if between.best_tensors is not None:
        restore(model, between.best_tensors, "the best validation")
    elif place is not None:
        restore(model, read(place.best).tensors, place.best)
    return best.step
