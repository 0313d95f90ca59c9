"""Gradients in one pass: every pixel pulls on what its result came from."""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.blocks import by_channel, by_pixel, over_channels, over_pixels, pixels_of, places, zeros
from netwarp.ops.cuda.cells import cell_at, corners, inside, motion, shares
from netwarp.ops.cuda.launch import device_function, kernel


@device_function
def _give(
    corner: tl.tensor, share: tl.tensor, brought: tl.tensor, wanted: tl.tensor, channels_last: tl.constexpr
) -> None:
    """Add a corner's share; in any order, hence with any rounding."""
    some = wanted & by_pixel(share != 0, channels_last)
    tl.atomic_add(corner, by_pixel(share, channels_last) * brought, mask=some, sem="relaxed")


@kernel
def pull(
    grad: tl.pointer_type,
    current: tl.pointer_type,
    previous: tl.pointer_type,
    flow: tl.pointer_type,
    w1: tl.pointer_type,
    w2: tl.pointer_type,
    gate: tl.pointer_type,
    of_current: tl.pointer_type,
    of_previous: tl.pointer_type,
    of_flow: tl.pointer_type,
    of_w1: tl.pointer_type,
    of_w2: tl.pointer_type,
    of_gate: tl.pointer_type,
    batch: int,
    channel_groups: int,
    h: int,
    w: int,
    step: int,
    apart: int,
    tiles_down: int,
    tiles_across: int,
    tiles_each: int,
    group: tl.constexpr,
    channels_last: tl.constexpr,
    wide: tl.constexpr,
    real: tl.constexpr,
    tile_h: tl.constexpr,
    tile_w: tl.constexpr,
    tile_c: tl.constexpr,
    together: tl.constexpr,
) -> None:
    """Gradients for some tiles of pixels, one after the other, and one block of channels.

    What sums up a pixel's channels, most of which lie in one thread or its neighbours, is summed up at every tile; what
    sums up pixels stays where it is until the last. So nothing in the loop waits for another thread. Results that
    several programs have a share in are written by each for itself, to be summed up in a fixed order.
    """
    channels, pixels = channel_groups * group, h * w
    tiles = batch * tiles_down * tiles_across
    runs = tl.cdiv(tiles, tiles_each)
    program = tl.program_id(0)
    block = program % together
    program = program // together
    run, block = program % runs, program // runs * together + block

    channel = block * tile_c + tl.arange(0, tile_c)
    there = channel < channels
    if w1 is not None:
        one = by_channel(tl.load(w1 + channel, mask=there, other=0).to(real), channels_last)
    if w2 is not None:
        two = by_channel(tl.load(w2 + channel, mask=there, other=0).to(real), channels_last)
    sum_w1 = zeros(tile_h, tile_w, tile_c, channels_last, real)
    sum_w2 = sum_w1
    # The last of those that go together may have no channels left.
    end = tl.where(block * tile_c < channels, tl.minimum((run + 1) * tiles_each, tiles), 0)
    for tile in range(run * tiles_each, end):
        across, down = tile % tiles_across, tile // tiles_across % tiles_down
        image = tl.cast(tile // tiles_across // tiles_down, tl.int64)
        x, y = pixels_of(down, across, tile_h, tile_w)
        here, pixel = (x < w) & (y < h), y * w + x
        wanted = by_pixel(here, channels_last) & by_channel(there, channels_last)
        start = image * pixels * channels
        place = start + places(pixel, channel, pixels, channels, channels_last, wide)

        # All that is read comes first, so that it is under way together.
        g = tl.load(grad + place, mask=wanted, other=0, eviction_policy="evict_first").to(real)
        if current is not None:
            z = tl.load(current + place, mask=wanted, other=0, eviction_policy="evict_first").to(real)
        if gate is not None:
            trust = tl.load(gate + image * pixels + pixel, mask=here, other=0).to(real)
        u, v = motion(flow, image, pixel, here, pixels, step, apart, real)
        u += x.to(real)
        v += y.to(real)
        column, right = cell_at(u, w - 1, real)
        row, lower = cell_at(v, h - 1, real)
        ul, ur, ll, lr = corners(column, row, h, w)
        at_ul = start + places(ul, channel, pixels, channels, channels_last, wide)
        at_ur = start + places(ur, channel, pixels, channels, channels_last, wide)
        at_ll = start + places(ll, channel, pixels, channels, channels_last, wide)
        at_lr = start + places(lr, channel, pixels, channels, channels_last, wide)
        if previous is not None:
            p = tl.load(previous + at_ul, mask=wanted, other=0).to(real)
            q = tl.load(previous + at_ur, mask=wanted, other=0).to(real)
            r = tl.load(previous + at_ll, mask=wanted, other=0).to(real)
            s = tl.load(previous + at_lr, mask=wanted, other=0).to(real)

        weighed = g
        if w2 is not None:
            weighed = two * g
        if of_current is not None:
            own = one * g
            if gate is not None:
                own += by_pixel(1 - trust, channels_last) * weighed
            tl.store(of_current + place, own, mask=wanted)
        if of_w1 is not None:
            sum_w1 += g * z
        brought = weighed
        if gate is not None:
            brought = by_pixel(trust, channels_last) * weighed
        of_ul, of_ur, of_ll, of_lr = shares(right, lower)
        if of_previous is not None:
            _give(of_previous + at_ul, of_ul, brought, wanted, channels_last)
            _give(of_previous + at_ur, of_ur, brought, wanted, channels_last)
            _give(of_previous + at_ll, of_ll, brought, wanted, channels_last)
            _give(of_previous + at_lr, of_lr, brought, wanted, channels_last)
        if of_flow is not None:
            # Differences of neighbours first: summed up apart from each other they would cancel out.
            to_right = by_pixel(1 - lower, channels_last) * (q - p) + by_pixel(lower, channels_last) * (s - r)
            to_below = by_pixel(1 - right, channels_last) * (r - p) + by_pixel(right, channels_last) * (s - q)
            of_u = over_channels(brought * to_right, channels_last)
            of_v = over_channels(brought * to_below, channels_last)
            out = of_flow + (block * batch + image) * 2 * pixels + pixel
            tl.store(out, tl.where(inside(u, w - 1, real), of_u, 0.0), mask=here)
            tl.store(out + pixels, tl.where(inside(v, h - 1, real), of_v, 0.0), mask=here)
        if (of_w2 is not None) or (of_gate is not None):
            warped = (
                by_pixel(of_ul, channels_last) * p
                + by_pixel(of_ur, channels_last) * q
                + by_pixel(of_ll, channels_last) * r
                + by_pixel(of_lr, channels_last) * s
            )
            if of_gate is not None:
                out = of_gate + (block * batch + image) * pixels + pixel
                tl.store(out, over_channels(weighed * (warped - z), channels_last), mask=here)
            if of_w2 is not None:
                if gate is not None:
                    warped = by_pixel(trust, channels_last) * warped + by_pixel(1 - trust, channels_last) * z
                sum_w2 += g * warped

    if of_w1 is not None:
        tl.store(of_w1 + run.to(tl.int64) * channels + channel, over_pixels(sum_w1, channels_last), mask=there)
    if of_w2 is not None:
        tl.store(of_w2 + run.to(tl.int64) * channels + channel, over_pixels(sum_w2, channels_last), mask=there)
