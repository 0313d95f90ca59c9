"""Where units are done: the data, its folds and the network, opened once in every process that works."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from netwarp.bases import load_base
from netwarp.datasets.cityscapes import average_instance_sizes
from netwarp.datasets.class_order import doubts_about, in_order_of
from netwarp.datasets.clips import ClipData, ClipFrame
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import Scores
from netwarp.lab.output import written
from netwarp.lab.study.build import build, tested_model, trained_parameters
from netwarp.lab.study.folds import Fold, one_fold, two_folds
from netwarp.lab.study.rows import Row
from netwarp.lab.study.store import Store, Unit, UnitScores, data_digest, environment, weights_digest
from netwarp.lab.study.summary import Jackknife
from netwarp.lab.study.training import ends, leave, set_dropout, train_row
from netwarp.model import VideoModel
from netwarp.model.layers import OUTPUTS
from netwarp.training.frozen_prefix import frozen_prefix


class Clock:
    """A stopwatch with a hand for every stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}  # by stage

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


WIDTHS = tuple(range(1, 21))
"""Of the bands around label changes, in pixels."""

LENGTH_OF_VIDEOS = 10
"""Frames up to each label that are taken out of a video, where clips are videos with few labels."""

PICTURED = 100
"""Most frames of a fold of which label maps are kept, to choose crops from."""


@dataclass(frozen=True)
class StudyInputs:
    """What is measured, in words that travel to other processes."""

    data: str  # as for open_data
    split: str | None
    base: str  # as for load_base
    weights: str | None
    classes: int | Sequence[str] | None
    device: str  # "cpu" or a GPU
    cache: Path  # folder that estimated flow, and what else is slow to make, is kept in
    # data to test on, as data; None for two folds of data. With it there is one fold, and a row's training that was
    # cut off goes on where it was
    test: str | None = None
    test_split: str | None = None
    # how many frames before each labelled one are run, the same for all rows; None for whole clips
    history: int | None = None
    # share that the network's dropout layers leave out in training; None leaves that to the network
    dropout: float | None = None


class StudyContext(AbstractContextManager["StudyContext"]):
    """A place to work.

    What the frozen network returned for a frame is kept until it is left: rows that leave its inside alone have
    nothing of it to compute again, neither in training nor in testing.
    """

    def __init__(self, inputs: StudyInputs) -> None:
        self.inputs = inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # weights that nobody gave are the same in all processes
            base = load_base(inputs.base, inputs.weights, inputs.classes)

        names: Sequence[str] = base.classes  # type: ignore[assignment]

        def opened(spec: str, split: str | None) -> ClipData:
            data = open_data(spec, split, length=LENGTH_OF_VIDEOS, cache=inputs.cache)
            return in_order_of(data, names)

        self.data = opened(inputs.data, inputs.split)  # the data set, its classes in the order of the network's
        # what makes one doubt that the network and the data mean the same by their classes, or None
        self.doubts = doubts_about(names, self.data)
        self.folds: tuple[Fold, ...]  # two halves of it both ways, or one fold, of two splits
        if inputs.test is None:
            self.folds = two_folds(self.data)
        else:
            self.folds = (one_fold(self.data, opened(inputs.test, inputs.test_split)),)
        set_dropout(base, inputs.dropout)
        self.base = base.to(inputs.device).requires_grad_(False)  # the network, frozen, on the device
        # Convolutions and the warp are faster so on a CPU. Others' networks may mind.
        if inputs.base.startswith("netwarp:"):
            base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        self._stack = ExitStack()
        self._replayed: nn.Module | None = None

    def __exit__(self, *_: object) -> None:
        self._replayed = None
        self._stack.close()

    def identity(self) -> dict[str, Any]:
        """What all figures depend on besides a unit's settings: data, network, how both are used, versions."""
        parts = [self.data] if self.inputs.test is None else [self.folds[0].train, self.folds[0].test]
        return {
            **environment(self.inputs.device),
            "data": data_digest(*parts),
            "base": self.inputs.base,
            "weights": weights_digest(self.base),
            "dropout": self.inputs.dropout,
            "history": self.inputs.history,
        }

    def do(self, unit: Unit, store: Store) -> UnitScores:
        """Build, train and score what a unit asks for, and keep it."""
        clock = Clock()
        row, fold = unit.row, self.folds[unit.fold]
        inside = bool(row.trained) or any(layer not in OUTPUTS for layer in row.layers)
        # Hundreds of windows of every frame are too many to remember.
        again = not inside and row.windows is None
        model = build(row, self._replaying() if again else self.base, unit.seed)
        try:
            losses: list[float] = []
            if row.trains:
                with clock.timed("training"):
                    losses = train_row(
                        model,
                        row,
                        fold,
                        unit.seed,
                        device=self.inputs.device,
                        cache=self.inputs.cache / "flow",
                        replay=inside,
                        folder=None if self.inputs.test is None else store.training(unit),
                    )
            left_out = Jackknife(fold.test)
            with clock.timed("testing"):
                scores, maps = self._score(model, row, fold.test, left_out)
            parameters = sum(trained_parameters(model).values())
        finally:
            model.remove()
        figures = UnitScores(
            row=row.name,
            fold=unit.fold,
            seed=unit.seed,
            miou=scores["miou"],
            per_class=dict(zip(self.data.classes.names, scores["per_class"], strict=True)),
            tiou=scores["tiou"],
            tc=scores["tc"],
            frames=scores["frames"],
            loss=ends(losses),
            parameters=parameters,
            seconds=clock.seconds,
            settings=row.settings(),
            iiou=scores["iiou"],
            iiou_per_class=dict(zip(self.data.classes.names, scores["iiou_per_class"], strict=True)),
            left_out=left_out.scores(),
        )
        if store.wants_pictures(unit):
            _keep_maps(store.pictures(unit), maps)
        store.keep(unit, figures)
        leave(store.training(unit), kept=row.kept)
        return figures

    def _replaying(self) -> nn.Module:
        """A copy of the network that remembers what it returned."""
        if self._replayed is None:
            self._replayed = copy.deepcopy(self.base)
            self._stack.enter_context(frozen_prefix(self._replayed))
        return self._replayed

    def _score(
        self, model: VideoModel, row: Row, data: ClipData, left_out: Jackknife
    ) -> tuple[Scores, dict[str, npt.NDArray[np.uint8]]]:
        """Scores of a stream, and label maps of the frames that pictures are made of, by frame."""
        wanted = {frame.name for frame in pictured(data)}
        maps: dict[str, npt.NDArray[np.uint8]] = {}

        def note(_: str, frame: ClipFrame, labels: Tensor) -> None:
            if self.inputs.test is not None:
                left_out.add(frame, labels)
            if frame.name in wanted:
                maps[frame.name] = labels[0].clamp(max=255).byte().cpu().numpy()

        scores = evaluate(
            {"row": tested_model(row, model)},
            data,
            widths=WIDTHS,
            windows=(),
            average_sizes=average_instance_sizes(data.classes.names),
            history=self.inputs.history,
            on_labels=note,
        )
        return scores["row"], maps


def pictured(data: ClipData) -> list[ClipFrame]:
    """Labelled frames of a half, evenly spaced and few enough to keep label maps of."""
    labelled = [frame for clip in data.clips for frame in clip.frames if frame.labels is not None]
    return labelled[:: math.ceil(len(labelled) / PICTURED)] if labelled else []


def _keep_maps(path: Path, maps: dict[str, npt.NDArray[np.uint8]]) -> None:
    with written(path) as file:
        np.savez_compressed(file, **cast(dict[str, Any], maps))
