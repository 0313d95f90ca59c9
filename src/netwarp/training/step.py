"""A step of training, for Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from netwarp.datasets.samples import Batch
from netwarp.distributed import Peers, all_processes, fail_together
from netwarp.errors import NetWarpError, WeightsError
from netwarp.metrics import confusion_matrix, mean_iou
from netwarp.model import PhotometricGate, VideoModel
from netwarp.training.batches import Part, Work, torch_seed
from netwarp.training.logs import StepRecord
from netwarp.training.losses import consistency_sum, label_weight, segmentation_sum
from netwarp.training.parameters import share_of_rate
from netwarp.training.settings import TrainSettings

__all__ = ["TrainingModule"]

SEEN_BY_IOU = 4
"""Every so manieth row and column is plenty for a sign of life."""


class TrainingModule(LightningModule):
    """A video model and how a step changes it.

    A step is a function of weights, optimiser state, and its number; nothing else is carried from step to step. Its
    batches are summed with weights that make them one large batch, however many devices share it.

    Attributes:
        peers: All processes of the training.
        record: Of the last step.
        failure: An error of this process, for all to raise at the next step; or None.
        between: Whether the model is between two steps, and not somewhere in one.
    """

    def __init__(
        self,
        model: VideoModel,
        groups: list[dict[str, Any]],
        settings: TrainSettings,
        weights: Tensor | None,
        classes: int,
        load: Callable[[Peers], DataLoader[Work]],
        optimiser: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self._weights_here = weights  # with the data, before it goes to the device
        self.register_buffer("weights", weights, persistent=False)
        self.weights: Tensor | None
        if settings.devices > 1:
            # Networks may have parts that do not run, and DDP has to look for them; where it finds none, it says so.
            self.unused = torch.nn.Parameter(torch.zeros(()))
        self.settings, self.classes = settings, classes
        self.gate = PhotometricGate()
        self.record: StepRecord | None = None
        self.failure: NetWarpError | None = None
        self.between = True
        self._groups, self._load, self._from = groups, load, optimiser
        self._rates = [group["lr"] for group in groups]

    @property
    def peers(self) -> Peers:
        """All processes of the training; known when it has begun."""
        return Peers(self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (paper, "Usage and Training"), where it was left."""
        optimiser = torch.optim.Adam(self._groups)
        if self._from is not None:
            optimiser.load_state_dict(self._from)
        return optimiser

    def train_dataloader(self) -> DataLoader[Work]:
        """This process's work."""
        return self._load(self.peers)

    def transfer_batch_to_device(self, batch: Work, device: torch.device, dataloader_idx: int) -> Work:
        """Its batches follow one by one: only one need fit the device."""
        return batch

    def training_step(self, work: Work, _: int) -> None:
        """Do a step; :attr:`record` says how it was."""
        peers, settings = self.peers, self.settings
        error = work.error or self.failure
        ours = sum(float(label_weight(_labels(part), self._weights_here)) for part in work.parts)
        pixels, failed = peers.sum([ours, error is not None])
        if failed:
            fail_together(error)

        self.between = False
        optimiser = self.optimizers()
        assert isinstance(optimiser, LightningOptimizer)
        optimiser.zero_grad()
        matrix = torch.zeros(self.classes, self.classes + 1, dtype=torch.int64)
        losses = torch.zeros(2, dtype=torch.float64)
        for number, part in enumerate(work.parts):
            part = part.to(self.device)
            _seed(torch_seed(work.step, number, peers.rank, settings.seed), self.device)
            with self._gradients_apart(number + 1 < len(work.parts)):
                labels, agreement, logits = self._losses(part, max(pixels, 1e-12))
                # DDP takes the mean over devices of what is already a share of the sum over all of them.
                self.manual_backward((labels + agreement) * peers.count)
            losses += torch.stack([labels, agreement]).detach().double().cpu()
            seen = (..., slice(None, None, SEEN_BY_IOU), slice(None, None, SEEN_BY_IOU))
            matrix += confusion_matrix(logits[seen].argmax(1), _labels(part)[seen], self.classes)
        gradient = self._clip()
        rate = share_of_rate(work.step, settings.steps)
        sums = peers.sum([*losses.tolist(), *matrix.flatten().tolist()])
        self._check_finite(work, sum(sums[:2]), gradient)
        for group, highest in zip(optimiser.param_groups, self._rates, strict=True):
            group["lr"] = highest * rate
        optimiser.step()
        self.between = True
        self.record = StepRecord(
            step=work.step + 1,
            loss=sum(sums[:2]),
            consistency=sums[1] if settings.consistency.weight else None,
            iou=mean_iou(torch.tensor(sums[2:]).view_as(matrix)),
            rate=max(self._rates) * rate,
            gradient=gradient,
        )

    def _losses(self, part: Part, pixels: float) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of a batch in the step's losses of labels and of consistency, and the labelled frames' logits."""
        settings = self.settings
        weight = settings.consistency.weight
        logits = self._unroll(part.labelled, every=weight > 0)
        labels = segmentation_sum(logits[-1], _labels(part), self.weights) / pixels
        agreement = labels.new_zeros(())
        if weight:
            clips = (settings.batch_size + settings.consistency.unlabelled) * settings.accumulate * self.peers.count
            batches = [(part.labelled, logits)]
            if part.unlabelled is not None:
                batches.append((part.unlabelled, self._unroll(part.unlabelled, every=True)))
            for batch, results in batches:
                assert batch.flows is not None
                agreement = agreement + consistency_sum(results, batch.frames, batch.flows, self.gate)
            agreement = agreement * (weight / clips)
        return labels, agreement, logits[-1]

    def _unroll(self, batch: Batch, every: bool) -> list[Tensor]:
        settings = self.settings
        logits = self.model.unroll(
            batch.frames, batch.flows, checkpoint=settings.recompute, every=every, detach=settings.detach_past
        )
        return [logits] if isinstance(logits, Tensor) else logits

    @contextmanager
    def _gradients_apart(self, apart: bool) -> Iterator[None]:
        """While it lasts, and if it is so, gradients stay on this device: another batch's are still to be added."""
        strategy = self.trainer.strategy
        with strategy.block_backward_sync() if apart and isinstance(strategy, ParallelStrategy) else nullcontext():
            yield

    def _clip(self) -> float:
        """Clip the gradient as the settings say; its norm before that."""
        parameters = [p for group in self._groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.settings.clip_gradient is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.clip_gradient, norm)
        return float(norm)

    def _check_finite(self, work: Work, loss: float, gradient: float) -> None:
        """Stop before anything is spoilt."""
        if math.isfinite(loss) and math.isfinite(gradient):
            return
        names = [name for theirs in all_processes(work.names) for name in theirs]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient is {gradient}"
        raise WeightsError(f"the {what} at step {work.step + 1} (frames {shown}): lower the learning rate")


def _labels(part: Part) -> Tensor:
    assert part.labelled.labels is not None  # WorkData has seen to it
    return part.labelled.labels


def _seed(seed: int, device: torch.device) -> None:
    """Seed the random numbers of the CPU and of the device that is trained on, and of no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
