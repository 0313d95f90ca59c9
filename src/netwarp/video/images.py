"""Read frames from image files: a folder of them, a glob, or a single one."""

from __future__ import annotations

import glob
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from netwarp.errors import ConfigurationError, InputError, few
from netwarp.input_files import check_regular
from netwarp.video.source import MOST_PIXELS, Frame, FrameSource, Image

_LOG = logging.getLogger("netwarp")

_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
     ".jp2", ".tga", ".avif"}
)  # fmt: skip
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
    return sorted((path for path in found if _is_file(path) and not path.name.startswith(".")), key=natural_key)


def _is_file(path: Path) -> bool:
    """Whether it is a file, or a link that leads nowhere: a file that is missing."""
    return path.is_file() or is_dead_link(path)


def is_dead_link(path: Path) -> bool:
    """Whether it is a link to what does not exist, as of a file that git-annex or DVC keeps elsewhere."""
    return path.is_symlink() and not path.exists()


def images_in(folder: Path, *, tell: bool = False) -> list[Path]:
    """List the images of a folder in natural order, hidden ones and sub-folders left out, dead links not.

    What else lies there can be told.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror or error}") from error
    images = sorted((entry for entry in entries if is_image(entry) and _is_file(entry)), key=natural_key)
    others = sorted(entry.name for entry in set(entries).difference(images) if not entry.is_dir())
    if images:
        if tell and others:
            found = len(others) + len(images)
            _LOG.info("%s: %d of %d files are left out, as no images (%s)", folder, len(others), found, few(others))
        return images
    if not entries:
        raise InputError(f"{folder} is empty: name a folder of images or a video file")
    filled = [entry for entry in entries if entry.is_dir() and next(entry.glob("*.[jp][pn]*g"), None)]
    if filled:
        raise InputError(f"{folder} holds no images itself: did you mean {min(filled, key=natural_key)}?")
    names = few(sorted(entry.name for entry in entries))
    raise InputError(
        f"{folder} holds no images among its {len(entries)} files ({names}): name a folder of images or a video"
    )


@contextmanager
def open_picture(path: str | Path) -> Iterator[PIL.Image.Image]:
    """Open an image file, if it is one and of no more than :data:`MOST_PIXELS`: a few bytes may claim any size."""
    check_regular(Path(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # the limit here is lower
        try:
            picture = PIL.Image.open(path)
            if picture.format == "PNG":  # compares all checksums, which decoding does not
                with PIL.Image.open(path) as again:
                    again.verify()
        except PIL.Image.DecompressionBombError as error:
            raise _too_large(path, str(error)) from error
    with picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise _too_large(path, f"{picture.width}×{picture.height} pixels")
        yield picture


def _too_large(path: str | Path, what: str) -> InputError:
    return InputError(f"{path} is too large to be a video frame ({what}): scale it down")


def read_image(path: Path) -> Image:
    """Read one image as RGB uint8 ``[H, W, 3]``, upright (EXIF) and over black; of 16 bits the high byte."""
    with opened_image(path) as picture:
        return upright_image(picture)


@contextmanager
def opened_image(path: Path) -> Iterator[PIL.Image.Image]:
    """Open an image; what goes wrong with it in the block becomes an ``InputError``."""
    try:
        with open_picture(path) as picture:
            yield picture
    except PIL.UnidentifiedImageError as error:
        kind = "is empty (0 bytes)" if not path.stat().st_size else "is not an image that can be read"
        raise InputError(f"{path} {kind}: remove or replace it") from error
    except InputError:
        raise
    except FileNotFoundError as error:
        if is_dead_link(path):
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist: fetch that") from error
        raise InputError(f"{path} does not exist: check the path") from error
    except Exception as error:  # Pillow's decoders raise many types on damaged files (struct.error, SyntaxError, …)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be decoded ({reason}): remove or replace it") from error


def upright_image(picture: PIL.Image.Image) -> Image:
    """Decode a picture as RGB uint8 ``[H, W, 3]``."""
    return np.ascontiguousarray(_to_rgb(PIL.ImageOps.exif_transpose(picture)))


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
    """Image files as a video, in the order given; frames may differ in size.

    Links that lead nowhere are left out, and ``loss`` counts them.
    """

    timed = False

    def __init__(self, files: Sequence[Path], *, description: str, fps: float = 25.0) -> None:
        if not fps > 0:
            raise ConfigurationError(f"frames a second must be positive, not {fps}")
        if not files:
            raise InputError(f"{description} holds no images: name a folder of images or a video file")
        self.description = description
        self._missing = tuple(path for path in files if is_dead_link(path))
        missing = set(self._missing)
        self.paths = tuple(path for path in files if path not in missing) or self._missing
        self.fps = fps
        self.length = len(self.paths)
        height, width = read_image(self.paths[0]).shape[:2]
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame]:
        assert self.fps is not None
        several: list[str] = []
        for index, path in enumerate(self.paths):
            with opened_image(path) as picture:
                image = upright_image(picture)
                if getattr(picture, "n_frames", 1) > 1:
                    several.append(path.name)
            yield Frame(index=index, image=image, time=index / self.fps, name=path.stem)
        if several:
            _LOG.warning("%s: %d of %d images hold several pictures, of which the first was read (%s)",
                         self.description, len(several), len(self.paths), few(several))  # fmt: skip
        if self._missing:
            missing, total = len(self._missing), len(self._missing) + len(self.paths)
            names = few([path.name for path in self._missing])
            self.loss = f"{self.description}: {missing} of {total} images are links that lead nowhere ({names})"
