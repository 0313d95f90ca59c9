"""A step of training: a function of weights, optimiser state, and its number."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from netwarp.distributed import Peers, all_processes, fail_together
from netwarp.errors import NetWarpError, WeightsError
from netwarp.metrics import confusion_matrix, mean_iou
from netwarp.model import PhotometricGate, VideoModel
from netwarp.model.netwarp import Flows
from netwarp.training.batches import Part, Work, torch_seed
from netwarp.training.logs import StepRecord
from netwarp.training.losses import consistency_sum, label_weight
from netwarp.training.parameters import share_of_rate
from netwarp.training.settings import TrainSettings

SAMPLING = (..., slice(None, None, 4), slice(None, None, 4))
"""Every fourth row and column is enough for a step's IoU in the log."""


class _Losses(nn.Module):
    """A batch's shares in the losses of a step; what DDP wraps."""

    def __init__(self, model: VideoModel, settings: TrainSettings, weights: Tensor | None, processes: int) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.register_buffer("weights", weights, persistent=False)
        self.weights: Tensor | None
        self.gate = PhotometricGate()
        self.clips = (settings.batch_size + settings.consistency.unlabelled) * settings.accumulate * processes
        if settings.devices > 1:
            # DDP has to look for parts that do not run, and warns where it finds none.
            self.unused = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        labelled: tuple[Tensor, Tensor | None, Tensor],
        unlabelled: tuple[Tensor, Tensor | None] | None,
        pixels: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of labels and of consistency, and the last frames' logits ``[B,classes,H,W]``.

        ``labelled`` and ``unlabelled`` are frames ``[B,T,3,H,W]``, flows ``[B,T-1,2,H,W]`` and the last frames' labels.
        """
        frames, flows, truth = labelled
        weight = self.settings.consistency.weight
        logits = self._unroll(frames, flows, every=weight > 0)
        labels = self.model.task.loss_sum(logits[-1], truth, self.weights) / pixels
        agreement = labels.new_zeros(())
        if weight:
            clips = [(frames, flows, logits)]
            if unlabelled is not None:
                clips.append((*unlabelled, self._unroll(*unlabelled, every=True)))
            for images, motion, results in clips:
                assert motion is not None
                agreement = agreement + consistency_sum(results, images, motion, self.gate, self.model.task)
            agreement = agreement * (weight / self.clips)
        return labels, agreement, logits[-1].detach()

    def _unroll(self, frames: Tensor, flows: Tensor | None, every: bool) -> list[Tensor]:
        settings = self.settings
        if settings.keyframes and flows is not None:
            frames, flows = _two_keyframes(frames, flows, int(torch.randint(1, frames.shape[1], ())))
        logits = self.model.unroll(
            frames, flows, checkpoint=settings.recompute, every=every, detach=settings.detach_past
        )
        return [logits] if isinstance(logits, Tensor) else logits


class Stepper:
    """Changes a model step by step; each step's batches count as one large batch, over all devices.

    ``between`` says whether the model is between two steps, and not somewhere in one.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: VideoModel,
        groups: list[dict[str, Any]],
        settings: TrainSettings,
        weights: Tensor | None,
        classes: int,
        optimiser: dict[str, Any] | None,
    ) -> None:
        self.peers = Peers(fabric.device)
        self._losses = fabric.setup_module(_Losses(model, settings, weights, self.peers.count))
        # Adam (paper, "Usage and Training"), where it was left.
        self.optimiser = torch.optim.Adam(groups)
        if optimiser is not None:
            self.optimiser.load_state_dict(optimiser)
        self._fabric, self._settings, self._weights, self._classes = fabric, settings, weights, classes
        self._task = model.task
        self._rates = [group["lr"] for group in groups]
        self.between = True

    def __call__(self, work: Work, failure: NetWarpError | None) -> StepRecord:
        """Do a step, unless it or the one before failed in any process: then raise that error in all of them."""
        peers, settings = self.peers, self._settings
        error = work.error or failure
        ours = sum(float(label_weight(_labels(part), self._weights)) for part in work.parts)
        pixels, failed = peers.sum([ours, error is not None])
        if failed:
            fail_together(error)

        self.between = False
        self.optimiser.zero_grad()
        matrix = torch.zeros(self._classes, self._classes + 1, dtype=torch.int64)
        losses = torch.zeros(2, dtype=torch.float64)
        for number, part in enumerate(work.parts):
            # Batches go to the device one by one: only one need fit.
            part = part.to(self._fabric.device)
            _seed(torch_seed(work.step, number, peers.rank, settings.seed), self._fabric.device)
            # Gradients stay on this device while another batch's are still to be added.
            apart = settings.devices > 1 and number + 1 < len(work.parts)
            with self._fabric.no_backward_sync(self._losses, enabled=apart):
                labelled, others = (part.labelled.frames, part.labelled.flows, _labels(part)), part.unlabelled
                unlabelled = None if others is None else (others.frames, others.flows)
                labels, agreement, logits = self._losses(labelled, unlabelled, max(pixels, 1e-12))
                # DDP takes the mean over devices of what is already a share of the sum over all of them.
                self._fabric.backward((labels + agreement) * peers.count)
            losses += torch.stack([labels, agreement]).detach().double().cpu()
            predicted = self._task.one_label(logits[SAMPLING])
            matrix += confusion_matrix(predicted, _labels(part)[SAMPLING], self._classes)
        gradient = self._clip()
        rate = share_of_rate(work.step, settings.steps)
        sums = peers.sum([*losses.tolist(), *matrix.flatten().tolist()])
        _check_finite(work, sum(sums[:2]), gradient)
        for group, highest in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = highest * rate
        self.optimiser.step()
        self.between = True
        return StepRecord(
            step=work.step + 1,
            loss=sum(sums[:2]),
            consistency=sums[1] if settings.consistency.weight else None,
            iou=mean_iou(torch.tensor(sums[2:]).view_as(matrix)),
            rate=max(self._rates) * rate,
            gradient=gradient,
        )

    def _clip(self) -> float:
        """Clip the gradient as the settings say; its norm before that."""
        groups = self.optimiser.param_groups
        parameters = [p for group in groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self._settings.clip_gradient is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._settings.clip_gradient, norm)
        return float(norm)


def _check_finite(work: Work, loss: float, gradient: float) -> None:
    """Stop before the weights are spoilt."""
    if math.isfinite(loss) and math.isfinite(gradient):
        return
    names = [name for theirs in all_processes(work.names) for name in theirs]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient is {gradient}"
    raise WeightsError(f"the {what} at step {work.step + 1} (frames {shown}): lower the learning rate")


def _two_keyframes(frames: Tensor, flows: Tensor, gap: int) -> tuple[Tensor, Tensor]:
    """Leave the last frame of clips and the one ``gap`` frames before it, and compose the flows between them."""
    path = Flows(flows[:, -gap])
    for flow in flows[:, flows.shape[1] - gap + 1 :].unbind(1):
        path = Flows(flow).on_to(path)
    return frames[:, [-1 - gap, -1]], path.backward.unsqueeze(1)


def _labels(part: Part) -> Tensor:
    assert part.labelled.labels is not None  # WorkData has seen to it
    return part.labelled.labels


def _seed(seed: int, device: torch.device) -> None:
    """Seed the random numbers of the CPU and of the device that is trained on, and of no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
