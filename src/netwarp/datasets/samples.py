"""Read samples as tensors, with flow, and stack them into batches."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netwarp.datasets.cache import DiskCache, RecentTensors, compact_flow, flow_key
from netwarp.datasets.clips import ClipFrame, Sample
from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import FLOWS, FlowEstimator, PrecomputedFlow, RAFTFlow, flow_source
from netwarp.imports import is_own


@dataclass(frozen=True, eq=False)
class LoadedSample:
    """A sample's pixels; its name is that of the labelled frame."""

    name: str
    frames: Tensor  # uint8 [T,3,H,W] RGB, the oldest first
    labels: Tensor | None  # uint8 [H,W] of the last frame, 255 = ignore
    flows: Tensor | None  # float32 [T-1,2,H,W], backward: flows[i] leads from frame i+1 to frame i


class SampleReader:
    """Reads samples when they are asked for. What was read lately stays in memory, flow also on disk.

    Flow that is estimated is rounded to 1/64 pixel or finer (:func:`netwarp.datasets.cache.compact_flow`) whether it is
    kept or not, so that results never depend on where it came from. It is estimated between whole frames;
    :meth:`netwarp.datasets.augment.Geometry.apply` transforms it along with them.

    A ``DataLoader`` takes it as it is; every worker process has a memory of its own.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        flow: str | FlowEstimator | None = "dis",
        cache: Path | str | None = None,
        memory: int = 1 << 29,
    ) -> None:
        self.samples = samples
        estimator = None if flow is None else flow_source(flow)
        self.true_flow = isinstance(estimator, str)
        self.flow = None if isinstance(estimator, str) else estimator
        if isinstance(self.flow, PrecomputedFlow):
            raise ConfigurationError(
                "precomputed flow is looked up by frame number, which samples do not have: "
                "estimate it, or let the data set read it as its true flow"
            )
        if self.true_flow:
            unknown = next((frame for sample in samples for frame in sample.frames[1:] if frame.flow is None), None)
            if unknown is not None:
                raise InputError(f"the true flow of frame {unknown.name} is not known: estimate it")
        self._settings = _settings(self.flow)
        self._disk = None if cache is None else DiskCache(cache)
        self._memory = RecentTensors(memory)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> LoadedSample:
        sample = self.samples[index]
        frames = torch.stack(self._frames(sample))
        size = frames.shape[-2:]
        labels = self._labels(sample.frames[-1], size)
        flows = None
        if self.flow is not None or self.true_flow:
            flows = torch.empty(len(frames) - 1, 2, *size)
            for i, (previous, frame) in enumerate(itertools.pairwise(sample.frames)):
                flows[i] = self._flow(frame, previous, size)
        return LoadedSample(sample.name, frames, None if labels is None else labels.clone(), flows)

    def _frames(self, sample: Sample) -> list[Tensor]:
        images = [self._image(frame) for frame in sample.frames]
        for frame, image in zip(sample.frames, images, strict=True):
            if image.shape != images[-1].shape:
                raise InputError(
                    f"frame {frame.name} is {_size(image)}, but {sample.name}, in the same sample, is "
                    f"{_size(images[-1])}: frames of a clip must have one size"
                )
        return images

    def _image(self, frame: ClipFrame) -> Tensor:
        def read() -> Tensor:
            image = frame.image()
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise InputError(f"frame {frame.name} is {image.dtype} {list(image.shape)}, not RGB uint8 [H,W,3]")
            return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))

        return self._memory.get((frame, "image"), read)

    def _labels(self, frame: ClipFrame, size: torch.Size) -> Tensor | None:
        read = frame.labels
        if read is None:
            return None
        labels = self._memory.get((frame, "labels"), lambda: torch.from_numpy(np.array(read())))
        if labels.shape != size:
            raise InputError(
                f"the labels of frame {frame.name} are {_size(labels)}, but the frame is {size[1]}×{size[0]}: "
                "both must have one size"
            )
        return labels

    def _flow(self, frame: ClipFrame, previous: ClipFrame, size: torch.Size) -> Tensor:
        def make() -> Tensor:
            flow = self._true_flow(frame) if self.true_flow else self._estimated_flow(frame, previous)
            if flow.shape != (2, *size) or not bool(flow.isfinite().all()):
                wrong = "" if bool(flow.isfinite().all()) else " with NaN or infinite values"
                raise InputError(
                    f"the flow of frame {frame.name} must be {[2, *size]} and finite, not {list(flow.shape)}{wrong}"
                )
            return flow

        return self._memory.get((frame, previous), make)

    def _true_flow(self, frame: ClipFrame) -> Tensor:
        assert frame.flow is not None
        return torch.from_numpy(np.array(frame.flow(), np.float32))

    def _estimated_flow(self, frame: ClipFrame, previous: ClipFrame) -> Tensor:
        estimator, current, before = self.flow, self._image(frame), self._image(previous)
        assert estimator is not None

        def estimate() -> Tensor:
            return compact_flow(estimator(current[None], before[None])[0])

        if self._disk is None or self._settings is None:
            return estimate()
        key = flow_key(current, before, self._settings)
        return torch.from_numpy(self._disk.get(key, lambda: estimate().numpy()))


def _settings(flow: FlowEstimator | None) -> str | None:
    """Name all that an estimator's flow depends on besides the frames; None where it does not say."""
    spec = getattr(flow, "spec", None)
    if isinstance(flow, RAFTFlow) and Path(flow.weights).is_file():
        return f"{spec} {hashlib.sha256(Path(flow.weights).read_bytes()).hexdigest()}"
    # An import path is no more than where the user's code lies, which may change.
    return spec if isinstance(spec, str) and not is_own(spec, tuple(FLOWS)) else None


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one size, stacked; the names are those of the labelled frames."""

    names: tuple[str, ...]
    frames: Tensor  # uint8 [B,T,3,H,W] RGB, the oldest first
    labels: Tensor | None  # int64 [B,H,W] of the last frames, 255 = ignore
    flows: Tensor | None  # float32 [B,T-1,2,H,W], backward, as in LoadedSample

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Copy the batch to a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Copy the batch to page-locked memory, from which a GPU copies without waiting; ``DataLoader`` calls this."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        rest = (None if tensor is None else change(tensor) for tensor in (self.labels, self.flows))
        return Batch(self.names, change(self.frames), *rest)


def collate(samples: Sequence[LoadedSample]) -> Batch:
    """Stack samples into a batch: ``DataLoader(…, collate_fn=collate)``."""
    first = samples[0]
    for sample in samples:
        if sample.frames.shape != first.frames.shape:
            (t, _, h, w), (t0, _, h0, w0) = sample.frames.shape, first.frames.shape
            raise InputError(
                f"{first.name} ({t0} frames of {w0}×{h0}) and {sample.name} ({t} of {w}×{h}) do not fit "
                "into one batch: crop them to one size, or use batches of 1"
            )
    return Batch(
        tuple(sample.name for sample in samples),
        torch.stack([sample.frames for sample in samples]),
        labels=labels if (labels := _stacked(samples, "labels")) is None else labels.long(),
        flows=_stacked(samples, "flows"),
    )


def _stacked(samples: Sequence[LoadedSample], what: str) -> Tensor | None:
    tensors = [getattr(sample, what) for sample in samples]
    missing = [sample.name for sample, tensor in zip(samples, tensors, strict=True) if tensor is None]
    if not missing:
        return torch.stack(tensors)
    if len(missing) < len(samples):
        raise InputError(
            f"{missing[0]} has no {what}, but others of its batch have: batch those with and without apart"
        )
    return None


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]}×{picture.shape[-2]}"
