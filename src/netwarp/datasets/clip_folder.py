"""Open any folder of clips with labels on some of their frames; ``docs/data.md`` describes its layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from netwarp.class_lists import read_class_list
from netwarp.datasets.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.datasets.colour_labels import LabelReader
from netwarp.datasets.frame_numbers import clips_of, frame_number, runs
from netwarp.datasets.video_frames import VideoFrames, is_video
from netwarp.errors import ConfigurationError, InputError, unknown_name
from netwarp.label_sets import LabelMap
from netwarp.video.images import images_in, is_image, natural_key, read_image
from netwarp.video.label_maps import is_label_map

_CLASSES = "classes.txt"
_STEP = "step.txt"
_FRAMES = "frames"
_LABELS = "labels"


def clip_folder(
    root: Path,
    split: str,
    length: int = 2,
    cache: Path | None = None,
    *,
    values: Mapping[int, int] | None = None,
) -> ClipData:
    """Open a folder of clips.

    A clip is a folder of images, ``SPLIT/frames/CLIP/``, or a video, ``SPLIT/frames/CLIP.mp4``; labels are
    ``SPLIT/labels/CLIP/NAME.png`` (or .tif, .bmp), by the image's name or the frame's index in the video: numbers, or
    the colours of ``classes.txt``; ``values`` says which labels some numbers stand for. Images follow each other
    where the last numbers in their names differ by 1, or at most by the number in ``step.txt``. Of a video, the frames
    with labels and the ``length − 1`` before each are taken out, once, and kept.
    """
    if length < 1:
        raise ConfigurationError(f"length must be at least 1, not {length}")
    splits = splits_in(root)
    if split not in splits:
        raise unknown_name(f"split in {root}", split, splits)
    listed = read_class_list(root / _CLASSES)
    step = _step(root / _STEP)
    labels, left_out = _labels(root / split / _LABELS)
    read = LabelReader(root / _CLASSES, listed, values)
    clips: list[Clip] = []
    for name, source in _sources(root / split / _FRAMES).items():
        its_labels = labels.pop(name, {})
        if source.is_dir():
            found, missing = _of_images(name, source, its_labels, read, step)
        else:
            found, missing = _of_video(name, source, its_labels, read, length, cache)
        clips += found
        left_out += missing
    for name, files in labels.items():
        left_out += [LeftOut(f"{name}/{stem}", f"there is no clip {name} in {_FRAMES}/") for stem in files]
    return ClipData(f"{root.name} {split}", listed.label_set(), tuple(clips), tuple(left_out))


def splits_in(root: Path) -> tuple[str, ...]:
    """List the splits of a folder: the folders in it that hold ``frames/``."""
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder: give one that holds {_CLASSES} and SPLIT/{_FRAMES}/CLIP/ for each clip"
        )
    splits = tuple(sorted(entry.name for entry in root.iterdir() if (entry / _FRAMES).is_dir()))
    if not splits:
        raise InputError(f"{root} holds no clips: expected {_CLASSES}, SPLIT/{_FRAMES}/CLIP/ and SPLIT/{_LABELS}/CLIP/")
    return splits


def _step(path: Path) -> int:
    """Read how far numbers of neighbouring frames may lie apart."""
    if not path.exists():
        return 1
    try:
        step = int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        step = 0
    if step < 1:
        raise InputError(f"{path} must hold one whole number from 1: how far numbers of neighbours lie apart")
    return step


def _labels(folder: Path) -> tuple[dict[str, dict[str, Path]], list[LeftOut]]:
    """Map each clip to the labels of its frames, by their names; what else lies there is left out."""
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: labels belong into {folder}/CLIP/NAME.png")
    found: dict[str, dict[str, Path]] = {}
    left_out: list[LeftOut] = []
    for clip in sorted((entry for entry in folder.iterdir() if entry.is_dir()), key=natural_key):
        labels = found[clip.name] = {}
        for path in sorted((path for path in clip.iterdir() if not path.name.startswith(".")), key=natural_key):
            if not is_label_map(path):
                if is_image(path):
                    why = f"labels are PNG, TIFF or BMP, not {path.suffix}"
                    left_out.append(LeftOut(f"{clip.name}/{path.name}", why))
                continue
            if path.stem in labels:
                raise InputError(f"{path} and {labels[path.stem].name} both label frame {path.stem}: remove one")
            labels[path.stem] = path
    return found, left_out


def _sources(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir(), key=natural_key):
        if entry.name.startswith("."):
            continue
        if entry.is_file() and is_image(entry):
            raise InputError(f"{entry} is in no clip: images belong into {folder}/CLIP/")
        if not entry.is_dir() and not is_video(entry):
            continue
        name = entry.name if entry.is_dir() else entry.stem
        if name in found:
            raise InputError(f"{found[name]} and {entry} are both called {name}: rename one, and its labels' folder")
        found[name] = entry
    if not found:
        raise InputError(f"{folder} holds no clips: put folders of images or videos into it")
    return found


def _of_images(
    clip: str, folder: Path, labels: dict[str, Path], read: Callable[[Path], LabelMap], step: int
) -> tuple[list[Clip], list[LeftOut]]:
    images: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in images:
            raise InputError(f"{path} and {images[path.stem].name} are both frame {path.stem}: remove one of them")
        images[path.stem] = path
    frames = {
        stem: ClipFrame(f"{clip}/{stem}", partial(read_image, path), _labeller(labels.get(stem), read))
        for stem, path in images.items()
    }
    found = runs(images, lambda *stems: _follow(stems, step))
    clips = [Clip(frames[run[0]].name, tuple(frames[stem] for stem in run)) for run in found]
    strays = [stem for stem in labels if stem not in images]
    return clips, [LeftOut(f"{clip}/{stem}", f"there is no frame of its name in {folder}") for stem in strays]


def _of_video(
    clip: str,
    video: Path,
    labels: dict[str, Path],
    read: Callable[[Path], LabelMap],
    length: int,
    cache: Path | None,
) -> tuple[list[Clip], list[LeftOut]]:
    numbered: dict[int, Path] = {}
    for path in labels.values():
        index = _index(path)
        if index in numbered:
            raise InputError(f"{path} and {numbered[index].name} both label frame {index}: remove one of them")
        numbered[index] = path
    wanted = {n for index in numbered for n in range(max(0, index - length + 1), index + 1)}
    kept = VideoFrames(video, cache)
    kept.take(wanted)
    frames = {
        n: ClipFrame(f"{clip}/{n:06d}", kept.reader(n), _labeller(numbered.get(n), read)) for n in wanted if kept.has(n)
    }
    strays = [path.stem for index, path in numbered.items() if index not in frames]
    return (
        clips_of(frames),
        [LeftOut(f"{clip}/{stem}", f"{video.name} has no frame of its number") for stem in strays],
    )


def _labeller(path: Path | None, read: Callable[[Path], LabelMap]) -> Callable[[], LabelMap] | None:
    return None if path is None else partial(read, path)


def _index(label: Path) -> int:
    if not (label.stem.isascii() and label.stem.isdecimal()):
        raise InputError(f"{label} belongs to a video: name it by its frame's index from 0, such as 000123.png")
    return int(label.stem)


def _follow(stems: Sequence[str], step: int) -> bool:
    """Whether no frame is missing between two names."""
    one, other = map(frame_number, stems)
    if one is None or other is None:
        return one is other
    return (one.before, one.after) == (other.before, other.after) and 1 <= other.number - one.number <= step
