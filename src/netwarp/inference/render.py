"""Write a segmented video: an overlay video, label maps, or both."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.inference.drawing import folder_for, label_files, legend_of, painter
from netwarp.inference.keyframes import KeyframePolicy
from netwarp.inference.labeller import EdgesChoice
from netwarp.inference.sliding import Sliding
from netwarp.inference.stream import Segmented, segment
from netwarp.inference.threads import Prefetcher
from netwarp.label_sets import LabelSet
from netwarp.model import VideoModel
from netwarp.output_places import check_apart, check_places
from netwarp.video.label_files import LabelFile
from netwarp.video.label_maps import ConfidenceFolder
from netwarp.video.overlay import side_by_side, size_beside
from netwarp.video.source import Frame, FrameSource, Image, Wrapped
from netwarp.video.writer import VideoWriter, check_frame_size

log = logging.getLogger("netwarp")

CAPTIONS = ("frame by frame", "video network")
"""Captions of the halves of a side-by-side video."""
LATE = 5.0
"""Seconds behind a camera from which on it is said."""


@dataclass(frozen=True)
class Rendered:
    """What was written: frames, on how many the network ran (in windows: shares of it), and seconds to finished files.

    ``damage`` is the input's, in one line. Of a camera or a stream, ``dropped`` frames were left out, and the labels of
    the last ones came ``lag`` seconds after their frames, in the median.
    """

    frames: int
    keyframes: float
    seconds: float
    damage: str | None
    dropped: int = 0
    lag: float | None = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while rendering: the ``frames`` written until then are finished, in ``video``; no video without any.

    ``dropped`` and ``lag`` are as in :class:`Rendered`; ``files`` are ``areas`` and ``rle``.
    """

    def __init__(
        self,
        frames: int,
        video: Path | None = None,
        dropped: int = 0,
        lag: float | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__(f"interrupted after frame {frames}" if frames else "interrupted before the first frame")
        self.frames, self.video, self.dropped, self.lag, self.files = frames, video, dropped, lag, files or {}


def render(
    source: FrameSource,
    model: VideoModel | Sliding,
    *,
    video: Path | None = None,
    masks: Path | None = None,
    confidence: Path | None = None,
    doubt: Path | None = None,
    areas: Path | None = None,
    rle: Path | None = None,
    compare: bool = False,
    alpha: float = 0.5,
    legend: bool = False,
    quality: int = 18,
    clean: bool = False,
    detect_cuts: bool = True,
    keyframes: str | int | KeyframePolicy | type = "all",
    edges: EdgesChoice = "auto",
    lag: int = 0,
    offline: bool = False,
    value_range: tuple[float, float] | None = None,
    every_frame: bool = False,
    on_frame: Callable[[Segmented], None] | None = None,
) -> Rendered:
    """Segment a video and write the result, frame by frame, in memory that does not grow with its length.

    Drawing and encoding run on the caller's thread, the network on the next frame on another, and reading and flow
    (:func:`.segment`) on the one after that. If the input is damaged, or on Ctrl-C after the frame that is under way,
    what was read is written and the files are finished. Any other error leaves no video, and only whole masks. The
    network's thread does not know the caller's modes, such as ``torch.autocast``.

    The overlay ``video`` has the source's rate, time stamps, shape of pixels and sound. It replaces an existing file at
    the end, but never on Ctrl-C. The folder ``masks`` gets indexed PNG of each frame's own size, named as the image or
    by the frame's index; those of an earlier run that stay beside them are said, or removed with ``clean``.
    ``confidence`` gets the probability of each label likewise, as gray PNG of 0 to 255, and ``doubt`` with
    ``keyframes`` the doubt in labels that were carried (:class:`.Segmented`). The files ``areas`` (CSV) and
    ``rle`` (JSON, COCO's run lengths) get numbers of each frame (:mod:`netwarp.video.label_files`), and are there when
    all is.
    ``compare`` shows the network frame by frame beside the model. ``alpha`` is the opacity of the classes' colours,
    0–1, and ``legend`` draws the names of those that occur (:class:`netwarp.video.legend.Legend`); ``quality`` is the
    video's constant rate factor, 0 (lossless) to 51 (worst). A regression network's values are written as 32-bit TIFF,
    or with a ``value_range`` as 16-bit PNG, and as colours into the video. ``on_frame`` is called after each frame.
    ``keyframes``, ``edges``, ``lag``, ``offline`` and ``every_frame`` are those of :func:`.segment`. The video of a
    camera or a stream plays while it grows.
    """
    if not any((video, masks, confidence, doubt, areas, rle)):
        raise ConfigurationError("nothing to write: give a video, a folder for masks, or both")
    if not 0 <= alpha <= 1:
        raise ConfigurationError(f"alpha must be from 0 to 1, not {alpha}")
    check_apart({"video": video, "masks": masks, "confidence": confidence, "doubt": doubt, "areas": areas, "rle": rle})
    check_places(source.paths, video=video, folders=(masks, confidence, doubt), files=(areas, rle))
    check_size(source, video, compare=compare)

    names = LabelSet(model.classes, model.palette)
    paint = painter(model.task, model.palette, alpha, value_range)
    named = legend_of(model.task, names) if legend else None

    def picture(result: Segmented) -> Image:
        drawn = paint(result.frame, result.labels)
        if result.base_labels is not None:
            drawn = side_by_side(paint(result.frame, result.base_labels), drawn, CAPTIONS)
        return drawn if named is None else named.draw(drawn, result.labels)

    reading = _UntilDamage(source)
    # Before anything is made on disk: it may refuse the model.
    results = segment(
        reading,
        model,
        detect_cuts=detect_cuts,
        compare=compare,
        keyframes=keyframes,
        edges=edges,
        lag=lag,
        offline=offline,
        confidence=confidence is not None or doubt is not None,
        every_frame=every_frame,
    )
    live, behind, dropped = source.live and source.length is None, _Lag(), 0
    files: dict[str, LabelFile] = {}
    began, frames, network_ran, writer, done = time.perf_counter(), 0, 0.0, None, False
    try:
        with (
            _no_empty_folders(
                [p for p in (*(f and f.parent for f in (video, areas, rle)), masks, confidence, doubt) if p]
            ),
            ExitStack() as stack,
        ):
            stack.enter_context(source)
            files = label_files(model.task, names, areas=areas, rle=rle, inputs=source.paths, live=live)
            folder = None
            if masks is not None:
                opened = folder_for(model.task, masks, names, source.paths, value_range, clean=clean)
                folder = stack.enter_context(opened)
            gray = {
                what: stack.enter_context(ConfidenceFolder(place, inputs=source.paths, clean=clean))
                for what, place in (("confidence", confidence), ("doubt", doubt))
                if place is not None
            }
            if video is not None:
                writer = VideoWriter(
                    video, fps=source.fps, quality=quality, inputs=source.paths,
                    pixel_aspect=source.pixel_aspect, sound=source.sound, growing=live,
                )  # fmt: skip
                stack.enter_context(writer)
            for file in files.values():
                stack.enter_context(file)
            prepared = stack.enter_context(Prefetcher(results, name="netwarp-network"))
            stack.callback(source.stop)  # before the thread that waits for it is waited for
            for result in prepared:
                if folder is not None:
                    folder.write(result.labels, result.index, result.name)
                for what, pictures in gray.items():
                    if (shown := getattr(result, what)) is not None:
                        pictures.write(shown, result.index, result.name)
                for file in files.values():
                    file.write(result.labels, result.index, result.time, result.name)
                if writer is not None:
                    writer.write(picture(result), result.time, result.duration, result.sound)
                frames += 1
                if live:
                    behind.add(result)
                    dropped = result.index + 1 - frames
                network_ran += result.network
                if on_frame is not None:
                    on_frame(result)
            done = True
    except KeyboardInterrupt as interrupt:
        if not done or any(each.written != each.path for each in (writer, *files.values()) if each is not None):
            # The writer's own count: it holds Ctrl-C back until a frame is whole.
            count, written = (frames, None) if writer is None else (writer.frames, writer.written)
            kept = {name: file.written for name, file in files.items() if file.written is not None}
            raise Interrupted(count, written, dropped, behind.median(), kept) from interrupt
    except NetWarpError:
        if places := [str(place) for place in (masks, confidence, doubt) if place is not None and frames]:
            log.warning("of %d frames the result is there, in %s", frames, " and ".join(places))
        raise
    seconds = time.perf_counter() - began
    return Rendered(frames, network_ran, seconds, reading.damage, dropped, behind.median())


class _Lag:
    """How many seconds after frames of a camera came their results are there, by the camera's clock and ours."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=256)
        self._least = math.inf
        self._warned = False

    def add(self, result: Segmented) -> None:
        """Count a result. What was read later than another frame, by the frames' times, had waited for so long."""
        read = time.monotonic() - result.latency - result.time
        self._least = min(self._least, read)
        self._last.append(result.latency + read - self._least)
        if self._last[-1] > LATE and not self._warned:
            self._warned = True
            log.warning("frame %d is %.1f s behind the camera", result.index, self._last[-1])

    def median(self) -> float | None:
        return median(self._last) if self._last else None


def check_size(source: FrameSource, video: Path | None, *, compare: bool) -> None:
    """See before the work that a source's frames, or two of them beside each other, fit into a video."""
    if video is not None and source.size is not None:
        check_frame_size(size_beside(source.size) if compare else source.size, video)


class _UntilDamage(Wrapped):
    """A source that ends at damage after its first frame; ``damage`` says in one line what was lost."""

    damage: str | None = None

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self.length = source.length

    def __iter__(self) -> Iterator[Frame]:
        frames, count = iter(self._source), 0
        while True:
            try:
                frame = next(frames, None)
            except InputError as error:
                if not count:
                    raise
                of = "" if self.length is None else f" of {self.length}"
                self.damage = f"{error}; reading ended after frame {count}{of}"
                return
            if frame is None:
                self.damage = self._source.loss
                return
            count += 1
            yield frame


@contextmanager
def _no_empty_folders(folders: Iterable[Path]) -> Iterator[None]:
    """If the block fails, remove folders that it made and left empty."""
    made = [place for folder in folders for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        for place in sorted(made, key=lambda p: len(p.parts), reverse=True):
            with suppress(OSError):
                place.rmdir()
        raise
