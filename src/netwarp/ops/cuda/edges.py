"""The joint bilateral filter of a map of classes, guided by the frame; see :mod:`netwarp.ops.edges`."""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.launch import kernel


@kernel
def guide(
    probabilities: tl.pointer_type,
    labels: tl.pointer_type,
    frame: tl.pointer_type,
    weights: tl.pointer_type,
    moved: tl.pointer_type,
    filtered: tl.pointer_type,
    channels: int,
    h: int,
    w: int,
    farthest: int,
    blocks: int,
    radius: tl.constexpr,
    size: tl.constexpr,
) -> None:
    """Filter ``size`` pixels of an image; ``filtered`` gets the means where it is given. All maps are contiguous."""
    image, pixel = tl.program_id(0) // blocks, tl.program_id(0) % blocks * size + tl.arange(0, size)
    pixels = h * w
    here = pixel < pixels
    x, y = pixel % w, pixel // w
    start = image.to(tl.int64) * pixels
    labels, moved, frame = labels + start, moved + start, frame + 3 * start
    probabilities += start * channels
    side: tl.constexpr = 2 * radius + 1
    own = tl.load(labels + pixel, mask=here, other=0).to(tl.int32)
    red = tl.load(frame + pixel, mask=here, other=0).to(tl.int32)
    green = tl.load(frame + pixels + pixel, mask=here, other=0).to(tl.int32)
    blue = tl.load(frame + 2 * pixels + pixel, mask=here, other=0).to(tl.int32)
    best, largest = own, tl.full((size,), -1.0, tl.float32)
    mixed = tl.full((size,), 0, tl.int32)
    for tap in range(side * side):
        column, row = x + (tap % side - radius), y + (tap // side - radius)
        inside = here & (column >= 0) & (column < w) & (row >= 0) & (row < h)
        label = tl.load(labels + row * w + column, mask=inside, other=0).to(tl.int32)
        mixed = tl.maximum(mixed, (inside & (label != own)).to(tl.int32))
    if tl.max(mixed, 0) > 0:
        for channel in range(channels):
            mean, total = tl.full((size,), 0.0, tl.float32), tl.full((size,), 0.0, tl.float32)
            found = tl.full((size,), 0, tl.int32)
            for tap in range(side * side):
                column, row = x + (tap % side - radius), y + (tap // side - radius)
                inside = here & (column >= 0) & (column < w) & (row >= 0) & (row < h)
                there = row * w + column
                r = tl.load(frame + there, mask=inside, other=0).to(tl.int32) - red
                g = tl.load(frame + pixels + there, mask=inside, other=0).to(tl.int32) - green
                b = tl.load(frame + 2 * pixels + there, mask=inside, other=0).to(tl.int32) - blue
                weight = tl.load(weights + tl.minimum(r * r + g * g + b * b, farthest), mask=inside, other=0)
                label = tl.load(labels + there, mask=inside, other=-1).to(tl.int32)
                found = tl.maximum(found, (inside & (label == channel)).to(tl.int32))
                mean += weight * tl.load(
                    probabilities + channel * tl.cast(pixels, tl.int64) + there, mask=inside, other=0
                )
                total += weight
            mean = tl.where(found > 0, mean / tl.maximum(total, 1e-30), 0)
            if filtered is not None:
                at = filtered + start * channels + channel * tl.cast(pixels, tl.int64) + pixel
                tl.store(at, mean, mask=here)
            better = (mixed > 0) & (found > 0) & (mean > largest)
            largest, best = tl.where(better, mean, largest), tl.where(better, channel, best)
    tl.store(moved + pixel, best, mask=here)
