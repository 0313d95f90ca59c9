"""Every metric, how to give it frames, and IoU by its definition; importable by other processes."""

import math
from pathlib import Path

import numpy as np
import torch

from netwarp.metrics import (
    InstanceIoU,
    IoU,
    LabelConsistency,
    LabelIoU,
    Metric,
    TemporalConsistency,
    TrimapCurve,
    TrimapIoU,
    VideoConsistency,
    VideoConsistencyCurve,
    WarpedIoU,
    WarpingError,
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
    "LabelIoU": lambda: LabelIoU(CLASSES),
    "LabelConsistency": lambda: LabelConsistency(),
    "WarpingError": lambda: WarpingError(),
}
OF_OTHER_MAPS = "LabelIoU", "LabelConsistency", "WarpingError"
"""Those that are given something else than label maps."""


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
    elif isinstance(metric, LabelIoU):
        maps = torch.from_numpy(prediction[:, None] == np.arange(CLASSES)[:, None, None]), torch.from_numpy(target)
        if singly:
            maps = tuple(each[:, None] for each in maps)
    elif isinstance(metric, (TemporalConsistency, WarpedIoU, WarpingError)):
        maps = prediction[:-1], prediction[1:], torch.from_numpy(rng.normal(0, 1, (3, 2, 9, 9)).astype(np.float32))
        if isinstance(metric, (LabelConsistency, WarpingError)):  # a pair at a time, of several labels or values
            trust = [torch.from_numpy(rng.random((3, 1, 9, 9)))] if isinstance(metric, WarpingError) else []
            there = (torch.from_numpy(each[:, None] == np.arange(CLASSES)[:, None, None]).int() for each in maps[:2])
            maps, singly = tuple(each[:, None] for each in (*there, maps[2], *trust)), True
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
