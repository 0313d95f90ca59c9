"""What kernels get, and how their work is divided: every value once, into sizes that Triton and a GPU bear."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.ops.cuda import blocks
from netwarp.ops.cuda.blocks import Blocks
from netwarp.ops.cuda.compute import Maps, needs_wide_offsets
from ops.test_warp_combine import FORMATS

SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 5000), st.integers(1, 3000), st.integers(1, 5000)).map(torch.Size)
DTYPES = st.sampled_from((torch.float16, torch.bfloat16, torch.float32, torch.float64))
DIVIDED = SHAPES, DTYPES, st.booleans(), st.sampled_from([blocks.for_forward, blocks.for_backward])


@given(*DIVIDED)
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


@given(*DIVIDED)
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
    how = Blocks(4, 4, 64, 8, 1)
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


def maps_like(features, flow=None):
    batch, _, h, w = features.shape
    return Maps(features, features, torch.zeros(batch, 2, h, w) if flow is None else flow)


@pytest.mark.parametrize("layout", FORMATS)
def test_a_map_in_the_results_format_is_not_copied(layout):
    features = torch.randn(2, 4, 5, 6).contiguous(memory_format=FORMATS[layout])
    maps = maps_like(features)
    assert maps.channels_last == (layout == "channels-last")
    assert maps.map(features) is features
    assert maps.map(None) is None
    assert maps.new_map(torch.float64).stride() == features.stride()


def test_a_map_in_another_format_is_brought_to_the_results_once():
    features = torch.randn(2, 4, 5, 6)
    copy = maps_like(features.contiguous(memory_format=torch.channels_last)).map(features)
    assert copy.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(copy, features)
    gaps = torch.randn(2, 9, 5, 6)[:, ::2]
    assert maps_like(gaps).map(gaps).is_contiguous()
    # A part of channels-last channels is nearer to that format.
    part = torch.randn(2, 5, 6, 9).permute(0, 3, 1, 2)[:, :4]
    assert maps_like(part).map(part).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_flow_in_either_format_is_not_copied(layout, batch):
    flow = torch.randn(batch, 2, 5, 6).contiguous(memory_format=FORMATS[layout])
    maps = maps_like(torch.randn(batch, 4, 5, 6), flow)
    assert maps.flow is flow
    *_, step, apart, _down, _across = maps.sizes(Blocks(4, 8, 4, 4, 1))
    values = flow.permute(0, 2, 3, 1).flatten() if layout == "channels-last" else flow.flatten()
    for b, component, y, x in ((0, 0, 0, 0), (batch - 1, 1, 3, 2), (batch - 1, 0, 4, 5)):
        assert values[b * 2 * 30 + (y * 6 + x) * step + component * apart] == flow[b, component, y, x]


def test_a_flow_with_gaps_is_copied():
    flow = torch.randn(1, 1, 1, 6).expand(1, 2, 5, 6)
    assert maps_like(torch.randn(1, 4, 5, 6), flow).flow.is_contiguous()


@pytest.mark.parametrize(
    ("channels", "dtype", "group"),
    [
        (64, torch.float32, 4),
        (64, torch.bfloat16, 8),
        (64, torch.float64, 2),
        (12, torch.bfloat16, 4),
        (19, torch.float32, 1),
    ],
)
def test_known_alignment_is_16_bytes_if_the_channels_allow_it(channels, dtype, group):
    features = torch.zeros(1, channels, 2, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    how = Blocks(2, 4, 16, 4, 1)
    assert maps_like(features).constants(how)["group"] == group
    assert maps_like(features).sizes(how)[1] * group == channels


def test_offsets_have_64_bits_where_32_are_too_few():
    assert not needs_wide_offsets(1024, 128, 128)
    assert not needs_wide_offsets(1, 1, 2**31 - 1)
    assert needs_wide_offsets(2, 2**15, 2**15)
    assert needs_wide_offsets(4096, 1024, 2048)


def test_a_map_of_more_than_two_to_the_31_values_gets_them():
    """On the device that holds nothing."""
    features = torch.empty(1, 256, 4096, 4096, device="meta", dtype=torch.bfloat16)
    maps = maps_like(features, torch.empty(1, 2, 4096, 4096, device="meta"))
    assert maps.constants(Blocks(4, 64, 8, 8, 1))["wide"]
    assert not maps_like(torch.zeros(1, 4, 5, 6)).constants(Blocks(4, 64, 8, 8, 1))["wide"]


def test_a_last_round_may_have_fewer_blocks():
    maps = maps_like(torch.zeros(2, 20, 5, 6))
    assert maps.tiles(Blocks(4, 4, 4, 4, 2)) == 2 * 2 * 2
    assert maps.programs(Blocks(4, 4, 4, 4, 2), 3) == 3 * 6
