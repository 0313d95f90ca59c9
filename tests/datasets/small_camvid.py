"""Tiny releases of CamVid: stills, labels in 32 colours, and raw videos, made where they are needed."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import PIL.Image

HEIGHT, WIDTH = 48, 64


def picture(number: int) -> np.ndarray:
    """What the camera sees at a frame number: a texture that moves by two pixels a frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    x = x + 2 * number
    waves = [np.sin(x / 6), np.sin(y / 4 + x / 9), np.cos((x - y) / 7)]
    return (128 + 90 * np.stack(waves, -1)).astype(np.uint8)


def write_video(
    path: Path, pictures: Sequence[np.ndarray], codec: str = "ffv1", pix_fmt: str = "bgr0", matrix: str | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for image in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            container.mux(stream.encode(frame.reformat(format=pix_fmt, dst_colorspace=matrix)))
        container.mux(stream.encode(None))
    return path


def write_still(root: Path, name: str, image: np.ndarray, labels: np.ndarray | None = None) -> None:
    """A still and its label image; without ``labels`` road below sky."""
    if labels is None:
        labels = np.full((*image.shape[:2], 3), (128, 64, 128), np.uint8)
        labels[: image.shape[0] // 2] = (128, 128, 128)
    for folder, stem, pixels in (("701_StillsRaw_full", name, image), ("LabeledApproved_full", f"{name}_L", labels)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(root / folder / f"{stem}.png")
