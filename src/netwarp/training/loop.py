"""The loop: step after step, and validation, log and checkpoint between steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from netwarp.datasets.clips import ClipData
from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.evaluation.evaluate import evaluate
from netwarp.model import VideoModel
from netwarp.training.batches import WorkData, work_loader
from netwarp.training.checkpoint import Checkpoint, RunFolder, trained_tensors, write_checkpoint
from netwarp.training.checks import runs_on_gpu
from netwarp.training.logs import Best, Log, StepRecord, ValidationScores, read_log
from netwarp.training.process_state import HeldSignals
from netwarp.training.settings import TrainSettings
from netwarp.training.step import Stepper

TIOU_WIDTH = 2

_ONE_VALUE = "more than 1 value per channel"
"""What PyTorch says of a batch norm that trains on a single value."""


def validate(model: VideoModel, data: ClipData) -> ValidationScores:
    """Score a model as it is, in evaluation mode; a call of all processes, each of which takes some of the clips.

    Of clips with few labels only those frames are run that a labelled one, or the one before it, depends on: as many
    as there are layers. A fused memory goes back to the beginning.
    """
    training = model.training
    history = len(model.layers) + 1 if model.memory == "previous" else None
    if not any(frame.labels for clip in data.clips for frame in clip.frames):
        history = None
    try:
        scores = evaluate({"model": model}, data, widths=(TIOU_WIDTH,), windows=(), history=history)["model"]
    finally:
        model.train(training)
    return ValidationScores(scores["miou"], scores["tiou"][TIOU_WIDTH], scores["tc"])


class BetweenSteps:
    """What is done between steps: validate, log, keep and tell, each when it is due.

    This process has ``folder`` to itself, or is not the first; ``fingerprint`` says which training it is.
    """

    def __init__(
        self,
        settings: TrainSettings,
        validation: ClipData | None,
        folder: RunFolder | None,
        fingerprint: dict[str, Any],
        begun: Checkpoint | None,
        signals: HeldSignals,
        listeners: Sequence[Callable[[StepRecord], None]],
    ) -> None:
        self.settings, self.validation, self.signals, self.listeners = settings, validation, signals, listeners
        self._folder, self._fingerprint = folder, fingerprint
        self.step = 0 if begun is None else begun.step  # how many steps are done
        self.kept = None if begun is None else begun.step  # how many of them a checkpoint holds, or None
        self.best = None if begun is None else begun.best  # the best validation so far
        self.best_tensors: dict[str, Tensor] | None = None  # what was trained then, where no folder keeps it
        # of all steps
        self.records = [] if folder is None or begun is None else read_log(folder.log, begun.step)
        self.interrupted = False  # whether it ended because it was asked to
        self.failure: NetWarpError | None = None  # an error of this process, for all to raise at the next step; or None
        self._log: Log | None = None
        self._before = 0.0 if begun is None else begun.seconds
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time that was trained, before an interruption too."""
        return self._before + time.perf_counter() - self._began

    @property
    def stopped_early(self) -> bool:
        """Whether validation has not got better for as often as the settings bear."""
        patience = self.settings.patience
        return patience is not None and self.best is not None and self.best.waited >= patience

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps or self.stopped_early

    def after(self, record: StepRecord, model: VideoModel, stepper: Stepper, fabric: Fabric) -> None:
        self.step = record.step
        improved = False
        if self.validation is not None and self._due(self.settings.validate_every):
            with fabric.autocast():
                record = replace(record, scores=validate(model, self.validation))
            improved = self._compare(record)
        self.records.append(record)
        self.interrupted = not self.done and stepper.peers.sum([self.signals.noted])[0] > 0
        try:
            self._keep(record, model, stepper, improved)
        except NetWarpError as error:
            self.failure = error
        if stepper.peers.rank == 0:
            for listener in self.listeners:
                listener(record)

    def rescue(self, model: VideoModel, stepper: Stepper) -> None:
        """Keep the steps that were done before one that failed, as far as they are whole."""
        # A step whose validation failed is not whole: it is done again.
        whole = bool(self.records) and self.records[-1].step == self.step
        due = self._log is not None and self.kept != self.step and whole
        if self._folder is not None and due and stepper.between and self.failure is None:
            with suppress(NetWarpError):
                self._write_checkpoint(self._folder, model, stepper)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _due(self, every: int | None) -> bool:
        return self.step == self.settings.steps or (every is not None and self.step % every == 0)

    def _compare(self, record: StepRecord) -> bool:
        score = float(getattr(record.scores, self.settings.monitor))
        before = self.best
        self.best = Best(record.step, score) if before is None else before.after(record.step, score)
        return self.best.step == record.step

    def _keep(self, record: StepRecord, model: VideoModel, stepper: Stepper, improved: bool) -> None:
        """Log and checkpoint, by the first process; the model where it is the best so far."""
        folder = self._folder
        if folder is None:
            if improved and self.settings.patience is not None:
                self.best_tensors = {k: v.detach().cpu().clone() for k, v in trained_tensors(model).items()}
            return
        if stepper.peers.rank > 0:
            return
        if self._log is None:
            self._log = Log(folder.log, folder.tensorboard if self.settings.tensorboard else None, record.step - 1)
        self._log.write(record)
        if improved and self.settings.validate_every is not None:
            model.save(folder.best)
        if improved or self.done or self.interrupted or self._due(self.settings.checkpoint_every):
            self._write_checkpoint(folder, model, stepper)

    def _write_checkpoint(self, folder: RunFolder, model: VideoModel, stepper: Stepper) -> None:
        checkpoint = Checkpoint(
            step=self.step,
            fingerprint=self._fingerprint,
            tensors=trained_tensors(model),
            optimiser=stepper.optimiser.state_dict(),
            best=self.best,
            seconds=self.seconds,
        )
        write_checkpoint(folder.last, checkpoint, logs=[folder.log])
        self.kept = self.step


def fit(
    model: VideoModel,
    data: Callable[[int], WorkData],
    groups: list[dict[str, Any]],
    settings: TrainSettings,
    weights: Tensor | None,
    classes: int,
    between: BetweenSteps,
    begun: Checkpoint | None,
) -> None:
    """Do the steps that are left."""
    home, on_gpu = next(model.parameters()).device, runs_on_gpu(settings)
    try:
        fabric = Fabric(
            accelerator="gpu" if on_gpu else "cpu",
            devices=[home.index or 0] if settings.devices == 1 and home.type == "cuda" and on_gpu else settings.devices,
            strategy="auto" if settings.devices == 1 else DDPStrategy(find_unused_parameters=True),
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        )
        fabric.launch()
        stepper = Stepper(fabric, model, groups, settings, weights, classes, None if begun is None else begun.optimiser)
        model.train()
        between.signals.hold()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("interrupted before the first step") from interrupt
    try:
        for work in work_loader(data(stepper.peers.rank), range(between.step, settings.steps), fabric.device):
            between.after(stepper(work, between.failure), model, stepper, fabric)
            if between.done or between.interrupted:
                break
    except NetWarpError:
        between.rescue(model, stepper)
        raise
    except ValueError as error:
        if _ONE_VALUE not in str(error):
            raise
        raise ConfigurationError(
            "a batch norm has one value a channel, of which there is no variance: give training.batch_size 2 or more, "
            "larger frames, or training.freeze_batch_norm true"
        ) from error
    finally:
        between.close()
        model.to(home)
    if between.failure is not None:
        raise between.failure
