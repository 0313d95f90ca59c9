import pytest
import torch

from netwarp.errors import InputError
from netwarp.flow import PrecomputedFlow, write_flo

FRAME = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)


def fill(folder, names):
    """Each file holds its place in the list."""
    for place, name in enumerate(names):
        write_flo(folder / f"{name}.flo", torch.full((2, 4, 6), float(place)))


def found(flow, index):
    return flow(FRAME, FRAME, index=index).unique().item()


def test_number_not_place_decides(tmp_path):
    fill(tmp_path, ["000010", "000002", "000001"])
    flow = PrecomputedFlow(tmp_path)
    assert [found(flow, i) for i in (1, 2, 10)] == [2, 1, 0]


@pytest.mark.parametrize("name", ["7", "007", "frame_7", "0016E5_00007", "take2-007", "left_7_flow"])
def test_the_last_number_in_the_name_counts(tmp_path, name):
    fill(tmp_path, [name])
    assert found(PrecomputedFlow(tmp_path), 7) == 0


def test_first_and_step(tmp_path):
    fill(tmp_path, ["0016E5_07961", "0016E5_07963"])
    flow = PrecomputedFlow(tmp_path, first=7959, step=2)
    assert [found(flow, i) for i in (1, 2)] == [0, 1]


def test_a_missing_frame_is_named_and_does_not_shift_the_others(tmp_path):
    fill(tmp_path, ["1", "3"])
    flow = PrecomputedFlow(tmp_path)
    assert found(flow, 3) == 1
    with pytest.raises(InputError, match=r"frame 2: .* number 2 \(it has 1 to 3"):
        found(flow, 2)


@pytest.mark.parametrize(
    ("frame", "index", "value"),
    [
        (FRAME, None, "pass index="),
        (FRAME.expand(2, -1, -1, -1), 1, "one frame at a time"),
        (FRAME[..., :2, :3], 1, r"1\.flo is 6×4, but the frame is 3×2"),
    ],
)
def test_what_a_file_is_not_the_flow_of(tmp_path, frame, index, value):
    fill(tmp_path, ["1"])
    with pytest.raises(InputError, match=value):
        PrecomputedFlow(tmp_path)(frame, frame, index=index)


def test_a_file_that_has_gone_is_named(tmp_path):
    fill(tmp_path, ["1"])
    flow = PrecomputedFlow(tmp_path)
    (tmp_path / "1.flo").unlink()
    with pytest.raises(InputError, match=r"1\.flo"):
        found(flow, 1)


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "holds no .flo file"), (["last"], "holds no .flo file"), (["a_1", "b_01"], "a_1.flo and b_01.flo")],
)
def test_folders_that_cannot_be_used(tmp_path, names, words):
    fill(tmp_path, names)
    with pytest.raises(InputError, match=words):
        PrecomputedFlow(tmp_path)


def test_several_clips_lie_in_sub_folders(tmp_path):
    fill(tmp_path / "a", ["2", "1"])
    fill(tmp_path / "b" / "c", ["1", "2"])
    flow = PrecomputedFlow(tmp_path)
    assert [found(flow.in_clip(clip), 1) for clip in ("a", "b/c")] == [1, 0]
    with pytest.raises(InputError, match="flow of several clips: name one of them"):
        found(flow, 1)
    with pytest.raises(InputError, match="no folder d with that clip's flow"):
        flow.in_clip("d")


def test_clips_keep_first_and_step(tmp_path):
    fill(tmp_path / "a", ["5", "7"])
    assert found(PrecomputedFlow(tmp_path, first=3, step=2).in_clip("a"), 2) == 1
