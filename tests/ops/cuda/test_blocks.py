"""How work is divided: every value once, and into sizes that Triton and a GPU bear."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.ops.cuda import blocks

SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 5000), st.integers(1, 3000), st.integers(1, 5000)).map(torch.Size)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@given(SHAPES, st.sampled_from(DTYPES), st.booleans(), st.sampled_from([blocks.for_forward, blocks.for_backward]))
def test_sizes_are_powers_of_two_and_no_thread_holds_too_much(shape, dtype, channels_last, divide):
    how = divide(shape, dtype, channels_last)
    for size in (how.tile_h, how.tile_w, how.tile_c, how.warps):
        assert size.bit_count() == 1
    threads, values = 32 * how.warps, how.tile_h * how.tile_w * how.tile_c
    bytes_each = values * dtype.itemsize / threads
    # Two 16-byte vectors forward, or eight values of a plane; half backward.
    most = 32 if divide is blocks.for_forward else 16
    assert bytes_each <= most or (not channels_last and values <= 8 * threads)
    assert values >= threads or dtype == torch.float64


@given(SHAPES, st.sampled_from(DTYPES), st.booleans(), st.sampled_from([blocks.for_forward, blocks.for_backward]))
def test_tiles_and_blocks_cover_a_map(shape, dtype, channels_last, divide):
    _, channels, h, w = shape
    how = divide(shape, dtype, channels_last)
    down, across = how.tiles(h, w)
    assert 0 <= down * how.tile_h - h < how.tile_h
    assert 0 <= across * how.tile_w - w < how.tile_w
    assert 0 <= how.blocks(channels) * how.tile_c - channels < how.tile_c
    assert 1 <= how.together <= how.blocks(channels)


@given(st.integers(1, 5000), st.integers(1, 10**6))
def test_programs_that_go_through_several_tiles_are_enough_for_a_gpu(channels, tiles):
    how = blocks.Blocks(4, 4, 64, 8, 1)
    each = how.tiles_each(channels, tiles)
    assert each >= 1
    warps = -(-tiles // each) * how.blocks(channels) * how.warps
    assert each == 1 or warps >= blocks.FILLED / 2
    assert each > 1 or warps < 2 * blocks.FILLED or tiles == 1 or how.blocks(channels) * how.warps >= blocks.FILLED


@pytest.mark.parametrize("shape", [(1, 1024, 128, 128), (1, 4096, 128, 256), (1, 128, 256, 4096)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_the_shapes_that_count_no_thread_is_idle(shape, dtype):
    shape = torch.Size(shape)
    for channels_last in (False, True):
        how = blocks.for_forward(shape, dtype, channels_last)
        assert shape[1] % how.tile_c == shape[2] % how.tile_h == shape[3] % how.tile_w == 0
        assert how.tile_h == 4
        line = how.tile_c if channels_last else how.tile_w
        assert line * dtype.itemsize >= 128
