"""The demo's story: render streets, train a network, make it a video network, compare with its control."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from netwarp.bases import load_base
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import ClipFrame, Sample
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import Scores
from netwarp.inference.threads import opencv_on_one_thread
from netwarp.lab.demo.summary import BASE, CONTROL, FREE, NETWARP
from netwarp.model import FlowCNN, PhotometricGate, VideoModel
from netwarp.streets import CLASSES, StreetFrame, Streets
from netwarp.streets.labelled_clips import rendered_data
from netwarp.training import Rates, StepRecord, TrainSettings, train
from netwarp.training.parameters import hold_w2

log = logging.getLogger("netwarp")

TEST_SEEDS = 5_000
SEEDS = 10_000
"""Story n takes the streets from n · SEEDS on for training, and from n · SEEDS + TEST_SEEDS on for testing."""


@dataclass(frozen=True)
class Settings:
    """How much of everything."""

    size: tuple[int, int]  # (height, width) of the video in pixels
    fps: float  # its frames a second
    train: tuple[int, int]  # clips to train on, and frames in each
    test: tuple[int, int]  # clips to test on, and frames in each
    base_steps: int  # batches that the network is trained for, frame by frame
    video_steps: int  # batches that NetWarp and its control are trained for, on pairs
    batch_size: int  # frames, or pairs, in a batch
    crop: tuple[int, int]  # (height, width) of the windows that the network is trained on


START = (0.5, 0.5)
"""A longer memory, such as (0.3, 0.7), is as good on validation streets. But training is on pairs and running is on
streams: where w2 comes near 1, small differences between classes add up over the frames."""

RECIPE = (
    "The paper's sum of the current and the warped previous representation, here the log-probabilities, with weights "
    "learnt per class from one half each on, and a FlowCNN at half the frame's size. The memory is the "
    "combined representation, and a photometric gate keeps out what the flow brought wrongly."
)
"""What :func:`_video_model` builds, in words."""

RENDERERS = 2
"""Threads that render: OpenCV and NumPy do most of it without Python's lock."""

FULL = Settings((180, 320), 15.0, (90, 3), (5, 24), 450, 60, 8, (144, 256))
QUICK = Settings((72, 128), 15.0, (2, 3), (2, 6), 6, 4, 4, (64, 96))


@dataclass
class Story:
    """What came out."""

    settings: Settings  # how much of everything
    seed: int  # which streets, and which random weights
    test: list[list[StreetFrame]] = field(default_factory=list)  # the clips that were tested on
    models: dict[str, VideoModel] = field(default_factory=dict)  # by the names of the table's rows
    scores: dict[str, Scores] = field(default_factory=dict)
    # [T,H,W] for each clip, of the network frame by frame and of NetWarp
    labels: dict[str, list[npt.NDArray[np.uint8]]] = field(default_factory=dict)
    # of the network, NetWarp and its control, step by step
    losses: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # what took how long

    @property
    def train_seeds(self) -> range:
        """The streets to train on."""
        return range(self.seed * SEEDS, self.seed * SEEDS + self.settings.train[0])

    @property
    def test_seeds(self) -> range:
        """The streets to test on."""
        first = self.seed * SEEDS + TEST_SEEDS
        return range(first, first + self.settings.test[0])

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long the block takes."""
        log.info("demo: %s", stage.lower())  # the bars are only seen on a terminal
        began = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


def tell(settings: Settings, seed: int, progress: bool) -> Story:
    """Render, train and compare."""
    story = Story(settings, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pairs = rendered_data(_render(story, progress)).samples(2)
        base = load_base("netwarp:streetnet", classes=CLASSES)
        base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _train(story, BASE, VideoModel(base, layers=[]), [Sample(pair.frames[1:]) for pair in pairs], progress)
        base.requires_grad_(False)
        control, warped = _video_model(base), _video_model(base)
        control.load_state_dict(warped.state_dict())
        _train(story, NETWARP, warped, pairs, progress)
        _train(story, CONTROL, hold_w2(control), pairs, progress)
    story.models[FREE] = VideoModel(base, training_free=True)
    # In the order of the table.
    story.models = {name: story.models[name] for name in (BASE, CONTROL, FREE, NETWARP)}
    _compare(story, progress)
    return story


def _render(story: Story, progress: bool) -> list[list[StreetFrame]]:
    """All clips: those for testing go into the story, those for training come back."""
    settings = story.settings
    train = Streets(story.train_seeds, settings.train[1], settings.size, settings.fps)
    test = Streets(story.test_seeds, settings.test[1], settings.size, settings.fps)
    work = [(streets, index) for streets in (test, train) for index in range(len(streets))]
    # Clips are rendered side by side: OpenCV's own threads would only get in their way.
    with story.timed("rendering"), opencv_on_one_thread(), ThreadPoolExecutor(RENDERERS) as pool:
        clips = pool.map(lambda job: job[0][job[1]], work)
        rendered = list(tqdm(clips, "Rendering streets", len(work), unit="clip", disable=not progress))
    story.test += rendered[: len(test)]
    return rendered[len(test) :]


def _video_model(base: nn.Module) -> VideoModel:
    """The NetWarp of the demo, which :data:`RECIPE` describes."""
    return VideoModel(
        base, ["log_probs"], flow_cnn=FlowCNN(stride=2), memory="fused", start=START, gate=PhotometricGate()
    )


def _train(story: Story, name: str, model: VideoModel, clips: Sequence[Sample], progress: bool) -> None:
    settings = story.settings
    alone = not model.layers
    how = TrainSettings(
        steps=settings.base_steps if alone else settings.video_steps,
        batch_size=settings.batch_size,
        rate=5e-3 if alone else 1e-3,
        rates=Rates(netwarps=None if alone else 1e-2),
        class_weights="inverse_log",
        class_weight_constant=1.05,
        augment=Augmentation(flip=0.5, crop=settings.crop if alone else None),
        seed=story.seed,
        accelerator="cpu",
    )
    with story.timed(name), tqdm(total=how.steps, desc=f"Training: {name.lower()}", disable=not progress) as bar:

        def watch(record: StepRecord) -> None:
            bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
            bar.update()

        story.losses[name] = train(model, clips, how, classes=len(CLASSES), watch=watch).losses
    story.models[name] = model


def _compare(story: Story, progress: bool) -> None:
    """Scores of all models, and the labels that the page shows."""
    ends = np.cumsum([len(clip) for clip in story.test])
    labels: dict[str, list[npt.NDArray[np.uint8]]] = {BASE: [], NETWARP: []}
    with (
        story.timed("comparing"),
        tqdm(total=ends[-1], desc="Comparing", unit="frame", disable=not progress) as bar,
    ):

        def advance() -> None:
            bar.update()

        def note(name: str, _: ClipFrame, found: Tensor) -> None:
            if name in labels:
                labels[name].append(found[0].to(torch.uint8).numpy())

        story.scores = evaluate(story.models, rendered_data(story.test), windows=(), on_frame=advance, on_labels=note)
    story.labels = {name: np.split(np.stack(maps), ends[:-1]) for name, maps in labels.items()}
