"""The data of a step: read, viewed at random and stacked, as a pure function of the step's number."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from netwarp.datasets.augment import draw_view
from netwarp.datasets.samples import Batch, LoadedSample, SampleReader, collate
from netwarp.errors import InputError, NetWarpError
from netwarp.label_sets import IGNORE
from netwarp.training.settings import TrainSettings

LABELLED, UNLABELLED = 0, 1
"""Two orders that have nothing to do with each other."""

_ORDER, _VIEW, _TORCH = range(3)


def clip_at(position: int, count: int, seed: int, stream: int = LABELLED) -> int:
    """Which clip is the ``position``-th to be trained on: all of them once in random order, then again in another.

    >>> sorted(clip_at(position, 4, seed=0) for position in range(4))
    [0, 1, 2, 3]
    """
    times, place = divmod(position, count)
    return int(_permutation(times, count, seed, stream)[place])


# One for what is trained on, one for what has no labels, and those that a batch across the end also needs.
@lru_cache(maxsize=4)
def _permutation(times: int, count: int, seed: int, stream: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _ORDER, stream, times]).permutation(count)


def view_generator(position: int, seed: int, stream: int = LABELLED) -> np.random.Generator:
    """What the view of the ``position``-th clip is drawn with."""
    return np.random.default_rng([seed, _VIEW, stream, position])


def torch_seed(step: int, part: int, rank: int, seed: int) -> int:
    """Seed of torch's random numbers (dropout) in a batch."""
    state = np.random.SeedSequence([seed, _TORCH, step, part, rank]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


class Part(NamedTuple):
    """One batch of a step: what is in memory at once."""

    labelled: Batch  # clips with labels
    unlabelled: Batch | None  # clips for the consistency loss alone, or None

    def to(self, device: torch.device) -> Part:
        unlabelled = None if self.unlabelled is None else self.unlabelled.to(device, non_blocking=True)
        return Part(self.labelled.to(device, non_blocking=True), unlabelled)


class Work(NamedTuple):
    """All that a process has to do in a step; ``DataLoader`` puts it into page-locked memory."""

    step: int  # its number, from 0
    parts: Sequence[Part]  # batches whose gradients are summed
    error: NetWarpError | None = None  # why there are none: what could not be read

    @property
    def names(self) -> list[str]:
        return [name for part in self.parts for name in part.labelled.names]


class WorkData(Dataset[Work]):
    """A process's work by the number of the step.

    What cannot be read becomes the step's error instead of being raised: work is made ahead, and the steps before it
    are still to be done.
    """

    def __init__(
        self, reader: SampleReader, unlabelled: SampleReader, settings: TrainSettings, classes: int, rank: int
    ) -> None:
        self.reader, self.unlabelled = reader, unlabelled
        self.settings, self.classes, self.rank = settings, classes, rank

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> Work:
        try:
            return Work(step, tuple(self._part(step, number) for number in range(self.settings.accumulate)))
        except NetWarpError as error:
            return Work(step, (), error)

    def _part(self, step: int, number: int) -> Part:
        s = self.settings
        # Which part of the step this is, counted over all devices.
        place = (step * s.accumulate + number) * s.devices + self.rank
        labelled = [self._clip(self.reader, place * s.batch_size + i, LABELLED) for i in range(s.batch_size)]
        for sample in labelled:
            self._check_labels(sample)
        more = s.consistency.unlabelled
        others = [self._clip(self.unlabelled, place * more + i, UNLABELLED) for i in range(more)]
        return Part(collate(labelled), collate(others) if others else None)

    def _clip(self, reader: SampleReader, position: int, stream: int) -> LoadedSample:
        seed = self.settings.seed
        sample = reader[clip_at(position, len(reader), seed, stream)]
        if stream == UNLABELLED:  # some windows end with a frame that has labels
            sample = replace(sample, labels=None)
        h, w = sample.frames.shape[-2:]
        return draw_view(self.settings.augment, view_generator(position, seed, stream), (h, w)).apply(sample)

    def _check_labels(self, sample: LoadedSample) -> None:
        if sample.labels is None:
            raise InputError(f"frame {sample.name} has no labels to train on")
        highest = int(sample.labels.masked_fill(sample.labels == IGNORE, 0).max())
        if highest >= self.classes:
            raise InputError(
                f"frame {sample.name} has label {highest}, but there are {self.classes} classes "
                f"(0 to {self.classes - 1}, and {IGNORE} = ignore)"
            )


_SHARED = Path("/dev/shm")


class _Sendable(Dataset[Work | bytes]):
    """Work as processes hand it over: in shared memory, or pickled where that has no room for it.

    Containers have 64 MB of it unless told otherwise, and PyTorch waits for ever for what found no room.
    """

    def __init__(self, data: WorkData) -> None:
        self.data = data

    def __getitem__(self, step: int) -> Work | bytes:
        work, workers = self.data[step], self.data.settings.workers
        if not workers or _room() >= workers * sum(_size_of(part) for part in work.parts):
            return work
        return pickle.dumps(work)


def _room() -> float:
    try:
        return float(shutil.disk_usage(_SHARED).free)
    except OSError:  # a system without it
        return math.inf


def _size_of(part: Part) -> int:
    batches = [part.labelled] if part.unlabelled is None else [part.labelled, part.unlabelled]
    tensors = (tensor for each in batches for tensor in (each.frames, each.labels, each.flows))
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _outlive_signals(_: int) -> None:
    """Leave signals to the process that trains, which still needs its batches: a scheduler sends them to all.

    What ends a process that is stuck when all is over comes twice.
    """
    came: list[int] = []

    def once(number: int, _: FrameType | None) -> None:
        if came:
            os._exit(1)
        came.append(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, once)


def work_loader(data: WorkData, steps: Sequence[int], device: torch.device) -> Iterator[Work]:
    """Work in order, made ahead by as many processes as the settings say."""
    loader = DataLoader(
        _Sendable(data),
        worker_init_fn=_outlive_signals,
        batch_size=None,
        sampler=steps,
        num_workers=data.settings.workers,
        pin_memory=device.type == "cuda",
        # Of its own, since loaders draw a number that they do not need.
        generator=torch.Generator(),
    )
    for work in loader:
        yield work if isinstance(work, Work) else pickle.loads(work)
