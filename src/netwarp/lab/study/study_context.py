"""Where units are done: data, folds and network, opened once in every process; and the processes that do them."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import multiprocessing
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from netwarp.bases import load_base
from netwarp.datasets.cityscapes import average_instance_sizes
from netwarp.datasets.class_order import doubts_about, in_order_of
from netwarp.datasets.clips import ClipData, ClipFrame
from netwarp.datasets.registry import open_data
from netwarp.errors import NetWarpError
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import Scores
from netwarp.lab.study.build import build, tested_model, trained_parameters
from netwarp.lab.study.folds import Fold, one_fold, two_folds
from netwarp.lab.study.rows import Row
from netwarp.lab.study.store import Store, Unit, UnitScores, data_digest, environment, weights_digest
from netwarp.lab.study.summary import scores_without_each_clip
from netwarp.lab.study.training import leave, resized, set_dropout, train_row
from netwarp.label_sets import LabelMap
from netwarp.metrics import confusion_matrix
from netwarp.model import VideoModel
from netwarp.model.layers import OUTPUTS
from netwarp.output_files import atomic_write
from netwarp.training.frozen_prefix import frozen_prefix

log = logging.getLogger("netwarp")

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
    size: tuple[int, int] | None = None  # (height, width) that frames get for the network; None for their own


class StudyContext(contextlib.ExitStack):
    """A place to work.

    What the frozen network returned for a frame is kept until it is left: rows that leave its inside alone have
    nothing of it to compute again, neither in training nor in testing.
    """

    def __init__(self, inputs: StudyInputs) -> None:
        super().__init__()
        self.inputs = inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # weights that nobody gave are the same in all processes
            base = load_base(inputs.base, inputs.weights, inputs.classes)
        names = cast(Sequence[str], base.classes)

        def opened(spec: str, split: str | None) -> ClipData:
            return in_order_of(open_data(spec, split, length=LENGTH_OF_VIDEOS, cache=inputs.cache), names)

        self.data = opened(inputs.data, inputs.split)  # the data set, its classes in the order of the network's
        # what makes one doubt that the network and the data mean the same by their classes, or None
        self.doubts = doubts_about(names, self.data)
        self.folds: tuple[Fold, ...]  # two halves of it both ways, or one fold, of two splits
        if inputs.test is None:
            self.folds = two_folds(self.data)
        else:
            self.folds = (one_fold(self.data, opened(inputs.test, inputs.test_split)),)
        set_dropout(resized(base, inputs.size), inputs.dropout)
        self.base = base.to(inputs.device).requires_grad_(False)  # the network, frozen, on the device
        # Convolutions and the warp are faster so on a CPU. Others' networks may mind.
        if inputs.base.startswith("netwarp:"):
            base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @cached_property
    def _replayed(self) -> nn.Module:
        """A copy of the network that remembers what it returned."""
        replayed = copy.deepcopy(self.base)
        self.enter_context(frozen_prefix(replayed))
        return replayed

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
            **({} if self.inputs.size is None else {"size": self.inputs.size}),
        }

    def do(self, unit: Unit, store: Store) -> UnitScores:
        """Build, train and score what a unit asks for, and keep it."""
        row, fold = unit.row, self.folds[unit.fold]
        inside = bool(row.trained) or any(layer not in OUTPUTS for layer in row.layers)
        # Hundreds of windows of every frame are too many to remember.
        again = not inside and row.windows is None
        model = build(row, self._replayed if again else self.base, unit.seed)
        losses: list[float] = []
        seconds: dict[str, float] = {}
        try:
            began = time.perf_counter()
            if row.trains:
                cache, goes_on = self.inputs.cache / "flow", row.kept or self.inputs.test is not None
                losses = train_row(
                    model, row, fold, unit.seed, device=self.inputs.device, cache=cache, replay=inside,
                    folder=store.training(unit) if goes_on else None,
                )  # fmt: skip
                seconds["training"] = time.perf_counter() - began
                began = time.perf_counter()
            scores, maps, left_out = self._score(model, row, fold.test)
            seconds["testing"] = time.perf_counter() - began
            parameters = sum(trained_parameters(model).values())
        finally:
            model.remove()
        values: dict[str, Any] = {name: scores[name] for name in ("miou", "tiou", "tc", "frames", "iiou")}
        for name in ("per_class", "iiou_per_class"):
            values[name] = dict(zip(self.data.classes.names, scores[name], strict=True))
        values["tiou_per_class"] = dict(zip(self.data.classes.names, scores["tiou_per_class"][2], strict=True))
        draws = scores.get("resampled") or {"miou": (), "tiou": {2: ()}, "tc": ()}
        values["resampled"] = {"miou": draws["miou"], "tiou2": draws["tiou"][2], "tc": draws["tc"]}
        done = UnitScores(
            row=row.name,
            fold=unit.fold,
            seed=unit.seed,
            loss=_ends(losses),
            parameters=parameters,
            seconds=seconds,
            settings=row.settings(),
            left_out=left_out,
            **values,
        )
        if store.wants_pictures(unit):
            with atomic_write(store.pictures(unit)) as file:
                np.savez_compressed(file, **cast(dict[str, Any], maps))
        store.keep(unit, done)
        leave(store.training(unit), kept=row.kept)
        return done

    def _score(
        self, model: VideoModel, row: Row, data: ClipData
    ) -> tuple[Scores, dict[str, LabelMap], dict[str, float]]:
        """Scores of a stream, label maps of the frames that pictures are made of, and IoU without each clip."""
        wanted = {frame.name for frame in pictured(data)}
        maps: dict[str, LabelMap] = {}
        clip_of = {frame.name: clip.name for clip in data.clips for frame in clip.frames}
        confusions: dict[str, Tensor] = {}  # by clip

        def note(_: str, frame: ClipFrame, labels: Tensor) -> None:
            if self.inputs.test is not None and frame.labels is not None:
                clip, truth = clip_of[frame.name], torch.from_numpy(frame.labels().astype("int64"))[None]
                confusion = confusion_matrix(labels.cpu(), truth, len(data.classes))
                confusions[clip] = confusions.get(clip, 0) + confusion
            if frame.name in wanted:
                maps[frame.name] = labels[0].clamp(max=255).byte().cpu().numpy()

        scores = evaluate(
            {"row": tested_model(row, model)},
            data,
            widths=WIDTHS,
            windows=(),
            average_sizes=average_instance_sizes(data.classes.names),
            history=self.inputs.history,
            keyframes=row.keyframes,
            edges=row.edges,
            offline=row.offline,
            intervals=True,
            on_labels=note,
        )
        return scores["row"], maps, scores_without_each_clip(confusions)


def _ends(losses: Sequence[float]) -> tuple[float, float]:
    """The mean loss over the first and over the last tenth of the steps; nan without steps."""
    count = max(len(losses) // 10, 1)
    return (statistics.fmean(losses[:count]), statistics.fmean(losses[-count:])) if losses else (math.nan, math.nan)


def pictured(data: ClipData) -> list[ClipFrame]:
    """Labelled frames of a half, evenly spaced and few enough to keep label maps of."""
    labelled = [frame for clip in data.clips for frame in clip.frames if frame.labels is not None]
    return labelled[:: math.ceil(len(labelled) / PICTURED)] if labelled else []


def run_units(
    units: Sequence[Unit], inputs: StudyInputs, store: Store, *, jobs: int, name: str, progress: bool
) -> list[UnitScores]:
    """Do what was not done before, in several processes of one thread each; killed, what was done stays done."""
    done: dict[Unit, UnitScores] = {}
    with tqdm(total=len(units), desc=name, unit="unit", disable=not progress) as bar:

        def finish(unit: Unit, scores: UnitScores) -> None:
            done[unit] = scores
            bar.update()
            log.info(
                "%s: %d/%d %s, fold %d, seed %d: IoU %.2f, tIoU %.2f, tc %.2f (%.0f s)",
                name, len(done), len(units), scores.row, scores.fold + 1, scores.seed,
                scores.miou, scores.tiou[2], scores.tc, sum(scores.seconds.values()),
            )  # fmt: skip

        for unit in units:
            if (kept := store.load(unit)) is not None:
                finish(unit, kept)
        left = [unit for unit in units if unit not in done]
        if min(jobs, len(left)) > 1:
            _in_processes(left, inputs, store, min(jobs, len(left)), finish)
        elif left:
            with StudyContext(inputs) as context:
                for unit in left:
                    finish(unit, context.do(unit, store))
    return [done[unit] for unit in units]


def _in_processes(
    units: Sequence[Unit], inputs: StudyInputs, store: Store, jobs: int, finish: Callable[[Unit, UnitScores], None]
) -> None:
    workers = dict(_start(inputs, store) for _ in range(jobs))
    left, busy = deque(units), dict[Connection, Unit]()
    idle = list(workers)
    try:
        while left or busy:
            for connection in idle[: len(left)]:
                busy[connection] = _next(left, busy.values(), store)
                with contextlib.suppress(BrokenPipeError):  # a process that died is noticed where its answer is awaited
                    connection.send(busy[connection])
            idle = cast(list[Connection], wait(list(busy)))
            for connection in idle:
                unit = busy.pop(connection)
                finish(unit, _answer(connection, unit))
    finally:
        for connection, process in workers.items():
            connection.close()  # whoever waits for work sees it and goes
            if connection in busy:
                process.kill()
        for process in workers.values():
            process.join()


def _next(left: deque[Unit], busy: Iterable[Unit], store: Store) -> Unit:
    """Take the first unit that need not wait for the training of another one that is worked on, or else the first."""
    trained = {store.training(unit) for unit in busy if unit.row.kept}
    unit = next((unit for unit in left if not unit.row.kept or store.training(unit) not in trained), left[0])
    left.remove(unit)
    return unit


def _start(inputs: StudyInputs, store: Store) -> tuple[Connection, BaseProcess]:
    # Spawned: a fork of a process with threads may hang.
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_work, args=(inputs, store, there), daemon=True)
    process.start()
    there.close()
    return here, process


def _answer(connection: Connection, unit: Unit) -> UnitScores:
    try:
        answer = connection.recv()
    except (EOFError, ConnectionResetError):
        raise NetWarpError(
            f"the process that worked on {unit.row.name!r} died, perhaps for want of memory: "
            "run the command again, with fewer --jobs, and it goes on where it was"
        ) from None
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, UnitScores)
    return answer


def _work(inputs: StudyInputs, store: Store, connection: Connection) -> None:
    """Do units until there are no more, or the process that hands them out is gone."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    context: StudyContext | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            unit = connection.recv()
            try:
                context = context or StudyContext(inputs)
                answer: UnitScores | Exception = context.do(unit, store)
            except NetWarpError as error:
                answer = error
            except Exception as error:  # which might not travel to another process
                answer = NetWarpError(f"{unit.row.name!r} failed with {type(error).__name__}: {error}")
            connection.send(answer)
