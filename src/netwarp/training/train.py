"""Training from beginning to end, or from where it was killed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import ClipData, Sample
from netwarp.datasets.samples import SampleReader
from netwarp.distributed import is_first_process
from netwarp.errors import WeightsError
from netwarp.freed_memory import keep_freed_memory
from netwarp.model import VideoModel
from netwarp.model.model_file import read
from netwarp.training.batches import WorkData
from netwarp.training.checkpoint import Checkpoint, RunFolder, difference, fingerprint, restore
from netwarp.training.checks import check_training, runs_on_gpu, warn_of_crop, warn_of_labels
from netwarp.training.frozen_prefix import frozen_prefix
from netwarp.training.logs import StepRecord, TrainResult, progress_bar
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
from netwarp.training.result import beyond_paper, write_result
from netwarp.training.settings import TrainSettings

if TYPE_CHECKING:
    from netwarp.training.loop import BetweenSteps


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
        if begun is None:
            warn_of_crop(samples, settings.augment)
        warn_of_labels(samples, model.classes[:classes])
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
                # A validation's frames, which may be many, would take the room of those that are trained on.
                once = frozen_prefix(model.base, when=lambda: model.training)
                with once if again else contextlib.nullcontext():
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
            before=begun.step if begun else 0,
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
    return frozen and not runs_on_gpu(settings) and settings.augment == Augmentation() and len(frames) <= REPLAYED


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
