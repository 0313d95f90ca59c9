"""Windows, scales and mirrors written out as loops: what :mod:`netwarp.inference.sliding` has to equal."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


def windows_of(height: int, width: int, window: Size | None, stride: Size | None) -> list[tuple[int, int]]:
    """Top and left of each window, by walking along the picture until its end is reached."""

    def walk(length: int, side: int, step: int) -> list[int]:
        places = [0]
        while places[-1] + side < length:
            places.append(min(places[-1] + step, length - side))
        return places

    if window is None or stride is None:
        return [(0, 0)]
    return [(y, x) for y in walk(height, window[0], stride[0]) for x in walk(width, window[1], stride[1])]


def sizes_of(frame: Size, scales: tuple[float, ...] | None) -> list[Size]:
    if scales is None:
        return [frame]
    return [(math.floor(s * frame[0] + 0.5) + 1, math.floor(s * frame[1] + 0.5) + 1) for s in scales]


def picture_at(frame: Tensor, size: Size, window: Size | None, colour: tuple[float, float, float]) -> Tensor:
    """A frame in 0–1 at a size, on a canvas of the network's mean colour where the window is larger."""
    picture = frame.float() / 255
    if tuple(picture.shape[-2:]) != size:
        picture = F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
    window = window or size
    canvas = torch.empty(frame.shape[0], 3, max(size[0], window[0]), max(size[1], window[1]))
    for channel in range(3):
        canvas[:, channel] = colour[channel]
    canvas[:, :, : size[0], : size[1]] = picture
    return canvas


def motion_at(flow: Tensor, size: Size, window: Size | None) -> Tensor:
    """A flow at a size, its values along with it, repeated beyond its edge where the window is larger."""
    height, width = flow.shape[-2:]
    if (height, width) != size:
        flow = F.interpolate(flow, size, mode="bilinear", align_corners=False)
        flow = torch.stack((flow[:, 0] * size[1] / width, flow[:, 1] * size[0] / height), 1)
    window = window or size
    rows = [min(y, size[0] - 1) for y in range(max(size[0], window[0]))]
    columns = [min(x, size[1] - 1) for x in range(max(size[1], window[1]))]
    return flow[:, :, rows][:, :, :, columns]


def views(frame: Size, options: dict) -> Iterator[tuple[int, Size, tuple[int, int], Size, bool]]:
    """Scale's number, its size, a window's place and size, and whether it is mirrored."""
    window, stride = options.get("window"), options.get("stride")
    for number, size in enumerate(sizes_of(frame, options.get("scales"))):
        padded = (max(size[0], (window or size)[0]), max(size[1], (window or size)[1]))
        for place in windows_of(*padded, window, stride):
            for mirrored in (False, True)[: 1 + options.get("flip", False)]:
                yield number, size, place, window or size, mirrored


def averaged(frame: Size, options: dict, probabilities_of: Callable[..., Tensor]) -> Tensor:
    """The average of what a function says of each view, by :func:`views`."""
    scales = sizes_of(frame, options.get("scales"))
    sums: list[Tensor | None] = [None] * len(scales)
    counts = [torch.zeros(1)] * len(scales)
    for view in views(frame, options):
        number, size, (top, left), (h, w), mirrored = view
        said = probabilities_of(*view)
        if mirrored:
            said = torch.stack([said[..., w - 1 - x] for x in range(w)], -1)
        if sums[number] is None:
            shape = (max(size[0], h), max(size[1], w))
            sums[number] = torch.zeros(*said.shape[:2], *shape)
            counts[number] = torch.zeros(*shape)
        sums[number][:, :, top : top + h, left : left + w] += said
        counts[number][top : top + h, left : left + w] += 1
    total = 0
    for size, summed, count in zip(scales, sums, counts, strict=True):
        mean = (summed / count)[..., : size[0], : size[1]]
        total = total + F.interpolate(mean, frame, mode="bilinear", align_corners=False) / len(scales)
    return total


def mirrored_flow(flow: Tensor) -> Tensor:
    """Column by column: what is at x comes from the other side, and moves the other way across."""
    width = flow.shape[-1]
    mirror = torch.empty_like(flow)
    for x in range(width):
        mirror[:, 0, :, x] = -flow[:, 0, :, width - 1 - x]
        mirror[:, 1, :, x] = flow[:, 1, :, width - 1 - x]
    return mirror
