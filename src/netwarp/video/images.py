"""Read frames from image files: a folder of them, a glob, or a single one."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from netwarp.errors import ConfigurationError, InputError
from netwarp.video.source import Frame, FrameSource, Image

_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"}
)
_DIGITS = re.compile(r"(\d+)")


def is_image(path: Path) -> bool:
    """Whether a file's name is that of a still image (GIF is read as video)."""
    return path.suffix.lower() in _SUFFIXES


def natural_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Build a sorting key that reads numbers in names as numbers.

    >>> sorted([Path("f10.png"), Path("f2.png"), Path("F1.png")], key=natural_key)[0].name
    'F1.png'
    """
    return tuple(
        tuple(
            (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold())
            for part in _DIGITS.split(name)
            if part
        )
        for name in path.parts
    )


def matching(pattern: str) -> list[Path]:
    """List the files that a glob names (``**`` goes into folders), hidden ones left out, in natural order."""
    found = (Path(match) for match in glob.iglob(pattern, recursive=True))  # noqa: PTH207 (takes absolute patterns)
    return sorted((path for path in found if path.is_file() and not path.name.startswith(".")), key=natural_key)


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder in natural order, hidden ones and sub-folders left out."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror or error}") from error
    images = sorted((entry for entry in entries if is_image(entry) and entry.is_file()), key=natural_key)
    if images:
        return images
    if not entries:
        raise InputError(f"{folder} is empty: name a folder of images or a video file")
    filled = [entry for entry in entries if entry.is_dir() and next(entry.glob("*.[jp][pn]*g"), None)]
    if filled:
        raise InputError(f"{folder} holds no images itself: did you mean {min(filled, key=natural_key)}?")
    raise InputError(f"{folder} holds no images among its {len(entries)} files: name a folder of images or a video")


def read_image(path: Path) -> Image:
    """Read one image as RGB uint8 ``[H, W, 3]``, upright (EXIF) and over black; of 16 bits the high byte."""
    try:
        with PIL.Image.open(path) as picture:
            return np.ascontiguousarray(_to_rgb(PIL.ImageOps.exif_transpose(picture)))
    except PIL.UnidentifiedImageError as error:
        kind = "is empty (0 bytes)" if _size(path) == 0 else "is not an image that can be read"
        raise InputError(f"{path} {kind}: remove or replace it") from error
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large an image to be a video frame: scale it down") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except Exception as error:  # Pillow's decoders raise many types on damaged files (struct.error, SyntaxError, …)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be decoded ({reason}): remove or replace it") from error


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _to_rgb(picture: PIL.Image.Image) -> Image:
    if picture.mode.startswith(("I", "F")):
        return _wide_gray_to_rgb(np.asarray(picture), picture.mode)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        backdrop = PIL.Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = PIL.Image.alpha_composite(backdrop, picture)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _wide_gray_to_rgb(values: np.ndarray, mode: str) -> Image:
    """Bring gray of more than 8 bits to 8: integers are 16-bit values, floats are fractions of one."""
    levels = np.clip(values.astype(np.int64), 0, 65535) >> 8 if mode.startswith("I") else values * 255.0
    if not np.isfinite(levels).all():
        raise ValueError("it holds values that are not finite")
    gray = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


class ImageFiles(FrameSource):
    """Image files as a video, in the order given; frames may differ in size."""

    def __init__(self, files: Sequence[Path], *, description: str, fps: float = 25.0) -> None:
        if not fps > 0:
            raise ConfigurationError(f"frames a second must be positive, not {fps}")
        if not files:
            raise InputError(f"{description} holds no images: name a folder of images or a video file")
        self.description = description
        self.paths = tuple(files)
        self.fps = fps
        self.length = len(self.paths)
        height, width = read_image(self.paths[0]).shape[:2]
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame]:
        """Yield one frame an image."""
        assert self.fps is not None
        for index, path in enumerate(self.paths):
            yield Frame(index=index, image=read_image(path), time=index / self.fps, name=path.stem)
