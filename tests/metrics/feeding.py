"""Every metric, how to give it frames, and IoU by its definition; importable by other processes."""

import math
from pathlib import Path

import numpy as np
import torch

from netwarp.metrics import (
    InstanceIoU,
    IoU,
    Metric,
    TemporalConsistency,
    TrimapCurve,
    TrimapIoU,
    VideoConsistency,
    VideoConsistencyCurve,
    WarpedIoU,
)

CLASSES = 4
MAKE = {
    "IoU": lambda: IoU(CLASSES),
    "TrimapIoU": lambda: TrimapIoU(CLASSES, 2),
    "TrimapCurve": lambda: TrimapCurve(CLASSES, (1, 3)),
    "InstanceIoU": lambda: InstanceIoU(CLASSES),
    "InstanceIoU, sizes": lambda: InstanceIoU(CLASSES, {1: 7.0, 2: 11.5}),
    "TemporalConsistency": lambda: TemporalConsistency(),
    "VideoConsistency": lambda: VideoConsistency(3),
    "VideoConsistencyCurve": lambda: VideoConsistencyCurve((2, 4)),
    "VideoConsistencyCurve, script": lambda: VideoConsistencyCurve((2, 3), script=True),
    "WarpedIoU": lambda: WarpedIoU(CLASSES),
}


def slow_iou(prediction: np.ndarray, target: np.ndarray, classes: int) -> list[float]:
    """IoU of each class from its definition, by sets of pixels."""
    scores = []
    places = [i for i in np.ndindex(target.shape) if target[i] != 255]
    for c in range(classes):
        of_class = {i for i in places if target[i] == c}
        taken_for_it = {i for i in places if prediction[i] == c}
        union = of_class | taken_for_it
        scores.append(100 * len(of_class & taken_for_it) / len(union) if union else math.nan)
    return scores


def feed(metric: Metric, seed: int, *, singly: bool = False) -> None:
    """Give a metric a random clip of four frames, at once where it takes batches."""
    rng = np.random.default_rng(seed)
    target = np.kron(rng.choice([0, 1, 2, 3, 255], (4, 3, 3)), np.ones((1, 3, 3), int))
    target[1:] = np.where(rng.random((3, 9, 9)) < 0.9, target[:1], target[1:])
    prediction = np.where(rng.random(target.shape) < 0.8, target, rng.integers(0, CLASSES + 1, target.shape))
    maps = prediction, target
    if isinstance(metric, InstanceIoU):
        maps = *maps, rng.integers(0, 3, target.shape)
    elif isinstance(metric, (TemporalConsistency, WarpedIoU)):
        maps = prediction[:-1], prediction[1:], torch.from_numpy(rng.normal(0, 1, (3, 2, 9, 9)).astype(np.float32))
    elif isinstance(metric, VideoConsistencyCurve):
        metric.start_clip()
        singly = True
    for each in zip(*maps, strict=True) if singly else [maps]:
        metric.update(*each)


def reduced_in_process(rank: int, meeting: str, folder: str, seeds: list[list[int]]) -> None:
    """Count this process's clips, reduce three times, once with more clips between; keep what came out."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=len(seeds))
    first, *rest = seeds[rank]
    kept = {}
    for name, make in MAKE.items():
        metric = make()
        feed(metric, first)
        once, twice = metric.reduce(), metric.reduce()
        for seed in rest:
            feed(metric, seed)
        kept[name] = (once, twice, metric.reduce(), metric)
    torch.save(kept, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()
