"""Videos of a few kilobytes, made where they are needed."""

from pathlib import Path

import av
import numpy as np

from netwarp.inference.sliding import Sliding
from netwarp.inference.stream import segment
from netwarp.model import VideoModel
from netwarp.video.label_maps import read_mask


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A textured picture that moves a pixel to the right with every frame."""
    y, x = np.mgrid[:height, :width]
    x = x - index
    image = np.stack([128 + 90 * np.sin(x / 5), 128 + 90 * np.sin(y / 4 + x / 9), 128 + 90 * np.cos((x + y) / 7)], -1)
    return image.astype(np.uint8)


def encode(path: Path, pictures: list[np.ndarray], *, fps: int = 12, **options: str) -> Path:
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def masks(folder: str) -> list[np.ndarray]:
    return [read_mask(path) for path in sorted(Path(folder).glob("*.png"))]


def expected(source: Path, model: Sliding | VideoModel) -> list[np.ndarray]:
    return [result.labels for result in segment(source, model)]


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))
