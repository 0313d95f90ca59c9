"""Small videos for the tests, encoded where they are needed."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 90_000)


def picture(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth enough to survive a codec, different in every frame, with a marked upper left corner."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 160 // width + 3 * index % 90, y * 160 // height + 40, (x + y) * 100 // (height + width)], -1)
    image[: height // 4, : width // 4] = (250, 20, 20)
    return image.astype(np.uint8)


def irregular_times(count: int) -> list[float]:
    gaps = np.random.default_rng(0).uniform(0.01, 0.09, count)
    return [round((t - gaps[0]) * 90_000) / 90_000 for t in np.cumsum(gaps)]


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 40,
    times: list[float] | None = None,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    b_frames: int = 2,
    noise: int = 0,
    rate: int = 25,
) -> Path:
    rng = np.random.default_rng(1)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 128, 96, pix_fmt
        stream.codec_context.gop_size = 12
        if codec.startswith("mpeg"):
            stream.bit_rate = 8_000_000  # the first frame would otherwise leave nothing for the others
        stream.codec_context.max_b_frames = b_frames
        if times is not None:
            stream.codec_context.time_base = TICK
        for index in range(frames):
            image = picture(index)
            if noise:
                image = np.clip(image + rng.integers(0, noise, image.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt)
            frame.time_base = TICK if times is not None else Fraction(1, rate)
            frame.pts = index if times is None else round(times[index] / TICK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write the matrix into an MP4's track header, as phones do."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4 + 4 + 20 + 16
    one = 1 << 16
    assert struct.unpack(">9i", data[start : start + 36]) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())
